"""Answers a what-if in a process of its own: imports little, so that it starts quickly, and gives way to the service."""

import os
from collections.abc import Mapping

from plimsoll.slo.capacity.calibration.measured_replica import MeasuredReplica
from plimsoll.slo.capacity.model.prices import Prices
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.whatif.evaluate import whatif
from plimsoll.slo.capacity.whatif.request import WhatIf, WhatIfRequest, response
from plimsoll.slo.spec.objectives import Pool

NICE = 10  # where both want the same core, the service comes first


def answer(
    request: WhatIfRequest,
    pool: Pool,
    target: LatencyTarget,
    observed: Mapping[str, float],
    prices: Prices,
    replica: MeasuredReplica | None,
) -> WhatIf:
    """Simulate for a pool and what is known about it. Raises ValueError for invalid inputs."""
    os.setpriority(os.PRIO_PROCESS, 0, NICE)
    scenario = request.scenario(target, pool, observed, prices, replica=replica)
    return response(pool.name, request, scenario, observed, whatif(scenario))
