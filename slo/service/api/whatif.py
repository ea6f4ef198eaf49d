"""The API's route for what-if: another replica, mix or rate for a pool, evaluated by the pool's own latency objectives."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from plimsoll.slo.capacity.model import memory
from plimsoll.slo.capacity.recommendation import demand_plan
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.whatif.evaluate import whatif
from plimsoll.slo.capacity.whatif.measured_scaling import MEASURED
from plimsoll.slo.capacity.whatif.request import Asked, told
from plimsoll.slo.capacity.whatif.request_mix import LONGEST
from plimsoll.slo.reports.calibration import calibrated
from plimsoll.slo.reports.request_profile import requests_of
from plimsoll.slo.service.http.parameters import PoolName, require_pool
from plimsoll.slo.service.http.problems import READING, ApiError
from plimsoll.slo.service.state import Service


class AskedOf(BaseModel):
    """What is asked of the simulation. Prompt, output and rate that are not given are the pool's own of the last seven days: mean
    tokens of a request, and the busiest five minutes; while these are not known, an example (`origins` in the answer)."""

    model_config = ConfigDict(extra="forbid")
    replica: str | None = Field(
        None,
        description=f"{MEASURED}: the pool's own, by its calibration, which is asked where it is known; others whose step times are: "
        f"{', '.join(step_time.names())} (of these the first).",
    )
    prompt: int | None = Field(None, ge=1, le=LONGEST, description="Prompt tokens of a request.")
    output: int | None = Field(None, ge=1, le=16_384, description="Tokens generated for a request.")
    mix: str | None = Field(
        None,
        max_length=400,
        description="Several kinds of requests in place of prompt and output: PROMPT/OUTPUT/PERCENT, such as 500/200/70,6000/300/30.",
    )
    rate: float | None = Field(None, gt=0, le=100_000, description="Requests per second.")
    traffic: float = Field(1.0, gt=0, le=1000, description="Times that rate.")
    prefix_hit: float = Field(
        0.0,
        ge=0,
        le=0.99,
        description="Share of each prompt that all requests of its kind have in common, as a system prompt: found in the prefix cache.",
    )
    gpu: str | None = Field(None, description=f"Another GPU than the replica's: {', '.join(memory.gpus())}.")
    gpus: int | None = Field(None, ge=1, le=8, description="Tensor parallelism: 1, 2, 4 or 8 GPUs a replica.")
    weight_bits: int | None = Field(None, ge=4, le=16, description="Quantization: weights of 4, 8 or 16 bits.")
    max_num_seqs: int = Field(256, ge=1, le=1024, description="Largest batch.")
    kv_bytes: int | None = Field(
        None,
        ge=1,
        le=2,
        description="Bytes of a number in the KV cache; 1 for FP8. 2 if not said, or what the pool's own replica has.",
    )
    api_usd: float | None = Field(
        None, gt=0, le=1000, description="What an API asks for 1M tokens like these, to know when it is dearer."
    )
    api: str | None = Field(
        None,
        max_length=63,
        description="Name of an API whose price is on record, in place of `api_usd`; for this mix of prompt and output.",
    )


class PoolLatencyTarget(BaseModel):
    """What a pool's objectives promise together; null: nothing is promised of it."""

    ttft_seconds: float | None
    tpot_seconds: float | None
    target: float


class WhatIf(BaseModel):
    """The answer, by simulation. Bands are [low, high]."""

    pool: str
    replica: str
    asked: dict[str, Any] = Field(
        description="The whole question in numbers; `origins` says which were given, which are the pool's own, which an example."
    )
    promise: PoolLatencyTarget
    steps: list[str] = Field(
        description="The arithmetic of weights and KV cache, where step times are from, and what is extrapolated, step by step."
    )
    answer: dict[str, Any] | None = Field(
        description="memory, measured (whether step times are; else they are scaled, within a band), carries "
        "(requests/s of one replica), concurrency (requests in it then), nodes, n_minus_1 (to lose one), usd_per_hour, usd_per_million, break_even_tokens (a month, from which the nodes cost less than "
        "`api_usd` a million, as given or by the prices of `api`); "
        "null: such requests do not fit or cannot keep the promise on that replica, however few they are."
    )
    simulated: Literal[True] = True


def add(api: APIRouter, service: Service) -> None:
    """Add the route."""

    @api.get(
        "/pools/{pool}/whatif",
        responses=READING,
        tags=["Capacity"],
        summary="Simulate another GPU, workload, or traffic level",
    )
    def run_whatif(pool: PoolName, asked: Annotated[AskedOf, Query()]) -> WhatIf:
        """Simulated against the pool's latency SLOs."""
        return answered(service, pool, asked)


def answered(service: Service, name: str, asked: AskedOf) -> WhatIf:
    """Return the result for a pool; 404 for an unknown one, 422 for invalid inputs."""
    pool = require_pool(service, name)
    promise = demand_plan.promise(service.spec, pool)
    if promise is None:
        raise ApiError(
            422, "no_latency_slo", f"Pool {name} has no SLO on time to first token or time per output token."
        )
    written, measured = Asked(**asked.model_dump()), requests_of(service.ledger, name, service.clock())
    try:
        question = written.question(
            promise, pool, measured, service.records.prices, replica=calibrated(service.records, pool)
        )
        found = whatif(question)
    except ValueError as error:
        raise ApiError(422, "invalid_request", str(error)) from error
    return WhatIf(**told(name, written, question, measured, found))
