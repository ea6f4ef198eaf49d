"""The API's route for what-if: another replica, workload or request rate for a pool, by the pool's own latency SLOs."""

from threading import Lock
from typing import Annotated

from fastapi import APIRouter, Query

from plimsoll.slo.capacity.recommendation.demand_plan import latency_target
from plimsoll.slo.capacity.whatif.evaluate import whatif
from plimsoll.slo.capacity.whatif.request import WhatIf, WhatIfRequest, response
from plimsoll.slo.capacity.whatif.scale_to_zero import scale_to_zero
from plimsoll.slo.reports.calibration import calibrated
from plimsoll.slo.reports.request_profile import arrivals_of, requests_of
from plimsoll.slo.service.http.parameters import PoolName, require_pool
from plimsoll.slo.service.http.problems import READING, ApiError
from plimsoll.slo.service.state import Service

# Simulations run one after the other: several would share Python's lock, finish no sooner, and delay every other request.
_SIMULATING = Lock()


def add(api: APIRouter, service: Service) -> None:
    """Add the route."""

    @api.get(
        "/pools/{pool}/whatif",
        responses=READING,
        tags=["Capacity"],
        summary="Simulate another GPU, workload, or traffic level",
    )
    def run_whatif(pool: PoolName, request: Annotated[WhatIfRequest, Query()]) -> WhatIf:
        """Simulated against the pool's latency SLOs."""
        return simulated(service, pool, request)


def simulated(service: Service, name: str, request: WhatIfRequest) -> WhatIf:
    """Return the result for a pool; 404 for an unknown one, 422 for invalid inputs."""
    pool = require_pool(service, name)
    target = latency_target(service.spec, pool)
    if target is None:
        detail = f"Pool {name} has no SLO on time to first token or time per output token."
        raise ApiError(422, "no_latency_slo", detail)
    observed, replica = requests_of(service.ledger, name, service.clock()), calibrated(service.records, pool)
    try:
        scenario = request.scenario(target, pool, observed, service.records.prices, replica=replica)
        with _SIMULATING:
            found = whatif(scenario)
    except ValueError as error:
        raise ApiError(422, "invalid_request", str(error)) from error
    zero = scale_to_zero(pool, arrivals_of(service.ledger, name, service.clock()), target)
    return response(name, request, scenario, observed, found, zero)
