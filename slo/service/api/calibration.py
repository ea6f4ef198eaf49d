"""The API's route about a pool's own step times."""

from fastapi import APIRouter

from plimsoll.slo.reports.calibration import PoolCalibration, calibration
from plimsoll.slo.service.api.pools import known
from plimsoll.slo.service.http.problems import READING
from plimsoll.slo.service.state import Service


def add(api: APIRouter, service: Service) -> None:
    """Add the route."""

    @api.get("/pools/{pool}/calibration", responses=READING)
    def of_pool(pool: str) -> PoolCalibration:
        known(service, pool)
        return calibration(service.records, service.spec.pool(pool))
