"""The API's route for what-if: another replica, workload or request rate for a pool, by the pool's own latency SLOs.

Simulations run one after the other in a process of their own. In threads they would share Python's lock with every other request, and
delay it by seconds.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated

from anyio import CapacityLimiter, to_process
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query

from plimsoll.slo.capacity.recommendation.demand_plan import latency_target
from plimsoll.slo.capacity.whatif.in_process import answer
from plimsoll.slo.capacity.whatif.request import WhatIf, WhatIfRequest
from plimsoll.slo.capacity.whatif.scale_to_zero import ScaleToZero, scale_to_zero
from plimsoll.slo.reports.calibration import calibrated
from plimsoll.slo.reports.request_profile import arrivals_of, requests_of
from plimsoll.slo.service.http.parameters import PoolName, require_pool
from plimsoll.slo.service.http.problems import READING, ApiError
from plimsoll.slo.service.state import Service

_ONE = CapacityLimiter(1)


def add(api: APIRouter, service: Service) -> None:
    """Add the route."""

    @api.get(
        "/pools/{pool}/whatif",
        responses=READING,
        tags=["Capacity"],
        summary="Simulate another GPU, workload, or traffic level",
    )
    async def run_whatif(pool: PoolName, request: Annotated[WhatIfRequest, Query()]) -> WhatIf:
        """Simulated against the pool's latency SLOs."""
        return await simulated(service, pool, request)


async def simulated(service: Service, name: str, request: WhatIfRequest) -> WhatIf:
    """Return the result for a pool; 404 for an unknown one, 422 for invalid inputs. Waits without a thread for the simulations before it."""
    simulation, zero = await run_sync(_prepared, service, name, request)
    try:
        found = await to_process.run_sync(simulation, limiter=_ONE)
    except ValueError as error:
        raise ApiError(422, "invalid_request", str(error)) from error
    return found.model_copy(update={"scale_to_zero": zero})


def _prepared(service: Service, name: str, request: WhatIfRequest) -> tuple[Callable[[], WhatIf], ScaleToZero | None]:
    """Return the simulation with all that is known about the pool, and what needs none."""
    pool, now = require_pool(service, name), service.clock()
    target = latency_target(service.spec, pool)
    if target is None:
        detail = f"Pool {name} has no SLO on time to first token or time per output token."
        raise ApiError(422, "no_latency_slo", detail)
    observed, replica = requests_of(service.ledger, name, now), calibrated(service.records, pool)
    zero = scale_to_zero(pool, arrivals_of(service.ledger, name, now), target)
    return partial(answer, request, pool, target, observed, service.records.prices, replica), zero
