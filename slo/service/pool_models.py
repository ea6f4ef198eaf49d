"""What the API answers of a pool's past."""

from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, Field

from slo.ledger.pool_booking import PoolSlot
from slo.service.history import rfc3339
from slo.service.models import NEXT


def _unknown(text: str) -> Any:
    return Field(description=f"{text} null: not known, as a replica that was watched did not tell.")


class PoolSlotOut(BaseModel):
    """Five minutes of a pool. A slot that is not listed was not observed: unknown, not idle."""

    start: str
    covered_seconds: float
    arrivals: int | None = _unknown(
        "Requests that came in: those that left and the growth of those in flight; given-up and refused ones as far as told."
    )
    finished: int | None = _unknown("Requests that engines finished, by any reason.")
    errors: int | None = _unknown("Those finished by an error.")
    refused: int | None = _unknown("Requests refused before the scheduler saw them.")
    abandoned_queued: int | None = _unknown("Requests whose client left while they waited.")
    abandoned_streaming: int | None = _unknown(
        "Requests whose client left mid-stream: a user's stop or a broken stream."
    )
    prompt_tokens: int | None = _unknown("Tokens in.")
    generation_tokens: int | None = _unknown("Tokens out.")
    preemptions: int | None = _unknown("Requests pushed out of the batch to be computed again.")
    queue_max: float | None = _unknown("Most requests that waited at one time, all replicas together.")
    queue_mean: float | None = _unknown("The same, its mean over time.")
    kv_max: float | None = _unknown("Used share of the fullest replica's KV cache, 0 to 1.")
    kv_mean: float | None = _unknown("The same, mean over replicas and time.")
    replicas: float | None = _unknown("Mean of the replicas that were watched.")
    nodes: float | None = _unknown("Mean of the nodes that those replicas fill.")
    gone: int | None = _unknown("Replicas that restarted, stopped, or were not seen any more while others were.")
    energy_joules: float | None = _unknown("Energy of the pool's GPUs, where each is known and serves no other pool.")
    simulated: bool

    @classmethod
    def of(cls, row: PoolSlot) -> "PoolSlotOut":
        """Write a stored slot as the API's object."""
        fields = asdict(row)
        return cls(start=rfc3339(fields.pop("slot")), **fields)


class PoolSlots(BaseModel):
    """A pool's slots in order of time."""

    slots: list[PoolSlotOut]
    next: str | None = NEXT
