"""What else could be done and why it is not, what users are expected to feel, and what it costs."""

from collections.abc import Sequence

from plimsoll.slo.capacity.recommendation.expected_attainment import ExpectedAttainment
from plimsoll.slo.capacity.recommendation.models import Alternative, Cost, Expected
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot
from plimsoll.slo.capacity.recommendation.rules import Ask
from plimsoll.slo.capacity.recommendation.spot import Need, hourly
from plimsoll.slo.units import duration_text


def expected(case: PoolSnapshot, outlook: ExpectedAttainment, nodes: int) -> Expected:
    """Say what is expected of the nodes that there are and of those that are recommended."""
    return Expected(
        promised=None if case.promise is None else case.promise.target,
        now=_rounded(outlook.of(case.current)),
        recommended=_rounded(outlook.of(nodes)),
        by=outlook.by,
        seconds=outlook.seconds,
        why=outlook.why,
    )


def cost(case: PoolSnapshot, nodes: int, need: Need) -> Cost:
    """Price the nodes that there are and those that are recommended, with as many on spot as may be."""
    now, then = hourly(case.pool.node, case.current, need), hourly(case.pool.node, nodes, need)
    return Cost() if now is None or then is None else Cost(round(now, 4), round(then, 4), round(then - now, 4))


def alternatives(
    case: PoolSnapshot, outlook: ExpectedAttainment, asked: Sequence[Ask], decided: Ask, need: Need
) -> list[Alternative]:
    """List other numbers of nodes, nearest first: one fewer, one more, as many as there are, and what the other rules asked for."""
    nodes = decided.nodes or 0
    others = {nodes - 1, nodes + 1, case.current, *(ask.nodes for ask in asked if ask.nodes is not None)} - {nodes, 0}
    return [
        Alternative(
            nodes=other,
            asked_by=[ask.rule for ask in asked if ask.nodes == other],
            attainment=_rounded(outlook.of(other)),
            usd_per_hour=_rounded(hourly(case.pool.node, other, need)),
            why=_too_few(case, outlook, asked, decided, other)
            if other < nodes
            else _too_many(case, outlook, other, nodes),
        )
        for other in sorted(others, key=lambda other: (abs(other - nodes), other))
    ]


def _too_few(case: PoolSnapshot, outlook: ExpectedAttainment, asked: Sequence[Ask], decided: Ask, nodes: int) -> str:
    """Say why so many are too few: the first reason that a user would feel, else a rule's, else why nothing is released."""
    if nodes < case.pool.nodes.min:
        return f"the pool must have at least {case.pool.nodes.min}"
    broken = outlook.broken(nodes)
    if broken:
        return broken
    for ask in asked:
        if ask.nodes is not None and ask.nodes > nodes:
            return ask.why
    if case.plan and nodes < case.plan.busiest:
        hold = duration_text(case.pool.timing.scale_in_stabilization)
        return f"the busiest minute of the last {hold} takes {case.plan.busiest} nodes"
    if decided.rule == "hold" and decided.reasons:
        return decided.reasons[0]
    return "one is released at a time before a replica was seen full"


def _too_many(case: PoolSnapshot, outlook: ExpectedAttainment, nodes: int, recommended: int) -> str:
    """Say why so many are not needed, or not to be had."""
    if nodes > case.pool.nodes.max:
        return f"the pool may have at most {case.pool.nodes.max}"
    if nodes == case.current:
        return f"{recommended} are enough"
    share, enough = outlook.of(nodes), outlook.of(recommended)
    if share is None or enough is None:
        return "no rule asks for it"
    more, less = f"{share:.1%}", f"{enough:.1%}"
    return "no rule asks for it: " + (
        f"{more} in time instead of {less}" if more != less else "no more would be in time"
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
