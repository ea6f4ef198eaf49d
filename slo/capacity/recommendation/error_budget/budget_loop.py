"""The closed loop on the error budget: the fewest nodes on which the SLO would have been met over the hours of the last week.

Every quarter of an hour what was counted is added: requests, misses, and the nodes on which they occurred. What is spent of the
window's budget corrects what may be spent. The result changes by one node an hour, but at once with a load that is very unlike that of
the week: now, or in the same hour of days before, a cold start ahead. Smaller changes of the load show little of the misses to come,
as those come with bursts of seconds (docs/evidence/backtests.md).
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
)
from plimsoll.slo.capacity.recommendation.error_budget.loop_state import BudgetLoop
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot

SPENT = 0.93  # of the error budget that is planned: the rest is for hours unlike all that are remembered
CORRECTED_OVER = 168.0  # hours in which what was spent too much or too little is made up for
MOST_CORRECTION = 0.2  # of the error budget
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
    tokens = sum(found.recent(ATTAINED_SECONDS).arrived)
    misses = (attained.total - attained.good) * nodes**EXPONENT
    hour = AttainedHour(int((case.now - 1) // HOUR), ATTAINED_SECONDS, attained.total, round(tokens), round(misses, 3))
    return _decided(msgspec.structs.replace(loop, hours=add(loop.hours, hour)), case, attained)


def _decided(loop: BudgetLoop, case: PoolSnapshot, attained: Attained) -> BudgetLoop:
    """Change the nodes where the hours require it."""
    allowed, factor = _allowed(loop, case, attained), _load_factor(loop, case)
    up, down = (_limited(case, nodes_for(loop.hours, part * allowed) * factor) for part in (1.0, DEADBAND))
    jumps = factor != 1.0 or loop.seconds < YOUNG
    rested = case.now - loop.changed_at >= HOUR or factor != loop.load_factor
    nodes, changed = loop.nodes, loop.changed_at
    if up > nodes and (rested or jumps):
        nodes, changed = up if jumps else nodes + 1, case.now
    elif down < nodes and (rested or factor < 1.0):
        nodes, changed = nodes - 1, case.now
    return msgspec.structs.replace(loop, nodes=nodes, changed_at=changed, load_factor=factor, allowed=allowed)


def _limited(case: PoolSnapshot, nodes: float) -> int:
    return min(max(ceil(nodes), case.pool.nodes.min), case.pool.nodes.max)


def _allowed(loop: BudgetLoop, case: PoolSnapshot, attained: Attained) -> float:
    """Return the ratio of requests that may be missed: the budget, and what was saved or overspent of it, made up for over a week."""
    budget = 1 - (case.target.target if case.target else 0.0)
    rate = HOUR * sum(one.requests for one in loop.hours) / loop.seconds
    saved = SPENT * budget * attained.window_total - (attained.window_total - attained.window_good)
    most = MOST_CORRECTION * budget
    return SPENT * budget + min(most, max(-most, saved / max(1.0, rate * CORRECTED_OVER)))


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
