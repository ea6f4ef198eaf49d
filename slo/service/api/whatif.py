"""The API's route for what-if: another replica, workload or request rate for a pool, by the pool's own latency SLOs."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from plimsoll.slo.capacity.recommendation.demand_plan import latency_target
from plimsoll.slo.capacity.whatif.evaluate import whatif
from plimsoll.slo.capacity.whatif.request import WhatIf, WhatIfRequest, response
from plimsoll.slo.reports.calibration import calibrated
from plimsoll.slo.reports.request_profile import requests_of
from plimsoll.slo.service.api.pools import known
from plimsoll.slo.service.http.problems import READING
from plimsoll.slo.service.state import Service


def add(api: APIRouter, service: Service) -> None:
    """Add the route."""

    @api.get("/pools/{pool}/whatif", responses=READING)
    def run_whatif(pool: str, request: Annotated[WhatIfRequest, Query()]) -> WhatIf:
        return simulated(service, pool, request)


def simulated(service: Service, name: str, request: WhatIfRequest) -> WhatIf:
    """Return the result for a pool; 404 for an unknown one, 422 for invalid inputs."""
    known(service, name)
    pool = service.spec.pool(name)
    target = latency_target(service.spec, pool)
    if target is None:
        raise HTTPException(422, f"pool: {name!r} has no SLO for time to first token or per output token")
    observed, replica = requests_of(service.ledger, name, service.clock()), calibrated(service.records, pool)
    try:
        scenario = request.scenario(target, pool, observed, service.records.prices, replica=replica)
        found = whatif(scenario)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    return response(name, request, scenario, observed, found)
