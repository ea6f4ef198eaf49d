"""Nodes that may be removed, nodes that must stay if spot nodes are reclaimed, and replicas to remove first. Unknown never removes a node."""

from math import ceil

from plimsoll.slo.capacity.model.signals import STALE, ReplicaSignals, watched
from plimsoll.slo.capacity.recommendation.attainment_rules import GAIN
from plimsoll.slo.capacity.recommendation.error_budget.loop_state import MOST_TURNS, BudgetLoop
from plimsoll.slo.capacity.recommendation.expected_attainment import AttainmentEstimate
from plimsoll.slo.capacity.recommendation.models import NodeRequirement, Reason, ReasonCode
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot
from plimsoll.slo.capacity.recommendation.proven_load import coming_load, proven_nodes
from plimsoll.slo.capacity.recommendation.spot import OnDemandNeed
from plimsoll.slo.capacity.recommendation.texts import nodes, span

TURNS = f"the direction changed {MOST_TURNS - 1} times within a week, and adding nodes again would be the last of {MOST_TURNS} times"
STEP = 60.0  # seconds: the longest common scrape interval, by which a span of samples may fall short of the stabilization window


def scale_in(
    case: PoolSnapshot, estimate: AttainmentEstimate, loop: BudgetLoop, proven: float | None = None
) -> NodeRequirement:
    """Return fewer nodes if the loop on the error budget requires fewer; before it has learned enough, if they could have served all of
    the stabilization window, and meet the SLO in a simulation where one is possible."""
    held, least, unknown = case.held, case.pool.nodes.min, _unknown(case)
    if held <= least:
        return NodeRequirement("hold", held, [_blocked("scale_in_blocked_data", unknown)] if unknown else [])
    if unknown or not loop.may_turn(case.now):
        blocked = _blocked("scale_in_blocked_data", unknown) if unknown else _blocked("scale_in_blocked_turns", TURNS)
        return NodeRequirement("hold", held, [blocked])
    return _one_node(case, loop) if loop.decides else _several_nodes(case, estimate, proven)


def _several_nodes(case: PoolSnapshot, estimate: AttainmentEstimate, proven: float | None) -> NodeRequirement:
    """Return the nodes that the stabilization window required, if they are fewer."""
    held, least, plan = case.held, case.pool.nodes.min, case.plan
    fewer = held - 1 if plan is None else max(plan.least_nodes, least)
    peak = _peak(case) * _load_factor(case, fewer)
    blocked = _by_load(case, fewer) or _by_kv_cache(case, fewer, peak)
    if blocked:
        return NodeRequirement("hold", held, [blocked])
    simulated, shown = _enough(estimate, fewer, held), max(fewer, proven_nodes(case, proven))
    enough = min(simulated, shown)
    if enough >= held:
        return NodeRequirement("hold", held, [_blocked("scale_in_blocked_slo", f"{estimate.too_few(held - 1)}")])
    queue = "no request was waiting" if plan is None else f"{nodes(fewer)} would have met the latency SLO"
    window = span(case.pool.timing.scale_in_stabilization)
    text = f"In the last {window}, {queue}, with at most {peak:.0%} KV cache usage on {nodes(fewer)}."
    if shown < simulated:
        text = f"{text} Requests met the target on as much load per node as {nodes(enough)} would have now ({proven or 0:,.0f} tokens/s)."
        return NodeRequirement("scale_in", enough, [Reason("scale_in_possible", text)])
    return NodeRequirement(
        "scale_in", enough, [Reason("scale_in_possible", text), *_simulated(estimate, fewer, enough)]
    )


def _one_node(case: PoolSnapshot, loop: BudgetLoop) -> NodeRequirement:
    """Return one node fewer where the error budget requires fewer: each removal costs a warm prefix cache."""
    held = case.held
    if loop.nodes >= held:
        return NodeRequirement("hold", held, [])
    fewer = held - 1
    peak = _peak(case) * _load_factor(case, fewer)
    blocked = _by_queue(case) or _by_kv_cache(case, fewer, peak)
    if blocked:
        return NodeRequirement("hold", held, [blocked])
    text = f"One node at a time, with at most {peak:.0%} KV cache usage on {nodes(fewer)}."
    return NodeRequirement("scale_in", fewer, [Reason("scale_in_possible", text)])


def _by_queue(case: PoolSnapshot) -> Reason | None:
    # Fewer may suffice for the demand, but requests that wait now would wait longer: ordered nodes are not canceled either.
    if not case.saturated:
        return None
    text = f"{case.waiting:g} requests are waiting (limit {case.pool.max_waiting_per_node} per node)"
    return _blocked("scale_in_blocked_queue", text)


def _by_load(case: PoolSnapshot, fewer: int) -> Reason | None:
    """State which queue or demand blocks scale-in; None where none does."""
    window = span(case.pool.timing.scale_in_stabilization)
    if (queued := _by_queue(case)) is not None:
        return queued
    waited = max(value for replica in case.replicas for at, value in replica.waiting if at > case.since)
    if case.plan is None and waited > 0:
        return _blocked("scale_in_blocked_queue", f"{waited:g} requests were waiting in the last {window}")
    if coming_load(case) is not None:
        return _blocked("scale_in_blocked_demand", "demand rises")
    if fewer >= case.held:
        text = f"the traffic of the last {window} and the latency SLO require {nodes(fewer)}"
        return _blocked("scale_in_blocked_demand", text)
    return None


def _by_kv_cache(case: PoolSnapshot, fewer: int, peak: float) -> Reason | None:
    """State which KV cache usage blocks scale-in; None where none does."""
    most = case.pool.max_kv_cache_usage
    if peak <= most:
        return None
    text = f"KV cache usage of {nodes(fewer)} would reach {peak:.0%} (limit {most:.0%})"
    return _blocked("scale_in_blocked_kv_cache", text)


def _blocked(code: ReasonCode, cause: str) -> Reason:
    return Reason(code, f"Scale-in blocked: {cause}.")


def _enough(estimate: AttainmentEstimate, fewer: int, held: int) -> int:
    """Return the fewest nodes, from `fewer` to `held`, that meet the SLO with a margin in a simulation, as more nodes do no worse; `held` is
    not simulated.

    Without a simulator `fewer` are enough. One fewer than `held` is simulated first: where that fails, as it does for minutes on end,
    it is the only run.
    """
    if _worse(estimate, held - 1):
        return held
    low, high = fewer, held - 1
    while low < high:
        middle = (low + high) // 2 if low > fewer else low  # most often the fewest are enough
        if _worse(estimate, middle):
            low = middle + 1
        else:
            high = middle
    return high


def _worse(estimate: AttainmentEstimate, count: int) -> bool:
    """Whether `count` nodes are too few in a simulation; where it is out of reach, whether they attain less than the most nodes."""
    if not estimate.too_few(count):
        return False
    return estimate.at_most is None or estimate.at_most.short_of_most(count)[0] > GAIN


def _simulated(estimate: AttainmentEstimate, fewer: int, enough: int) -> list[Reason]:
    """State the result of the simulation, or that there was none."""
    if estimate.engine is None:
        return [Reason("scale_in_not_simulated", "Not simulated: no calibration yet.")]
    estimate = estimate.at_most or estimate
    ratio = estimate.of(enough)
    if not ratio:
        return []
    reach = f"{nodes(enough)} reach{'es' * (enough == 1)} {ratio:.1%} attainment"
    less = estimate.of(enough - 1) if enough > fewer else None
    fails = "" if less is None else f"; {nodes(enough - 1)}, {less:.1%}"
    return [Reason("scale_in_simulated", f"Simulated {estimate.traffic}: {reach}{fails}.")]


def on_demand_need(case: PoolSnapshot) -> OnDemandNeed:
    """Return the nodes that must stay if spot nodes are reclaimed: for the SLO, the busiest minute, and the KV cache."""
    pool, plan = case.pool, case.plan
    if case.unseen:
        return OnDemandNeed(None, f"{', '.join(case.unseen)} not reporting")
    if plan is None:
        return OnDemandNeed(None, "no replica has been saturated yet, or the pool has no latency SLO")
    unreported = [one.replica for one in case.seen if not one.kv_usage or case.now - one.kv_usage[-1][0] > STALE]
    if unreported:
        return OnDemandNeed(None, f"no KV cache usage from {', '.join(unreported)}")
    # A replica that has just started does not count: the others show the demand.
    if all(short(case, replica) for replica in case.seen):
        return OnDemandNeed(None, f"the pool has not been observed for {span(pool.timing.scale_in_stabilization)} yet")
    throughput = plan.throughput
    cached = throughput.count_for(_peak(case) * throughput.together(throughput.present) / pool.max_kv_cache_usage)
    return OnDemandNeed(max(pool.nodes.min, plan.lasting_nodes, ceil(cached / pool.node.replicas)))


def weakest(case: PoolSnapshot, fewer: int) -> list[Reason]:
    """Name the replicas to remove first, where replicas differ."""
    if case.plan is None:
        return []
    throughput = case.plan.throughput
    names = throughput.weakest_first()[: max(0, len(throughput.present) - fewer * case.pool.node.replicas)]
    if not throughput.measured or not names:
        return []
    text = (
        f"Remove first (lowest throughput): {', '.join(names)}. The rest suffices even if the strongest leave instead."
    )
    return [Reason("weakest_replicas", text)]


def _peak(case: PoolSnapshot) -> float:
    """Highest KV cache usage in the stabilization window, 0 to 1."""
    return max(value for replica in case.seen for at, value in replica.kv_usage if at > case.since)


def _load_factor(case: PoolSnapshot, fewer: int) -> float:
    """Times its present load that each of `fewer` nodes would serve, the strongest replicas having left."""
    if case.plan is None:
        return case.seen_nodes / fewer
    throughput = case.plan.throughput
    return throughput.together(replica.replica for replica in case.seen) / throughput.least(
        fewer * case.pool.node.replicas
    )


def _unknown(case: PoolSnapshot) -> str | None:
    """State why too little is known to remove anything; None where enough is."""
    window = span(case.pool.timing.scale_in_stabilization)
    if case.unseen:
        return f"{', '.join(case.unseen)} not reporting"
    for replica in case.replicas:
        # Without a plan that knows the demand of all, the load of a stopped replica has to show on the others first.
        if case.plan is None and not replica.seen and any(at > case.since for at, _ in replica.waiting[-1:]):
            return f"the remaining nodes have not been observed alone for {window} yet"
        if replica.seen and short(case, replica):
            return f"{replica.replica} has not been observed for {window} yet"
    return None


def short(case: PoolSnapshot, replica: ReplicaSignals) -> bool:
    """Whether a replica has not been observed for the stabilization window, or, where that is shorter than STEP, at all in it."""
    least = min(_observed(samples, case.since) for samples in (replica.waiting, replica.kv_usage))
    return least < max(case.pool.timing.scale_in_stabilization - STEP, 1)


def _observed(samples: list[tuple[float, float]], since: float) -> float:
    before = [at for at, _ in samples if at <= since]
    return watched(
        [*([since] if before and since - before[-1] <= STEP else []), *(at for at, _ in samples if at > since)]
    )
