"""What may be released, what must be left whatever vanishes, and who had best leave. What is not known releases nothing."""

from math import ceil

from plimsoll.slo.capacity.model.signals import STALE, ReplicaSignals, watched
from plimsoll.slo.capacity.recommendation.expected_attainment import ExpectedAttainment
from plimsoll.slo.capacity.recommendation.models import Rule
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot
from plimsoll.slo.capacity.recommendation.rules import Ask
from plimsoll.slo.capacity.recommendation.spot import Need
from plimsoll.slo.units import duration_text

STEP = 60.0  # seconds: the longest common scrape interval, by which a span of samples may fall short of the hold time
HOLD: Rule = "hold"


def release(case: PoolSnapshot, outlook: ExpectedAttainment) -> Ask:
    """Return fewer nodes if they could have carried everything seen during the whole hold time, and keep the promise in a trial where
    one can be made."""
    held, least, planned = case.held, case.pool.nodes.min, case.plan
    text = duration_text(case.pool.timing.scale_in_stabilization)
    unknown = _unknown(case)
    if unknown or held <= least:
        return Ask(HOLD, held, [f"no release {unknown}"] if unknown else [])
    # Fewer may do for what comes, but those who wait now would wait longer: what is ordered is not called off either.
    if case.saturated:
        most = case.pool.max_waiting_per_node
        return Ask(HOLD, held, [f"no release while {case.waiting:g} requests wait: above the limit of {most} per node"])
    waited = max(value for replica in case.replicas for at, value in replica.waiting if at > case.since)
    fewer = held - 1 if planned is None else max(planned.keep, least)
    if fewer >= held or (planned is None and waited > 0):
        why = f"{waited:g} requests waited" if planned is None else f"the busiest minute took {fewer} nodes"
        return Ask(HOLD, held, [f"no release: in the last {text} {why}"])
    peak = _peak(case) * _share_more(case, fewer)
    if peak > case.pool.max_kv_cache_usage:
        return Ask(HOLD, held, [f"no release: in the last {text} the KV cache of {fewer} nodes would reach {peak:.0%}"])
    enough = _enough(outlook, fewer, held)
    if enough == held:
        return Ask(HOLD, held, [f"no release: with {_nodes(held - 1)} {outlook.failed(held - 1)}"])
    queue = "nothing waited" if planned is None else f"{fewer} nodes would have kept the objective"
    reason = f"for {text} {queue}, and {fewer} nodes would have used at most {peak:.0%} of their KV cache"
    return Ask("scale_in", enough, [reason, *_trial(outlook, fewer, enough)])


def _enough(outlook: ExpectedAttainment, fewer: int, held: int) -> int:
    """Return the fewest nodes, from `fewer` to `held`, that keep the promise in a trial, as more of them do no worse; `held` is not tried.

    Without a simulator `fewer` are enough. One fewer is tried first: where that fails, as it does for minutes on end, it is all.
    """
    if outlook.failed(held - 1):
        return held
    low, high = fewer, held - 1
    while low < high:
        middle = (low + high) // 2 if low > fewer else low  # most often the fewest are enough
        if outlook.failed(middle):
            low = middle + 1
        else:
            high = middle
    return high


def _trial(outlook: ExpectedAttainment, fewer: int, enough: int) -> list[str]:
    """Say what the trial showed, or that there was none."""
    if outlook.engine is None:
        return ["not tried by simulation: the step times of this pool are not known"]
    share = outlook.of(enough)
    less = [f"with {_nodes(enough - 1)} {outlook.failed(enough - 1)}"] if enough > fewer else []
    kept = f"in a simulation {_nodes(enough)} would serve {share:.1%} of {outlook.traffic} in time" if share else ""
    return [kept, *less] if kept else less


def _nodes(count: int) -> str:
    return f"{count} node{'s' * (count != 1)}"


def need(case: PoolSnapshot) -> Need:
    """Return the nodes that must be left whatever vanishes, by what a release must leave: the promise, the busiest minute, KV."""
    pool, planned = case.pool, case.plan
    if case.unseen:
        return Need(None, f"while {', '.join(case.unseen)} cannot be seen")
    if planned is None:
        return Need(None, "before a replica was seen full and the pool has a latency objective")
    blind = [one.replica for one in case.seen if not one.kv_usage or case.now - one.kv_usage[-1][0] > STALE]
    if blind:
        return Need(None, f"as KV-cache use of {', '.join(blind)} is not")
    # One that has just started is no reason: the others show what the pool was asked for.
    if all(_short(case, replica) for replica in case.seen):
        return Need(None, f"before the pool has been observed for {duration_text(pool.timing.scale_in_stabilization)}")
    throughput = planned.throughput
    cached = throughput.count_for(_peak(case) * throughput.together(throughput.present) / pool.max_kv_cache_usage)
    return Need(max(pool.nodes.min, planned.lasting, ceil(cached / pool.node.replicas)))


def leaving(case: PoolSnapshot, fewer: int) -> list[str]:
    """Say which replicas had best leave, where they are unlike."""
    if case.plan is None:
        return []
    throughput = case.plan.throughput
    names = throughput.weakest_first()[: max(0, len(throughput.present) - fewer * case.pool.node.replicas)]
    if not throughput.own or not names:
        return []
    return [
        f"best to leave, as the weakest: {', '.join(names)}; the rest is enough even if the strongest leave instead"
    ]


def _peak(case: PoolSnapshot) -> float:
    """Most of a KV cache that was used in the hold time, 0 to 1."""
    return max(value for replica in case.seen for at, value in replica.kv_usage if at > case.since)


def _share_more(case: PoolSnapshot, fewer: int) -> float:
    """Times as much as now that each of `fewer` nodes would carry, the strongest having left."""
    each = case.pool.node.replicas
    if case.plan is None:
        return ceil(len(case.seen) / each) / fewer
    throughput = case.plan.throughput
    return throughput.together(replica.replica for replica in case.seen) / throughput.least(fewer * each)


def _unknown(case: PoolSnapshot) -> str | None:
    """Say why too little is known to release anything; None where enough is."""
    text = duration_text(case.pool.timing.scale_in_stabilization)
    if case.unseen:
        return f"while {', '.join(case.unseen)} cannot be seen"
    for replica in case.replicas:
        # Without a plan that knows the demand of all, what a stopped replica carried has to show on the others first.
        if case.plan is None and not replica.seen and any(at > case.since for at, _ in replica.waiting[-1:]):
            return f"before the nodes that are left have been observed alone for {text}"
        if replica.seen and _short(case, replica):
            return f"before {replica.replica} has been observed for {text}"
    return None


def _short(case: PoolSnapshot, replica: ReplicaSignals) -> bool:
    """Whether a replica has not been observed for the hold time, or, where that is shorter than STEP, at all in it."""
    least = min(_observed(samples, case.since) for samples in (replica.waiting, replica.kv_usage))
    return least < max(case.pool.timing.scale_in_stabilization - STEP, 1)


def _observed(samples: list[tuple[float, float]], since: float) -> float:
    before = [at for at, _ in samples if at <= since]
    return watched(
        [*([since] if before and since - before[-1] <= STEP else []), *(at for at, _ in samples if at > since)]
    )
