"""Pools whose prefill and decode run in engines of their own: signals by role, and which role is above its limit.

No number of nodes is recommended. Nodes of one role don't serve the other's work: the queue of prefill is not that of decode, its KV
cache holds prompts for seconds, and the counted latencies are of both. More prefill than decode can take in only lets transfers expire.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, fsum
from typing import Any

from plimsoll.slo.capacity.model.signals import SUSTAINED, ReplicaSignals
from plimsoll.slo.capacity.recommendation.models import ExpectedAttainment, Reason, Recommendation
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot
from plimsoll.slo.sli.roles import DECODE, PREFILL
from plimsoll.slo.units import percent_text

BOTH = "both"  # engines without a role of their own


def has_roles(case: PoolSnapshot) -> bool:
    """Return whether a replica that reports does prefill or decode alone."""
    return any(one.role in (PREFILL, DECODE) for one in case.seen)


def by_role(case: PoolSnapshot) -> Recommendation:
    """Return the recommendation to hold, with each role's signals, and the roles that need nodes named first."""
    found = {role: _signals(case, mine) for role, mine in _grouped(case.seen).items()}
    roles = sorted(
        (_reason(case, role, one) for role, one in found.items()), key=lambda one: one.code != "role_above_limit"
    )
    why = (
        "Prefill and decode run in engines of their own, and one number of nodes can't size both: no change recommended. Scale each "
        "role by its own signals."
    )
    reasons = [Reason("roles_not_sized", why), *roles]
    return Recommendation(
        pool=case.pool.name,
        action="hold",
        nodes=0,
        current_nodes=case.current,
        recommended_nodes=case.current,
        reasons=[one.text for one in reasons],
        reason_codes=[one.code for one in reasons],
        evidence=case.evidence() | {"by_role": found},
        confidence=round(len(case.seen) / case.there * min(1.0, case.kv_cache_observed_seconds / SUSTAINED), 2),
        at=case.now,
        simulated=case.simulated,
        rule="roles",
        expected_attainment=ExpectedAttainment(
            target=None if case.target is None else case.target.target, unavailable_reason=why
        ),
    )


def _grouped(seen: Sequence[ReplicaSignals]) -> dict[str, list[ReplicaSignals]]:
    groups: dict[str, list[ReplicaSignals]] = {}
    for one in seen:
        groups.setdefault(one.role or BOTH, []).append(one)
    return {role: groups[role] for role in (PREFILL, DECODE, BOTH) if role in groups}


def _signals(case: PoolSnapshot, mine: Sequence[ReplicaSignals]) -> dict[str, Any]:
    """Return the signals of one role's replicas; None where a replica doesn't report one."""
    waiting = fsum(one.waiting[-1][1] for one in mine)
    usage = [case.kv_cache_means[one.replica] for one in mine if one.replica in case.kv_cache_means]
    rates = [_rate(one.progress_tokens, case.now - SUSTAINED) for one in mine]
    known = [one for one in rates if one is not None]
    return {
        "replicas_reporting": len(mine),
        "waiting_requests": waiting,
        "waiting_per_node": round(waiting / ceil(len(mine) / case.pool.node.replicas), 2),
        "kv_cache_usage_mean": round(fsum(usage) / len(mine), 4) if len(usage) == len(mine) else None,
        "tokens_per_second": round(fsum(known), 1) if len(known) == len(mine) else None,
    }


def _rate(counter: Sequence[tuple[float, float]], since: float) -> float | None:
    """Return a counter's growth per second after `since`, without what a restart lost; None without two samples."""
    recent = [(at, value) for at, value in counter if at > since]
    if len(recent) < 2:
        return None
    grown = fsum(max(0.0, after - before) for (_, before), (_, after) in pairwise(recent))
    return grown / (recent[-1][0] - recent[0][0])


def _reason(case: PoolSnapshot, role: str, found: dict[str, Any]) -> Reason:
    """State a role's signals, and whether one is above the pool's limit."""
    queue, usage, pool = found["waiting_per_node"], found["kv_cache_usage_mean"], case.pool
    above = queue > pool.max_waiting_per_node or (usage or 0.0) > pool.max_kv_cache_usage
    cache = "no data" if usage is None else f"{usage:.0%}"
    text = (
        f"{role.capitalize()}: {queue:g} requests waiting per node (limit {pool.max_waiting_per_node}), KV cache usage {cache} "
        f"(limit {percent_text(pool.max_kv_cache_usage)})."
    )
    return Reason("role_above_limit", f"{text} Add {role} nodes.") if above else Reason("role_within_limit", text)
