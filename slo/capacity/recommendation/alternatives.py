"""Other numbers of nodes and why they are not recommended, the expected attainment, and the cost."""

from collections.abc import Sequence

from plimsoll.slo.capacity.recommendation.expected_attainment import AttainmentEstimate
from plimsoll.slo.capacity.recommendation.models import Alternative, Cost, ExpectedAttainment, NodeRequirement
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot
from plimsoll.slo.capacity.recommendation.spot import OnDemandNeed, hourly
from plimsoll.slo.capacity.recommendation.texts import nodes as counted
from plimsoll.slo.capacity.recommendation.texts import span


def expected(case: PoolSnapshot, estimate: AttainmentEstimate, nodes: int) -> ExpectedAttainment:
    """Return the expected attainment of the current nodes and of the recommended `nodes`."""
    return ExpectedAttainment(
        target=None if case.target is None else case.target.target,
        current_nodes=_rounded(estimate.of(case.current)),
        recommended_nodes=_rounded(estimate.of(nodes)),
        method=estimate.method,
        lookback_seconds=estimate.lookback_seconds,
        unavailable_reason=estimate.unavailable_reason,
    )


def cost(case: PoolSnapshot, nodes: int, need: OnDemandNeed) -> Cost:
    """Price the current nodes and the recommended `nodes`, with as many spot nodes as allowed. Sleeping nodes are paid for, too."""
    asleep = case.asleep_nodes
    still = asleep - min(asleep, max(0, nodes - case.current))
    now = hourly(case.pool.node, case.current + asleep, need)
    then = hourly(case.pool.node, nodes + still, need)
    if now is None or then is None:
        return Cost()
    return Cost(
        usd_per_hour_current=round(now, 4),
        usd_per_hour_recommended=round(then, 4),
        usd_per_hour_difference=round(then - now, 4),
    )


def alternatives(
    case: PoolSnapshot,
    estimate: AttainmentEstimate,
    required: Sequence[NodeRequirement],
    decided: NodeRequirement,
    need: OnDemandNeed,
) -> list[Alternative]:
    """List other numbers of nodes, nearest first: one fewer, one more, the current one, and those that other rules require."""
    nodes = decided.nodes or 0
    others = {nodes - 1, nodes + 1, case.current, *(one.nodes for one in required if one.nodes is not None)}
    return [
        Alternative(
            nodes=other,
            required_by=[one.rule for one in required if one.nodes == other],
            attainment=_rounded(estimate.of(other)),
            usd_per_hour=_rounded(hourly(case.pool.node, other, need)),
            reason=_too_few(case, estimate, required, decided, other)
            if other < nodes
            else _too_many(case, estimate, other, nodes),
        )
        for other in sorted(others - {nodes, 0}, key=lambda other: (abs(other - nodes), other))
    ]


def _too_few(
    case: PoolSnapshot,
    estimate: AttainmentEstimate,
    required: Sequence[NodeRequirement],
    decided: NodeRequirement,
    nodes: int,
) -> str:
    """State why `nodes` are too few: by users first, then by a rule, then by what blocks scale-in."""
    if nodes < case.pool.nodes.min:
        return f"Below the pool minimum ({case.pool.nodes.min})."
    broken = estimate.broken(nodes)
    if broken:
        return f"{broken[0].upper()}{broken[1:]}."
    for one in required:
        if one.nodes is not None and one.nodes > nodes:
            return one.shortfall
    if case.plan and nodes < case.plan.peak_nodes:
        window = span(case.pool.timing.scale_in_stabilization)
        return f"The busiest minute of the last {window} requires {counted(case.plan.peak_nodes)}."
    if decided.rule == "hold" and decided.reasons:
        return decided.reasons[0].text
    return "Scale-in is limited to one node at a time until saturation throughput is measured."


def _too_many(case: PoolSnapshot, estimate: AttainmentEstimate, nodes: int, recommended: int) -> str:
    """State why `nodes` are not required, or not possible."""
    if nodes > case.pool.nodes.max:
        return f"Above the pool maximum ({case.pool.nodes.max})."
    if nodes == case.current:
        return f"{counted(recommended)} {'are' if recommended != 1 else 'is'} sufficient."
    ratio, enough = estimate.of(nodes), estimate.of(recommended)
    if ratio is None or enough is None:
        return "No rule requires it."
    more, less = f"{ratio:.1%}", f"{enough:.1%}"
    gain = f"attainment {more} vs. {less}" if more != less else f"attainment stays at {less}"
    return f"No rule requires it: {gain}."


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
