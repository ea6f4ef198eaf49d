"""The API's routes about pools and what is recommended for them."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query

from slo.service import models
from slo.service.history import rfc3339
from slo.service.problems import READING
from slo.service.state import Service


def add(api: APIRouter, service: Service) -> None:
    """Add the routes."""

    def known(pool: str) -> None:
        names = [item.name for item in service.spec.pools]
        if pool not in names:
            raise HTTPException(404, f"no pool {pool!r}; pools are {', '.join(names)}")

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
    def recommendation(pool: str) -> models.RecommendationOut:
        known(pool)
        return _recommendation(asdict(service.recommendation(pool)))

    @api.get("/pools/{pool}/recommendation/history", responses=READING)
    def history(pool: str, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> models.RecommendationHistory:
        known(pool)
        found = service.ledger.recommendations(pool, limit)
        return models.RecommendationHistory(recommendations=[_recommendation(item) for item in found])


def _recommendation(body: dict[str, Any]) -> models.RecommendationOut:
    return models.RecommendationOut(**{**body, "at": rfc3339(body["at"])})
