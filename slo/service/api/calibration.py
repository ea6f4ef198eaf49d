"""Route of a pool's fitted step-time model."""

from fastapi import APIRouter

from plimsoll.slo.reports.calibration import PoolCalibration, calibration
from plimsoll.slo.service.http.parameters import PoolName, require_pool
from plimsoll.slo.service.http.problems import READING
from plimsoll.slo.service.state import Service


def add(api: APIRouter, service: Service) -> None:
    """Add the route."""

    @api.get(
        "/pools/{pool}/calibration", responses=READING, tags=["Capacity"], summary="Get the fitted step-time model"
    )
    def get_calibration(pool: PoolName) -> PoolCalibration:
        """The last good fit. A narrower one doesn't replace it while it holds."""
        return calibration(service.records, require_pool(service, pool))
