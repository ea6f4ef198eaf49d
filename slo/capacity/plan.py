"""Nodes that measured demand asks for, in sentences and numbers: what arrives, what waits, what a replica can do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Any

from slo.capacity.demand import EXPECTED_AGAIN, SLOT, Demand, Promise, demand
from slo.capacity.signals import ReplicaSignals
from slo.capacity.strength import EARLIER, MEASURED, Strength
from slo.quantities import duration_text, percent_text
from slo.spec import LIMITS, Pool, Spec

CAPACITY = "capacity_tokens_per_second_per_replica"
EACH, ORIGINS = "replica_tokens_per_second", "replica_capacity_from"  # of each replica by name, and where it comes from
SOME = 1e-9  # tokens per second: replicas that stay do more than nothing, however little is asked
TTFT, TPOT = LIMITS["ttft"], LIMITS["tpot"]


def promise(spec: Spec, pool: Pool) -> Promise | None:
    """Return what a pool's objectives promise together: the tightest limits and the highest target; None without latency."""
    limits: dict[str, float] = {}
    targets = []
    for objective in spec.objectives:
        if objective.pool != pool.name or not objective.indicator.limits.keys() & {TTFT, TPOT}:
            continue
        targets.append(objective.target)
        for latency, limit in objective.indicator.limits.items():
            limits[latency] = min(limit, limits.get(latency, inf))
    return Promise(limits.get(TTFT, inf), limits.get(TPOT, inf), max(targets)) if targets else None


@dataclass(frozen=True, slots=True)
class Plan:
    """`nodes` are needed now; `keep` nodes carry the busiest minute of the hold time too, and must not be released. `lasting` is
    the same without what only works off a backlog."""

    nodes: int
    lasting: int
    keep: int
    reasons: list[str]
    evidence: dict[str, Any]
    strength: Strength


def plan(
    pool: Pool,
    replicas: tuple[ReplicaSignals, ...],
    promised: Promise,
    unseen: Sequence[str],
    now: float,
    before: Mapping[str, Any],
) -> Plan | None:
    """Plan for the demand that the replicas' samples show, and to keep the promise on that of the last quarter of an hour, on
    the replicas that are seen; `unseen` ones are there too. `before` is the evidence of the last plan: what it measured stands.

    None as long as the capacity of a replica (tokens per second) is not known.
    """
    origins = before.get(ORIGINS, {})
    own = {name: value for name, value in before.get(EACH, {}).items() if origins.get(name) in (MEASURED, EARLIER)}
    found = demand(replicas, now, before.get(CAPACITY), own, unseen)
    if found is None or not found.capacity:
        return None
    each, lead, strength = pool.node.replicas, pool.timing.cold_start, found.strength
    serving = strength.together(replica.replica for replica in replicas if replica.seen)
    draining = ceil(found.draining(serving, lead) / each)
    lately = found.lately(max(EXPECTED_AGAIN, pool.timing.scale_in_hold))
    keeping = ceil(lately.keeping(promised, pool.nodes.max * each) / each)
    nodes = max(draining, keeping)
    reasons = [
        f"{_did(strength)}; {found.rate:,.0f} tokens/s arrived in the last "
        f"minute and {found.backlog:,.0f} tokens wait: to catch up {duration_text(lead)} after a cold node was ordered and "
        f"served takes {draining} node{'s' * (draining > 1)}",
        _kept(lately, promised, keeping, each),
    ]
    evidence = {
        CAPACITY: round(found.capacity, 1),
        EACH: {name: round(strength.of(name), 1) for name in strength.present},
        ORIGINS: dict(strength.origins),
        "serving_tokens_per_second": round(serving, 1),
        "capacity_measured_seconds": round(found.saturated_seconds),
        "arriving_tokens_per_second": round(found.rate, 1),
        "backlog_tokens": round(found.backlog),
        "nodes_to_drain": draining,
        "nodes_to_keep_objective": keeping,
        "late_share_by_nodes": {
            str(count): round(lately.late(count * each, promised.wait), 4)
            for count in range(max(1, keeping - 1), keeping + 2)
        },
    }
    busiest = ceil(found.replicas_for(max(SOME, found.busiest(pool.timing.scale_in_hold))) / each)
    return Plan(nodes, max(keeping, busiest), max(nodes, busiest), reasons, evidence, strength)


def _did(strength: Strength) -> str:
    """Say what a replica can do, of each where they are unlike."""
    if not strength.own:
        return f"a replica did {strength.unit:,.0f} tokens/s when it was full"
    listed = (f"{name} {strength.of(name):,.0f} ({strength.origins[name]})" for name in strength.present)
    return (
        f"replicas are unlike, in tokens/s: {', '.join(listed)}; together {strength.together(strength.present):,.0f}, "
        f"and a new one counts as {strength.unit:,.0f}"
    )


def _kept(found: Demand, promise: Promise, keeping: int, each: int) -> str:
    """Say what fewer nodes would have meant."""
    span = duration_text(60 * round(max(60.0, len(found.arrived) * SLOT) / 60))
    in_time = 1 - found.late(keeping * each, promise.wait)
    text = (
        f"on the traffic of the last {span}, {keeping} node{'s' * (keeping > 1)} would have had at most "
        f"{duration_text(promise.wait)} of work waiting for {in_time:.1%} of it (promised: {percent_text(promise.target)})"
    )
    if keeping == 1:
        return text
    return f"{text}, {keeping - 1} only {1 - found.late((keeping - 1) * each, promise.wait):.1%}"
