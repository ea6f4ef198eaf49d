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
GAIN = 0.005  # attainment that a further node has to bring, and nodes that are removed may have brought
# Where the target is out of reach, what the pool's most nodes have to bring: less is chance, and nodes would come and go by it.
WORTH, WORTH_REQUESTS = 0.01, 20


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
    # Once the loop on the error budget decides, what is out of reach is its matter: `burn` is then higher.
    count, at_most = case.held, estimate.at_most if burn == 1.0 else None
    used = at_most or estimate
    while (
        count < case.pool.nodes.max and estimate.broken(count) and _gain(used, count) >= GAIN and _worth(at_most, count)
    ):
        count += 1
    if count == case.held:
        return NodeRequirement(
            "attainment", None, [Reason("attainment_missed", f"{text}; {_why(case, estimate, used)}.")]
        )
    when = f" in {at_most.traffic}" if at_most else ""
    more = (
        f"{text}, and {nodes(count)} would have reached {used.of(count):.1%}{when} instead of {used.of(case.held):.1%}."
    )
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


def _worth(at_most: AttainmentEstimate | None, count: int) -> bool:
    if at_most is None:
        return True
    ratio, requests = at_most.short_of_most(count)
    return ratio >= WORTH and requests >= WORTH_REQUESTS


def _why(case: PoolSnapshot, estimate: AttainmentEstimate, used: AttainmentEstimate) -> str:
    if estimate.method is None:
        return "whether more nodes would help isn't known"
    most = case.pool.nodes.max
    if case.held >= most:
        return f"{nodes(case.held)} are the pool maximum"
    if estimate is not used:
        reached = [f"{nodes(count)} reach {used.of(count) or 0.0:.1%}" for count in (most, case.held)]
        return f"in a simulation of {used.traffic}, {' and '.join(reached)}"
    return f"{nodes(case.held + 1)} would not have reached more than {nodes(case.held)}"


def error_budget(loop: BudgetLoop) -> NodeRequirement:
    """Require what the loop on the error budget asks for."""
    requests = sum(one.requests for one in loop.hours)
    load = f", at {loop.load_factor:.1f} times its load" if loop.load_factor != 1.0 else ""
    most = f"{loop.allowed or 0:.1%} misses, as much of the error budget as may be spent"
    if loop.allowed_today is not None:
        most = f"{loop.allowed_today:.2%} misses until the end of the day (UTC), which missed more than a day may"
    text = (
        f"{nodes(loop.nodes)} {'is' if loop.nodes == 1 else 'are'} required for at most {most}, on the {requests:,.0f} requests of the "
        f"last {loop.seconds / HOUR:.0f} h{load}."
    )
    return NodeRequirement("error_budget", loop.nodes, [Reason("error_budget_hours", text)], text)
