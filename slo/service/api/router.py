"""All routes under `/api/v1`."""

from fastapi import APIRouter

from plimsoll.slo.service.api import (
    attribution,
    calibration,
    compare,
    corrections,
    events,
    exclusions,
    period_reviews,
    pools,
    recommendations,
    reviews,
    rollouts,
    slos,
    tenants,
    whatif,
)
from plimsoll.slo.service.state import Service

# In the order of the API's document.
RESOURCES = (
    slos,
    attribution,
    compare,
    rollouts,
    tenants,
    corrections,
    events,
    pools,
    recommendations,
    whatif,
    calibration,
    exclusions,
    reviews,
    period_reviews,
)


def router(service: Service) -> APIRouter:
    """Return the routes over one service."""
    api = APIRouter(prefix="/api/v1")
    for resource in RESOURCES:
        resource.add(api, service)
    return api
