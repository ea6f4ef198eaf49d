"""The API's routes under /api/v1."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from slo.budget import Budget
from slo.service import models
from slo.service.history import budget_history, rfc3339
from slo.service.state import Service
from slo.windows import bounds, slot_of

DAY = 86400.0
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": models.Problem}}


def router(service: Service) -> APIRouter:
    """Build the routes over one service."""
    api = APIRouter(prefix="/api/v1")

    def one(objective: str) -> Budget:
        found = service.budgets(objective)
        if not found:
            known = ", ".join(item.id for item in service.spec.objectives)
            raise HTTPException(404, f"no objective {objective!r}; objectives are {known}")
        return found[0]

    @api.get("/slos")
    def slos() -> models.Slos:
        return models.Slos(slos=[models.Slo.of(item) for item in service.budgets()])

    @api.get("/slos/{objective}", responses=NOT_FOUND)
    def slo(objective: str) -> models.Slo:
        return models.Slo.of(one(objective))

    @api.get("/slos/{objective}/budget", responses=NOT_FOUND)
    def budget(objective: str) -> models.BudgetHistory:
        state, now = one(objective), service.clock()
        start, _ = bounds(state.objective.window, now)
        rows = service.ledger.slots(objective, slot_of(start - (now - start)), now)
        return models.BudgetHistory(
            id=objective,
            budget_left=state.budget_left,
            allowed_bad=state.objective.budget_ratio * state.counted.total,
            bad=state.bad,
            total=state.counted.total,
            coverage=state.coverage,
            history=budget_history(state.objective, rows, start, now),
            simulated=state.counted.simulated,
        )

    @api.get("/slos/{objective}/slots", responses=NOT_FOUND)
    def slots(
        objective: str,
        since: Annotated[datetime | None, Query(alias="from", description="RFC 3339; default: a day ago")] = None,
        until: Annotated[datetime | None, Query(alias="to", description="RFC 3339; default: now")] = None,
    ) -> models.Slots:
        one(objective)
        end = service.clock() if until is None else _unix(until)
        start = end - DAY if since is None else _unix(since)
        return models.Slots(
            slots=[
                models.Slot(start=rfc3339(row.slot), **{name: getattr(row, name) for name in SLOT_FIELDS})
                for row in service.ledger.slots(objective, start, end)
            ]
        )

    _pool_routes(api, service)
    return api


SLOT_FIELDS = ("good", "total", "covered_seconds", "spec_hash", "source")


def _pool_routes(api: APIRouter, service: Service) -> None:
    def known(pool: str) -> None:
        names = [item.name for item in service.spec.pools]
        if pool not in names:
            raise HTTPException(404, f"no pool {pool!r}; pools are {', '.join(names)}")

    @api.get("/pools")
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

    @api.get("/pools/{pool}/recommendation", responses=NOT_FOUND)
    def recommendation(pool: str) -> models.RecommendationOut:
        known(pool)
        return _recommendation(asdict(service.recommendation(pool)))

    @api.get("/pools/{pool}/recommendation/history", responses=NOT_FOUND)
    def history(pool: str, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> models.RecommendationHistory:
        known(pool)
        found = service.ledger.recommendations(pool, limit)
        return models.RecommendationHistory(recommendations=[_recommendation(item) for item in found])


def _recommendation(body: dict[str, Any]) -> models.RecommendationOut:
    return models.RecommendationOut(**{**body, "at": rfc3339(body["at"])})


def _unix(moment: datetime) -> float:
    """Return Unix seconds; a time without an offset is UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
