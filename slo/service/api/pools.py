"""The API's routes about pools and what is recommended for them."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from plimsoll.slo.calendar import DAY, rfc3339
from plimsoll.slo.capacity.forecast_models import PoolForecast
from plimsoll.slo.capacity.recommendation.models import Recommendation, RecommendationHistory
from plimsoll.slo.ledger.usage import pool_rows
from plimsoll.slo.reports.pool_cost import PoolCost, cost_of
from plimsoll.slo.service.api import models
from plimsoll.slo.service.http.parameters import NEXT, Since, Until, link, span
from plimsoll.slo.service.http.problems import READING
from plimsoll.slo.service.state import Service
from plimsoll.slo.usage.slots import PoolSlot


def _unknown(text: str) -> Any:
    return Field(description=f"{text} null: not known, as a replica that was watched did not tell.")


class PoolSlotOut(BaseModel):
    """Five minutes of a pool. A slot that is not listed was not observed: unknown, not idle."""

    start: str
    covered_seconds: float
    arrivals: int | None = _unknown(
        "Requests that came in: those that left and the growth of those in flight; given-up and rejected ones as far as told."
    )
    finished: int | None = _unknown("Requests that engines finished, by any reason.")
    errors: int | None = _unknown("Those finished by an error.")
    rejected: int | None = _unknown("Requests rejected before the scheduler saw them.")
    abandoned_queued: int | None = _unknown("Requests whose client left while they waited.")
    abandoned_streaming: int | None = _unknown(
        "Requests whose client left mid-stream: a user's stop or a broken stream."
    )
    input_tokens: int | None = _unknown("Tokens in.")
    output_tokens: int | None = _unknown("Tokens out.")
    preemptions: int | None = _unknown("Requests pushed out of the batch to be computed again.")
    waiting_max: float | None = _unknown("Most requests that waited at one time, all replicas together.")
    waiting_mean: float | None = _unknown("The same, its mean over time.")
    kv_cache_usage_max: float | None = _unknown("Used share of the fullest replica's KV cache, 0 to 1.")
    kv_cache_usage_mean: float | None = _unknown("The same, mean over replicas and time.")
    replicas: float | None = _unknown("Mean of the replicas that were watched.")
    nodes: float | None = _unknown("Mean of the nodes that those replicas fill.")
    replica_disruptions: int | None = _unknown(
        "Replicas that restarted, stopped, or were not seen any more while others were."
    )
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


def known(service: Service, pool: str) -> None:
    """Refuse the name of a pool that there is not with 404."""
    names = [item.name for item in service.spec.pools]
    if pool not in names:
        raise HTTPException(404, f"no pool {pool!r}; pools are {', '.join(names)}")


def add(api: APIRouter, service: Service) -> None:
    """Add the routes."""
    _slot_routes(api, service)

    @api.get("/pools", responses=READING)
    def pools() -> models.Pools:
        return models.Pools(
            pools=[
                models.PoolOut(
                    name=pool.name,
                    model=pool.model,
                    min_nodes=pool.nodes.min,
                    max_nodes=pool.nodes.max,
                    warm_spares=pool.nodes.warm_spares,
                    objectives=[item.id for item in service.spec.objectives if item.pool == pool.name],
                )
                for pool in service.spec.pools
            ]
        )

    @api.get("/pools/{pool}/recommendation", responses=READING)
    def recommendation(pool: str) -> Recommendation:
        known(service, pool)
        return service.recommendation(pool)

    @api.get("/pools/{pool}/forecast", responses=READING)
    def forecast(pool: str) -> PoolForecast:
        known(service, pool)
        throughput = service.throughput(pool)
        return service.records.forecasts.of(service.spec.pool(pool), int(service.clock() // DAY * DAY), throughput)

    @api.get("/pools/{pool}/cost", responses=READING)
    def cost(pool: str, hours: Annotated[int, Query(ge=1, le=24 * 28)] = 1) -> PoolCost:
        known(service, pool)
        return cost_of(service.records, service.spec.pool(pool), service.throughput(pool), hours)

    @api.get("/pools/{pool}/recommendation/history", responses=READING)
    def history(pool: str, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> RecommendationHistory:
        known(service, pool)
        found = service.ledger.recommendations(pool, limit)
        return RecommendationHistory(recommendations=[Recommendation.model_validate(item) for item in found])


def _slot_routes(api: APIRouter, service: Service) -> None:
    @api.get("/pools/{pool}/slots", responses=READING)
    def slots(
        pool: str, since: Since = None, until: Until = None, limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000
    ) -> PoolSlots:
        known(service, pool)
        start, end = span(service, since, until)
        rows = pool_rows(service.ledger.engine, pool, start, end, limit + 1)
        more = {"from": rfc3339(rows[-1].slot), "to": rfc3339(end), "limit": limit} if len(rows) > limit else None
        return PoolSlots(
            slots=[PoolSlotOut.of(row) for row in rows[:limit]],
            next=link(f"/api/v1/pools/{pool}/slots", **more) if more else None,
        )
