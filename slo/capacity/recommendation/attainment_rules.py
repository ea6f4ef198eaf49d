"""Nodes that the counted attainment requires: at once where a target is missed, and over a week by the error budget."""

from dataclasses import replace

from plimsoll.slo.capacity.recommendation.demand import ATTAINED_SECONDS, ENOUGH_COUNTED
from plimsoll.slo.capacity.recommendation.error_budget.attained_hours import HOUR
from plimsoll.slo.capacity.recommendation.error_budget.loop_state import BudgetLoop
from plimsoll.slo.capacity.recommendation.expected_attainment import AttainmentEstimate
from plimsoll.slo.capacity.recommendation.models import NodeRequirement, Reason
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot
from plimsoll.slo.capacity.recommendation.texts import minutes, nodes
from plimsoll.slo.units import percent_text

FAST_BURN = 10.0  # burn rate at which the last minutes count more than the week
GAIN = 0.005  # attainment that a further node has to bring


def attainment(case: PoolSnapshot, estimate: AttainmentEstimate, burn: float = 1.0) -> NodeRequirement:
    """Require further nodes while the counted attainment spends the error budget more than `burn` times as fast as it may, and more
    nodes would do better."""
    target = case.target
    least = 1 - burn * (1 - target.target) if target else 0.0
    attained = target.attained if target else None
    if target is None or attained is None or attained.total < ENOUGH_COUNTED or attained.good >= least * attained.total:
        return NodeRequirement("attainment", None, [])
    if attained.latest_within(target.target):  # missed, and not any more
        return NodeRequirement("attainment", None, [])
    ratio = attained.good / attained.total
    text = f"Attainment of the last {minutes(ATTAINED_SECONDS)} is {ratio:.1%} (target {percent_text(target.target)})"
    count = case.held
    while count < case.pool.nodes.max and estimate.broken(count) and _gain(estimate, count) >= GAIN:
        count += 1
    if count == case.held:
        return NodeRequirement("attainment", None, [Reason("attainment_missed", f"{text}; {_why(case, estimate)}.")])
    more = f"{text}, and {nodes(count)} would have reached {estimate.of(count):.1%} instead of {estimate.of(case.held):.1%}."
    return NodeRequirement("attainment", count, [Reason("attainment_missed", more)], more)


def fast_burn(case: PoolSnapshot, estimate: AttainmentEstimate) -> NodeRequirement:
    """Require one node more while requests queue and the budget burns fast, if a node more would do better; the next one once that serves."""
    found = attainment(case, estimate, FAST_BURN)
    if found.nodes is None:
        return found
    one_more = case.held + 1 if case.saturated and not case.pending else None
    return replace(found, nodes=one_more)


def _gain(estimate: AttainmentEstimate, count: int) -> float:
    return (estimate.of(count + 1) or 0.0) - (estimate.of(count) or 0.0)


def _why(case: PoolSnapshot, estimate: AttainmentEstimate) -> str:
    if estimate.method is None:
        return "whether more nodes would help isn't known"
    if case.held >= case.pool.nodes.max:
        return f"{nodes(case.held)} are the pool maximum"
    return f"{nodes(case.held + 1)} would not have reached more than {nodes(case.held)}"


def error_budget(loop: BudgetLoop) -> NodeRequirement:
    """Require what the loop on the error budget asks for."""
    requests = sum(one.requests for one in loop.hours)
    load = f", at {loop.load_factor:.1f} times its load" if loop.load_factor != 1.0 else ""
    text = (
        f"{nodes(loop.nodes)} {'is' if loop.nodes == 1 else 'are'} required for at most {loop.allowed or 0:.1%} misses, as much of the error "
        f"budget as may be spent, on the {requests:,.0f} requests of the last {loop.seconds / HOUR:.0f} h{load}."
    )
    return NodeRequirement("error_budget", loop.nodes, [Reason("error_budget_hours", text)], text)
