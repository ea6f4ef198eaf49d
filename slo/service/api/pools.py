"""Routes of pools: their traffic per slot, recommendation, forecast, and cost."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from plimsoll.slo.calendar import DAY, rfc3339
from plimsoll.slo.capacity.forecast_models import PoolForecast
from plimsoll.slo.ledger.usage import pool_rows
from plimsoll.slo.reports.costs.showback import Showback, showback
from plimsoll.slo.reports.pool_cost import PoolCost, cost_of
from plimsoll.slo.service.api.models import DataProblem, Row, Timestamp
from plimsoll.slo.service.http.parameters import LIMIT, NEXT, PoolName, Since, Until, link, require_pool, span
from plimsoll.slo.service.http.problems import READING, ApiError
from plimsoll.slo.service.state import Service
from plimsoll.slo.sources import SourceError
from plimsoll.slo.spec import objectives as spec
from plimsoll.slo.usage.cache_warmth import WINDOW, cache_warmth, selectors


def _measured(text: str) -> Any:
    return Field(description=f"{text} `null`: a monitored replica didn't report it.")


class Pool(BaseModel):
    """A pool of the objectives file."""

    name: str
    model: str
    kind: spec.Kind = Field(description="Which default alerts it has.")
    match: dict[str, str | list[str]] = Field(
        description="Labels of its replicas' scrape targets and their values, from the objectives file."
    )
    min_nodes: int
    max_nodes: int
    warm_spares: int
    slos: list[str] = Field(description="IDs of its SLOs.")
    data_problems: list[DataProblem] = Field(description="What the last ingest found wrong with its data.")


class Pools(BaseModel):
    """All pools."""

    pools: list[Pool]


class PoolSlot(Row):
    """A 5-minute slot of a pool. A slot that isn't listed has no data: unknown, not idle."""

    start: Timestamp = Field(validation_alias="slot")
    covered_seconds: float
    arrivals: int | None = _measured("Requests that arrived: completed ones plus the growth of those in flight.")
    finished: int | None = _measured("Requests that engines finished, for any reason.")
    errors: int | None = _measured("Requests finished with an error.")
    rejected: int | None = _measured("Requests rejected before scheduling.")
    abandoned_queued: int | None = _measured("Requests abandoned before the first token.")
    abandoned_streaming: int | None = _measured("Requests abandoned after the first token.")
    input_tokens: int | None = _measured("Input tokens.")
    output_tokens: int | None = _measured("Output tokens.")
    preemptions: int | None = _measured("Requests preempted and recomputed.")
    waiting_max: float | None = _measured("Maximum of the waiting requests of all replicas together.")
    waiting_mean: float | None = _measured("Mean of the waiting requests over time.")
    kv_cache_usage_max: float | None = _measured("KV cache usage of the fullest replica, 0 to 1.")
    kv_cache_usage_mean: float | None = _measured("KV cache usage, mean over replicas and time.")
    replicas: float | None = _measured("Mean number of monitored replicas.")
    nodes: float | None = _measured("Mean number of nodes that these replicas fill.")
    replica_disruptions: int | None = _measured("Replicas that restarted, stopped, or were lost.")
    energy_joules: float | None = _measured("Energy of the pool's GPUs that serve no other pool.")
    simulated: bool


class PoolSlots(BaseModel):
    """A pool's slots in time order."""

    slots: list[PoolSlot]
    next: str | None = NEXT


class PoolShowback(BaseModel):
    """What tenants, adapters, and teams used of a pool in a time range."""

    pool: str
    since: str = Field(serialization_alias="from")
    until: str = Field(serialization_alias="to")
    showback: Showback | None = Field(description="`null`: gateways counted no tokens.")


class DeletionCost(Row):
    """A replica, the warmth of its prefix cache, and the value of its pod's annotation."""

    replica: str
    namespace: str | None
    pod: str | None = Field(description="`null`: not in a pod that is known.")
    cached_tokens: float | None = Field(
        description="Prompt tokens that its prefix cache held in the last 15 minutes. `null`: not known."
    )
    deletion_cost: int | None = Field(
        description="Value of `controller.kubernetes.io/pod-deletion-cost`; a pod with a lower one is removed first. `null`: set none."
    )


class DeletionCosts(BaseModel):
    """A pool's replicas, the one to remove first at the top; those whose warmth isn't known come last."""

    pool: str
    replicas: list[DeletionCost]


def add(api: APIRouter, service: Service) -> None:
    """Add the routes."""
    _pool_routes(api, service)
    _deletion_costs_route(api, service)

    @api.get(
        "/pools/{pool}/forecast",
        responses=READING,
        tags=["Capacity"],
        summary="Forecast demand and SLO breach risk by week",
    )
    def get_forecast(pool: PoolName) -> PoolForecast:
        """Forecast from the hourly demand so far; made once a day."""
        chosen = require_pool(service, pool)
        throughput = service.throughput(pool)
        return service.records.forecasts.of(chosen, int(service.clock() // DAY * DAY), throughput)

    @api.get(
        "/pools/{pool}/cost", responses=READING, tags=["Capacity"], summary="Get cost per 1M tokens and utilization"
    )
    def get_cost(
        pool: PoolName, hours: Annotated[int, Query(ge=1, le=24 * 28, description="Hours until now.")] = 1
    ) -> PoolCost:
        """Of the nodes that were up. Needs `node.hourly_usd` in the objectives file."""
        chosen = require_pool(service, pool)
        return cost_of(service.records, chosen, service.throughput(pool), hours)

    @api.get(
        "/pools/{pool}/showback",
        responses=READING,
        tags=["Capacity"],
        summary="Split cost and tokens by tenant, LoRA adapter, and team",
    )
    def get_showback(pool: PoolName, since: Since = None, until: Until = None) -> PoolShowback:
        """From what gateways count. Shares, `unattributed`, and `idle_usd` add up to the pool's cost."""
        chosen = require_pool(service, pool)
        start, end = span(service, since, until)
        rows = pool_rows(service.ledger.engine, pool, start, end)
        found = showback(service.records, chosen, rows, (start, end))
        return PoolShowback(pool=pool, since=rfc3339(start), until=rfc3339(end), showback=found)


def _deletion_costs_route(api: APIRouter, service: Service) -> None:
    @api.get(
        "/pools/{pool}/deletion-costs",
        responses=READING,
        tags=["Capacity"],
        summary="Get pod deletion costs by prefix cache warmth",
    )
    def get_deletion_costs(pool: PoolName) -> DeletionCosts:
        """For the annotation by which a ReplicaSet removes pods with cold caches first. Nothing is written to a cluster."""
        chosen, now = require_pool(service, pool), service.clock()
        try:
            series = service.source.series(selectors(chosen), now - WINDOW, now)
        except SourceError as error:
            raise ApiError(503, "source_unavailable", f"Data source unavailable: {error}") from error
        found = [DeletionCost.model_validate(one) for one in cache_warmth(series, now)]
        return DeletionCosts(pool=chosen.name, replicas=found)


def _described(pool: spec.Pool, service: Service) -> Pool:
    return Pool(
        name=pool.name,
        model=pool.model,
        kind=pool.kind,
        match=pool.match.to_file(),
        min_nodes=pool.nodes.min,
        max_nodes=pool.nodes.max,
        warm_spares=pool.nodes.warm_spares,
        slos=[item.id for item in service.spec.objectives if item.pool == pool.name],
        data_problems=[DataProblem.model_validate(one) for one in service.problems.of(pool.name)],
    )


def _pool_routes(api: APIRouter, service: Service) -> None:
    @api.get("/pools", responses=READING, tags=["Pools"], summary="List pools")
    def list_pools() -> Pools:
        """In the order of the objectives file."""
        return Pools(pools=[_described(pool, service) for pool in service.spec.pools])

    @api.get(
        "/pools/{pool}/slots",
        responses=READING,
        tags=["Pools"],
        summary="List traffic, queue, and KV cache data per slot",
    )
    def list_pool_slots(
        pool: PoolName,
        since: Since = None,
        until: Until = None,
        limit: Annotated[int, Query(description=LIMIT, ge=1, le=10_000)] = 10_000,
    ) -> PoolSlots:
        """In time order. Slots without data are not listed."""
        require_pool(service, pool)
        start, end = span(service, since, until)
        rows = pool_rows(service.ledger.engine, pool, start, end, limit + 1)
        more = {"from": rfc3339(rows[-1].slot), "to": rfc3339(end), "limit": limit} if len(rows) > limit else None
        return PoolSlots(
            slots=[PoolSlot.model_validate(row) for row in rows[:limit]],
            next=link(f"/api/v1/pools/{pool}/slots", **more) if more else None,
        )
