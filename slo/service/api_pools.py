"""The API's routes about pools and what is recommended for them."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from slo.capacity.known import strength_of
from slo.ledger.pools import pool_rows
from slo.service import advice_models as advice
from slo.service import models
from slo.service.history import rfc3339
from slo.service.outlook import PoolForecast
from slo.service.pool_cost import PoolCost, cost_of
from slo.service.pool_models import PoolSlotOut, PoolSlots
from slo.service.problems import READING
from slo.service.spans import DAY, Since, Until, span
from slo.service.state import Service


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
    def recommendation(pool: str) -> advice.RecommendationOut:
        known(service, pool)
        return _recommendation(asdict(service.recommendation(pool)))

    @api.get("/pools/{pool}/forecast", responses=READING)
    def forecast(pool: str) -> PoolForecast:
        known(service, pool)
        strength = strength_of(service.recommendation(pool).evidence)
        return service.outlook.of(service.spec.pool(pool), int(service.clock() // DAY * DAY), strength)

    @api.get("/pools/{pool}/cost", responses=READING)
    def cost(pool: str, hours: Annotated[int, Query(ge=1, le=24 * 28)] = 1) -> PoolCost:
        known(service, pool)
        return cost_of(service, service.spec.pool(pool), hours)

    @api.get("/pools/{pool}/recommendation/history", responses=READING)
    def history(pool: str, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> advice.RecommendationHistory:
        known(service, pool)
        found = service.ledger.recommendations(pool, limit)
        return advice.RecommendationHistory(recommendations=[_recommendation(item) for item in found])


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
            next=models.link(f"/api/v1/pools/{pool}/slots", **more) if more else None,
        )


def _recommendation(body: dict[str, Any]) -> advice.RecommendationOut:
    return advice.RecommendationOut(**{**body, "at": rfc3339(body["at"])})
