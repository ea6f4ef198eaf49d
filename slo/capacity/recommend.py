"""How many nodes a pool should have, and why: a pure function of live signals and the pool's own limits.

The largest of three answers, never GPU utilisation, which is near 100 % for healthy and drowning engines alike:

- the queue. Once a replica was seen working at its limit, its capacity is known: nodes are as many as serve what arrives
  and the backlog within the time a cold node takes, and as many as would have kept the objective on the traffic of the
  last quarter of an hour. Before that, the source documents' rule: average waiting per node above the pool's limit. Warm spares
  are asked for by that rule at any time: they serve in seconds, long before a cold node would.
- a KV cache above the pool's limit for minutes (85 %, source documents).
- nodes on their way count as if they were there. Warm spares are used first and replaced behind. A release needs the
  whole hold time observed, and one node fewer must have been enough over all of it.
"""

from dataclasses import dataclass, field
from math import ceil
from typing import Any, Literal

from slo.capacity.demand import Promise
from slo.capacity.plan import Plan, plan
from slo.capacity.signals import STALE, SUSTAINED, ReplicaSignals, missing, watched
from slo.capacity.spot import Need, mix
from slo.quantities import duration_text
from slo.spec import Pool

Action = Literal["add", "release", "hold", "insufficient_data"]
STEP = 60.0  # seconds: the longest common scrape interval, by which a span of samples may fall short of the hold time
ENOUGH = 0.8  # share of a span that must be observed before something is called sustained


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to do with a pool. `nodes` is how many to add or release (0 for hold), `confidence` 0 to 1."""

    pool: str
    action: Action
    nodes: int
    current_nodes: int | None
    recommended_nodes: int | None
    reasons: list[str]
    evidence: dict[str, Any]
    confidence: float
    at: float
    simulated: bool = field(default=False)


def recommend(
    pool: Pool,
    replicas: tuple[ReplicaSignals, ...],
    now: float,
    promise: Promise | None = None,
    pending: int = 0,
    last: Recommendation | None = None,
) -> Recommendation:
    """Decide for one pool at one moment (Unix seconds).

    `promise` is what capacity is planned for (None: only queue and KV cache are judged); `pending` nodes are on their
    way, and are part of `recommended_nodes`. `last` is the answer before this one: replicas beyond it that vanish were
    released; any other that cannot be seen is taken to be there, so that blindness never shrinks a pool.
    """
    seen = [replica for replica in replicas if replica.seen]
    simulated = any(replica.simulated for replica in replicas)
    unseen = missing(replicas, now)
    if not seen:
        reason = "no replica of this pool has been seen in the last minute: nothing is known, so nothing is changed"
        blind = {"replicas_seen": 0, "replicas_unseen": unseen}
        return Recommendation(pool.name, "insufficient_data", 0, None, None, [reason], blind, 0.0, now, simulated)
    before = None if last is None else last.recommended_nodes
    there = _there(pool, len(seen), len(unseen), before)
    if there == len(seen):
        unseen = []
    current = ceil(there / pool.node.replicas) + pending
    # What was just released may still be seen: holding means the last answer, not that it comes back.
    held = current if before is None else min(current, max(before, pool.nodes.min))
    evidence = _evidence(pool, seen, unseen, ceil(len(seen) / pool.node.replicas), now)
    known = {} if last is None else last.evidence
    planned = None if promise is None else plan(pool, replicas, promise, unseen, now, known)
    evidence |= {"nodes_pending": pending, **(planned.evidence if planned else {})}
    by_queue, reasons = _by_queue(pool, evidence, held)
    if planned:
        spares = min(by_queue, held + pool.nodes.warm_spares)
        by_queue, reasons = max(planned.nodes, spares), [*planned.reasons, *(reasons if spares > held else [])]
    by_kv, why = _by_kv(pool, evidence, held)
    wanted = max(by_queue, by_kv)
    reasons = [*reasons, *why]
    if pending:
        reasons.append(f"{pending} nodes are on their way and are counted")
    if wanted <= held:
        wanted, why = _release(pool, replicas, unseen, held, now, planned)
        reasons += why
    limited, why = _limit(pool, wanted)
    reasons += why
    action: Action = "add" if limited > current else "release" if limited < current else "hold"
    if action == "add":
        reasons += _order(pool, limited - current)
    elif action == "release" and planned:
        reasons += _leaving(pool, planned, limited)
    need = _need(pool, seen, unseen, now, planned)
    mixed, why = mix(pool.node, limited, max(0, limited - current), need)
    evidence, reasons = evidence | mixed, reasons + why
    confidence = round(len(seen) / there * min(1.0, evidence["kv_observed_seconds"] / SUSTAINED), 2)
    return Recommendation(
        pool.name, action, abs(limited - current), current, limited, reasons, evidence, confidence, now, simulated
    )


def _there(pool: Pool, seen: int, unseen: int, before: int | None) -> int:
    """Count the replicas that are there: seen, and unseen ones as long as the last answer had room for them."""
    return seen + unseen if before is None else max(seen, min(seen + unseen, before * pool.node.replicas))


def _limit(pool: Pool, wanted: int) -> tuple[int, list[str]]:
    if wanted > pool.nodes.max:
        return pool.nodes.max, [f"limited to {pool.nodes.max}: the pool may have at most {pool.nodes.max} nodes"]
    if wanted < pool.nodes.min:
        return pool.nodes.min, [f"{wanted} would do, but the pool must have at least {pool.nodes.min}"]
    return wanted, []


def _evidence(pool: Pool, seen: list[ReplicaSignals], unseen: list[str], current: int, now: float) -> dict[str, Any]:
    """Collect the inputs of the rule, so that the answer can be checked by hand."""
    recent = {replica.replica: [v for at, v in replica.kv_usage if at > now - SUSTAINED] for replica in seen}
    means = {name: round(sum(values) / len(values), 4) for name, values in recent.items() if values}
    spans = [
        replica.kv_usage[-1][0] - max(replica.kv_usage[0][0], now - SUSTAINED) for replica in seen if replica.kv_usage
    ]
    waiting = {replica.replica: replica.waiting[-1][1] for replica in seen}
    return {
        "waiting_requests": waiting,
        "waiting_per_node": round(sum(waiting.values()) / current, 2),
        "queue_per_node_limit": pool.queue_per_node,
        "running_requests": {replica.replica: replica.running[-1][1] for replica in seen if replica.running},
        "kv_cache_usage_mean": means,
        "kv_cache_usage_limit": pool.kv_cache_limit,
        "kv_observed_seconds": round(min(spans, default=0.0)),
        "replicas_seen": len(seen),
        "replicas_unseen": unseen,
        "replicas_per_node": pool.node.replicas,
    }


def _by_queue(pool: Pool, evidence: dict[str, Any], current: int) -> tuple[int, list[str]]:
    """Return the nodes that the queue asks for by the documents' rule, whatever a replica can do."""
    waiting, per_node = sum(evidence["waiting_requests"].values()), evidence["waiting_per_node"]
    nodes = ceil(waiting / pool.queue_per_node) if per_node > pool.queue_per_node else current
    word = "above" if per_node > pool.queue_per_node else "within"
    asks = f", which asks for {nodes} nodes" if nodes > current else ""
    return nodes, [
        f"{waiting:g} requests wait, {per_node:g} per node: {word} the limit of {pool.queue_per_node} per node{asks}"
    ]


def _by_kv(pool: Pool, evidence: dict[str, Any], current: int) -> tuple[int, list[str]]:
    """Return the nodes that the KV cache asks for."""
    means, limit = evidence["kv_cache_usage_mean"], pool.kv_cache_limit
    if not means:
        return current, ["KV-cache use is unknown: no sample in the last 5 minutes"]
    replica, highest = max(means.items(), key=lambda item: item[1])
    text = (
        f"KV cache is {highest:.0%} used on {replica} (mean of {evidence['kv_observed_seconds']} s, highest replica): "
    )
    if highest <= limit or evidence["kv_observed_seconds"] < ENOUGH * SUSTAINED:
        return current, [f"{text}not above {limit:.0%} sustained"]
    nodes = max(current + 1, ceil(current * sum(means.values()) / len(means) / limit))
    return nodes, [f"{text}above {limit:.0%} sustained, which asks for {nodes} nodes"]


def _release(
    pool: Pool, replicas: tuple[ReplicaSignals, ...], unseen: list[str], held: int, now: float, planned: Plan | None
) -> tuple[int, list[str]]:
    """Return fewer nodes if they could have carried everything seen during the whole hold time."""
    hold = pool.timing.scale_in_hold
    since, text = now - hold, duration_text(hold)
    unknown = _unknown(replicas, unseen, hold, now, planned is not None)
    if unknown or held <= pool.nodes.min:
        return held, [f"no release {unknown}"] if unknown else []
    waited = max(value for replica in replicas for at, value in replica.waiting if at > since)
    fewer = held - 1 if planned is None else max(planned.keep, pool.nodes.min)
    if fewer >= held or (planned is None and waited > 0):
        why = f"{waited:g} requests waited" if planned is None else f"the busiest minute took {fewer} nodes"
        return held, [f"no release: in the last {text} {why}"]
    seen = [replica for replica in replicas if replica.seen]
    peak = max(value for replica in seen for at, value in replica.kv_usage if at > since)
    peak *= _share_more(pool, seen, fewer, planned)
    if peak > pool.kv_cache_limit:
        return held, [f"no release: in the last {text} the KV cache of {fewer} nodes would reach {peak:.0%}"]
    queue = "nothing waited" if planned is None else f"{fewer} nodes would have kept the objective"
    return fewer, [f"for {text} {queue}, and {fewer} nodes would have used at most {peak:.0%} of their KV cache"]


def _need(pool: Pool, seen: list[ReplicaSignals], unseen: list[str], now: float, planned: Plan | None) -> Need:
    """Return the nodes that must be left whatever vanishes, by what a release must leave: the promise, the busiest minute, KV."""
    hold = pool.timing.scale_in_hold
    since = now - hold
    if unseen:
        return Need(None, f"while {', '.join(unseen)} cannot be seen")
    if planned is None:
        return Need(None, "before a replica was seen full and the pool has a latency objective")
    blind = [replica.replica for replica in seen if not replica.kv_usage or now - replica.kv_usage[-1][0] > STALE]
    if blind:
        return Need(None, f"as KV-cache use of {', '.join(blind)} is not")
    # One that has just started is no reason: the others show what the pool was asked for.
    if all(_short(replica, now, hold) for replica in seen):
        return Need(None, f"before the pool has been observed for {duration_text(hold)}")
    peak = max(value for replica in seen for at, value in replica.kv_usage if at > since)
    strength = planned.strength
    cached = strength.count_for(peak * strength.together(strength.present) / pool.kv_cache_limit)
    return Need(max(pool.nodes.min, planned.lasting, ceil(cached / pool.node.replicas)))


def _share_more(pool: Pool, seen: list[ReplicaSignals], fewer: int, planned: Plan | None) -> float:
    """Times as much as now that each of `fewer` nodes would carry, the strongest having left."""
    if planned is None:
        return ceil(len(seen) / pool.node.replicas) / fewer
    strength = planned.strength
    return strength.together(replica.replica for replica in seen) / strength.least(fewer * pool.node.replicas)


def _leaving(pool: Pool, planned: Plan, fewer: int) -> list[str]:
    """Say which replicas had best leave, where they are unlike."""
    strength, count = planned.strength, len(planned.strength.present) - fewer * pool.node.replicas
    names = strength.weakest_first()[: max(0, count)]
    if not strength.own or not names:
        return []
    return [
        f"best to leave, as the weakest: {', '.join(names)}; the rest is enough even if the strongest leave instead"
    ]


def _unknown(
    replicas: tuple[ReplicaSignals, ...], unseen: list[str], hold: float, now: float, planned: bool
) -> str | None:
    """Say why too little is known to release anything; None where enough is."""
    since, text = now - hold, duration_text(hold)
    if unseen:
        return f"while {', '.join(unseen)} cannot be seen"
    for replica in replicas:
        # Without a plan that knows the demand of all, what a stopped replica carried has to show on the others first.
        if not planned and not replica.seen and any(at > since for at, _ in replica.waiting[-1:]):
            return f"before the nodes that are left have been observed alone for {text}"
        if replica.seen and _short(replica, now, hold):
            return f"before {replica.replica} has been observed for {text}"
    return None


def _short(replica: ReplicaSignals, now: float, hold: float) -> bool:
    """Whether a replica has not been observed for the hold time, or, where that is shorter than STEP, at all in it."""
    return min(_observed(samples, now - hold) for samples in (replica.waiting, replica.kv_usage)) < max(hold - STEP, 1)


def _observed(samples: list[tuple[float, float]], since: float) -> float:
    before = [at for at, _ in samples if at <= since]
    return watched(
        [*([since] if before and since - before[-1] <= STEP else []), *(at for at, _ in samples if at > since)]
    )


def _order(pool: Pool, nodes: int) -> list[str]:
    """Say in which order to add: what serves in seconds first."""
    warm = min(nodes, pool.nodes.warm_spares)
    steps = []
    if warm:
        steps.append(f"activate {warm} warm spare{'s' * (warm > 1)} first: serving in about {pool.timing.warm_start}")
    if nodes > warm:
        steps.append(
            f"start {nodes - warm} cold node{'s' * (nodes - warm > 1)}: serving in about {pool.timing.cold_start}"
        )
    if warm:
        steps.append(f"start {warm} more behind, so that a warm spare stands by again")
    return steps
