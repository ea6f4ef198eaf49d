"""What a node has served within the target, and the nodes for a load that rises while a further one starts.

Before the loop on the error budget decides, a load that rises evenly is served too late by nodes that are added once requests are
late: they start for minutes, and serve with cold caches. Conversations fill caches for minutes before anything waits. So nodes are
added for the load of a cold start ahead, at the load per node at which requests were within the target.
"""

from collections.abc import Sequence
from itertools import accumulate
from math import ceil, inf, sqrt
from statistics import linear_regression

from plimsoll.slo.capacity.recommendation.demand import INTERVAL, LATEST_SECONDS, PLANNING_UTILIZATION, Demand
from plimsoll.slo.capacity.recommendation.models import NodeRequirement, Reason
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot
from plimsoll.slo.capacity.recommendation.texts import nodes, span

RECENT_SECONDS = (
    75.0  # of demand that are now, and in which a rise shows: five intervals. After 300 s it was seen too late
)
TREND_SECONDS = 600.0  # of demand, at most, in which a rise is looked for
SURE = 5.0  # standard errors of the slope
RISE = 1.25  # times the recent load that is expected
MOST_AT_ONCE = 2  # times the nodes that serve


def proven_load(case: PoolSnapshot, before: float | None) -> float | None:
    """Return the highest load of a node, in tokens/s, at which requests were within the target; None where none was.

    Both are of the last LATEST_SECONDS: while demand rises, the load of the last minute alone is more than was served within the target.
    """
    attained, found = case.target.attained if case.target else None, case.demand
    if case.target is None or attained is None or found is None:
        return before
    each = _load(found, LATEST_SECONDS) / max(1, case.current - case.pending)
    return max(before or 0.0, each) if attained.latest_within(case.target.target) else before


def recent_load(found: Demand) -> float:
    """Return the tokens/s that arrived in the last RECENT_SECONDS."""
    return _load(found, RECENT_SECONDS)


def _load(found: Demand, seconds: float) -> float:
    arrived = found.recent(seconds).arrived
    return sum(arrived) / (len(arrived) * INTERVAL)


def proven_nodes(case: PoolSnapshot, proven: float | None) -> int:
    """Return the nodes that serve the recent load as loads were served within the target; all that there are where requests are late."""
    attained, found = case.target.attained if case.target else None, case.demand
    if not proven or case.target is None or attained is None or found is None:
        return case.held
    if not attained.latest_within(case.target.target):
        return case.held
    return ceil(recent_load(found) / (PLANNING_UTILIZATION * proven))


def coming_load(case: PoolSnapshot) -> float | None:
    """Return the tokens/s that are expected once a node that is ordered now serves; None unless the load rises evenly.

    A step isn't a rise that goes on: two levels then explain the load better than a line.
    """
    if case.demand is None:
        return None
    arrived = case.demand.recent(TREND_SECONDS).arrived
    count = len(arrived)
    if count * INTERVAL < RECENT_SECONDS:
        return None
    slope, start = linear_regression(range(count), arrived)
    left = sum((value - start - slope * at) ** 2 for at, value in enumerate(arrived))
    error = sqrt(left / (count - 2) / (count * (count**2 - 1) / 12))
    if slope <= SURE * error or _step(arrived) < left:
        return None
    return (start + slope * (count + case.pool.timing.cold_start / INTERVAL)) / INTERVAL


def _step(values: Sequence[float]) -> float:
    """Return the sum of squared residuals of the two levels, one after the other, that explain values best."""
    sums, squares = [0.0, *accumulate(values)], sum(value * value for value in values)
    parts = ((sums[at] ** 2 / at, (sums[-1] - sums[at]) ** 2 / (len(values) - at)) for at in range(1, len(values)))
    return squares - max(map(sum, parts))


def rising(case: PoolSnapshot, proven: float | None) -> NodeRequirement:
    """Require the nodes for a load that rises; not while requests queue, as then the backlog shows how many are missing."""
    coming, now = coming_load(case), recent_load(case.demand) if case.demand else inf
    if coming is None or not proven or coming < RISE * now or case.saturated:
        return NodeRequirement("demand", None, [])
    count = min(ceil(coming / (PLANNING_UTILIZATION * proven)), MOST_AT_ONCE * max(1, case.current - case.pending))
    text = (
        f"Demand rises: {coming:,.0f} tokens/s are expected in {span(case.pool.timing.cold_start)}, when a node that is ordered now "
        f"serves. A node has served {proven:,.0f} tokens/s within the target: {nodes(count)} required."
    )
    return NodeRequirement("demand", count, [Reason("demand_rising", text)], text)
