"""The API's route about a pool's own step times."""

from fastapi import APIRouter

from slo.service.api_pools import known
from slo.service.calibrating import PoolCalibration, calibration
from slo.service.problems import READING
from slo.service.state import Service


def add(api: APIRouter, service: Service) -> None:
    """Add the route."""

    @api.get("/pools/{pool}/calibration", responses=READING)
    def of_pool(pool: str) -> PoolCalibration:
        known(service, pool)
        return calibration(service, service.spec.pool(pool))
