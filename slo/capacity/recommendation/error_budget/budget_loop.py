"""The closed loop on the error budget: the fewest nodes on which the SLO would have been met over the hours of the last week.

Every quarter of an hour what was counted is added: requests, misses, and the nodes on which they occurred. What is spent of the
window's budget corrects what may be spent, and so does a day that is far below the target. The result changes by one node, but at once
with a load that is very unlike that of the week: now, or in the same hour of days before, a cold start ahead. Smaller changes of the
load show little of the misses to come, as those come with bursts of seconds (docs/evidence/backtests.md).
"""

from math import ceil, log

import msgspec

from plimsoll.slo.capacity.model.signals import MEMORY
from plimsoll.slo.capacity.recommendation.demand import ATTAINED_SECONDS, Attained
from plimsoll.slo.capacity.recommendation.error_budget.attained_hours import (
    EXPONENT,
    HOUR,
    WEEK,
    AttainedHour,
    add,
    forecast,
    mean_load,
    nodes_for,
    today,
)
from plimsoll.slo.capacity.recommendation.error_budget.loop_state import BudgetLoop
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot

SPENT = 0.93  # of the error budget that is planned: the rest is for hours unlike all that are remembered
CORRECTED_OVER = 48.0  # hours in which what was spent too much or too little is made up for
MOST_SAVED, MOST_OVERSPENT = 1.0, 0.2  # of the error budget, by which that moves what may be spent
DAY_BELOW = 0.03  # of the requests, by which a day may be further below the target than the week
DAY_SPENT = 0.85  # of what a day may miss, that is planned
DAY_MOST = 1.5  # times the nodes of the week that a day may require: a day that is lost isn't bought back
LEAST = 0.0001  # of the requests that may miss the target for the rest of a day that has missed too many
DEADBAND = 0.95  # of the misses that are allowed: fewer nodes have to stay below it
UNLIKE = 0.6  # logarithm of the load against that of the week: 1.8 times as much, or 0.55 times
YOUNG = 6 * HOUR  # seconds counted: before that the hours show too little to move by single nodes
RECENT = 2  # hours of the clock, this one included, whose load is that of now


def advance(loop: BudgetLoop | None, case: PoolSnapshot) -> BudgetLoop:
    """Return the loop with what was counted since, once a period is over."""
    if loop is None or loop.counted_until > case.now:
        return BudgetLoop(case.now, case.held)
    elapsed = case.now - loop.counted_until
    if elapsed < ATTAINED_SECONDS:
        return loop
    attained, found = case.target.attained if case.target else None, case.demand
    loop = msgspec.structs.replace(loop, counted_until=case.now)
    if attained is None or found is None or elapsed > MEMORY:
        return loop
    nodes = max(1, case.current - case.pending) / loop.load_factor
    tokens, missed = sum(found.recent(ATTAINED_SECONDS).arrived), attained.total - attained.good
    hour = AttainedHour(
        *(int((case.now - 1) // HOUR), ATTAINED_SECONDS, attained.total),
        *(round(tokens), round(missed * nodes**EXPONENT, 3), missed),
    )
    return _decided(msgspec.structs.replace(loop, hours=add(loop.hours, hour)), case, attained)


def _decided(loop: BudgetLoop, case: PoolSnapshot, attained: Attained) -> BudgetLoop:
    """Change the nodes where the hours require it."""
    allowed, factor, rest = _allowed(loop, case, attained), _load_factor(loop, case), _allowed_today(loop, case)
    required = nodes_for(loop.hours, allowed)
    day = min(nodes_for(loop.hours, rest), DAY_MOST * required)
    up = _limited(case, max(required, day) * factor)
    down = _limited(case, max(required, day) * DEADBAND ** (-1 / EXPONENT) * factor)
    nodes = loop.nodes
    if up > nodes:
        nodes = up if factor != 1.0 or loop.seconds < YOUNG else nodes + 1
    elif down < nodes:
        nodes -= 1
    today_allowed = rest if day > required else None
    return msgspec.structs.replace(loop, nodes=nodes, load_factor=factor, allowed=allowed, allowed_today=today_allowed)


def _limited(case: PoolSnapshot, nodes: float) -> int:
    return min(max(ceil(nodes), case.pool.nodes.min), case.pool.nodes.max)


def _allowed(loop: BudgetLoop, case: PoolSnapshot, attained: Attained) -> float:
    """Return the ratio of requests that may be missed: the budget, and what was saved or overspent of it, made up for over two days.

    What was saved before the last week isn't spent: the target is to be met in each week, however long the SLO's window is.
    """
    budget = 1 - (case.target.target if case.target else 0.0)
    requests, missed = sum(one.requests for one in loop.hours), sum(one.missed for one in loop.hours)
    of_window = SPENT * budget * attained.window_total - (attained.window_total - attained.window_good)
    of_week = max(0.0, SPENT * budget * requests - missed)
    saved, rate = min(of_window, of_week), HOUR * requests / loop.seconds
    correction = saved / max(1.0, rate * CORRECTED_OVER)
    return SPENT * budget + min(MOST_SAVED * budget, max(-MOST_OVERSPENT * budget, correction))


def _allowed_today(loop: BudgetLoop, case: PoolSnapshot) -> float:
    """Return the ratio of requests that may be missed until the end of the day, for the day to stay near the target."""
    requests, missed, left = today(loop.hours, case.now)
    budget = 1 - (case.target.target if case.target else 0.0)
    return max(LEAST, (DAY_SPENT * (budget + DAY_BELOW) * (requests + left) - missed) / max(1.0, left))


def _load_factor(loop: BudgetLoop, case: PoolSnapshot) -> float:
    """Return how many times the week's load is expected, now and once a node that is ordered now serves; 1 unless it's very unlike."""
    usual, recent = mean_load(loop.hours), mean_load(loop.hours[-RECENT:])
    if not usual:
        return 1.0
    hour = int((case.now + case.pool.timing.cold_start + ATTAINED_SECONDS) // HOUR)
    coming = forecast(loop.hours, hour, case.special.unusual(hour - WEEK, hour))
    factor = max(recent, coming or 0.0) / usual
    unlike = (
        UNLIKE if loop.load_factor == 1.0 else UNLIKE / 2
    )  # the way back takes more, so that it doesn't go to and fro
    return factor if factor > 0 and abs(log(factor)) >= unlike else 1.0
