"""Pools whose prefill and decode run in engines of their own: the recommendation by role.

Nodes of one role don't serve the other's work: the queue of prefill is not that of decode, its KV cache holds prompts for seconds, and
the counted latencies are of both. So each role is sized by what its replicas were measured to carry, and left as it is until then.
"""

from collections.abc import Sequence
from math import ceil, fsum
from typing import Any

from plimsoll.slo.capacity.model.signals import SUSTAINED, ReplicaSignals
from plimsoll.slo.capacity.recommendation.alternatives import cost
from plimsoll.slo.capacity.recommendation.measured_state import MeasuredState
from plimsoll.slo.capacity.recommendation.models import ExpectedAttainment, Reason, Recommendation, RoleNodes
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot
from plimsoll.slo.capacity.recommendation.spot import OnDemandNeed
from plimsoll.slo.capacity.recommendation.topology.role_nodes import RoleChange, changes, full
from plimsoll.slo.capacity.recommendation.topology.role_sizing import RoleLoad, rate_of, role_loads, saturations
from plimsoll.slo.sli.roles import DECODE, PREFILL
from plimsoll.slo.units import percent_text

BOTH = "both"  # engines without a role of their own
UNAVAILABLE = "Prefill and decode run in engines of their own, which are not simulated together."


def has_roles(case: PoolSnapshot) -> bool:
    """Return whether a replica that reports does prefill or decode alone."""
    return any(one.role in (PREFILL, DECODE) for one in case.seen)


def by_role(case: PoolSnapshot, state: MeasuredState | None) -> tuple[Recommendation, MeasuredState]:
    """Return the recommendation, with each role's signals, and the state that the next decision needs."""
    found = {role: _signals(case, mine) for role, mine in _grouped(case.seen).items()}
    saturation = saturations(case, state.role_throughput if state else None)
    loads = role_loads(case, saturation)
    # The load of an engine of both roles can't be separated.
    changed = [] if BOTH in found else changes(case, loads)
    roles = [_reason(case, role, one) for role, one in found.items()]
    roles.sort(key=lambda one: one.code != "role_above_limit")
    reasons = [*([one.reason for one in changed] or [_unchanged(case, loads, BOTH in found)]), *roles]
    change = sum(one.nodes for one in changed)
    recommendation = Recommendation(
        pool=case.pool.name,
        action="scale_out" if change > 0 else "scale_in" if change < 0 else "hold",
        nodes=abs(change),
        current_nodes=case.current,
        recommended_nodes=case.current + change,
        roles=[] if BOTH in found else [_role_nodes(one, changed) for one in loads],
        reasons=[one.text for one in reasons],
        reason_codes=[one.code for one in reasons],
        evidence=case.evidence() | {"by_role": found},
        confidence=round(len(case.seen) / case.there * min(1.0, case.kv_cache_observed_seconds / SUSTAINED), 2),
        at=case.now,
        simulated=case.simulated,
        rule="roles",
        cost=cost(case, case.current + change, OnDemandNeed(None)),
        expected_attainment=ExpectedAttainment(
            target=None if case.target is None else case.target.target, unavailable_reason=UNAVAILABLE
        ),
    )
    return recommendation, MeasuredState(case.now, case.current + change, role_throughput=saturation)


def _role_nodes(one: RoleLoad, changed: Sequence[RoleChange]) -> RoleNodes:
    return RoleNodes(
        role=one.role,
        current_nodes=one.nodes,
        recommended_nodes=one.nodes + sum(change.nodes for change in changed if change.role == one.role),
        saturation_tokens_per_second_per_replica=one.saturation,
    )


def _unchanged(case: PoolSnapshot, loads: Sequence[RoleLoad], mixed: bool) -> Reason:
    """State why no role is changed: what is not known, or that both carry their load."""
    if mixed:
        text = "No change: engines with one role and with both serve this pool, and their loads can't be separated."
        return Reason("roles_not_sized", text)
    unknown = [one.role for one in loads if one.saturation is None]
    if unknown:
        text = f"No change: saturation throughput of {' and of '.join(unknown)} isn't known until a replica has had requests waiting for a minute."
        above = next((one.role for one in loads if full(case, one)), None)
        return Reason("roles_not_sized", f"{text} Add {above} nodes by hand." if above else text)
    parts = (f"{one.role} {'not known' if (load := one.load(one.nodes)) is None else f'{load:.0%}'}" for one in loads)
    return Reason("roles_within_capacity", f"No change. Load of what each role can carry: {', '.join(parts)}.")


def _grouped(seen: Sequence[ReplicaSignals]) -> dict[str, list[ReplicaSignals]]:
    groups: dict[str, list[ReplicaSignals]] = {}
    for one in seen:
        groups.setdefault(one.role or BOTH, []).append(one)
    return {role: groups[role] for role in (PREFILL, DECODE, BOTH) if role in groups}


def _signals(case: PoolSnapshot, mine: Sequence[ReplicaSignals]) -> dict[str, Any]:
    """Return the signals of one role's replicas; None where a replica doesn't report one."""
    waiting = fsum(one.waiting[-1][1] for one in mine)
    usage = [case.kv_cache_means[one.replica] for one in mine if one.replica in case.kv_cache_means]
    rate = rate_of(mine, case.now - SUSTAINED)
    return {
        "replicas_reporting": len(mine),
        "waiting_requests": waiting,
        "waiting_per_node": round(waiting / ceil(len(mine) / case.pool.node.replicas), 2),
        "kv_cache_usage_mean": round(fsum(usage) / len(mine), 4) if len(usage) == len(mine) else None,
        "tokens_per_second": None if rate is None else round(rate, 1),
    }


def _reason(case: PoolSnapshot, role: str, found: dict[str, Any]) -> Reason:
    """State a role's signals, and whether one is above the pool's limit."""
    queue, usage, pool = found["waiting_per_node"], found["kv_cache_usage_mean"], case.pool
    above = queue > pool.max_waiting_per_node or (usage or 0.0) > pool.max_kv_cache_usage
    cache = "no data" if usage is None else f"{usage:.0%}"
    text = (
        f"{role.capitalize()}: {queue:g} requests waiting per node (limit {pool.max_waiting_per_node}), KV cache usage {cache} "
        f"(limit {percent_text(pool.max_kv_cache_usage)})."
    )
    return Reason("role_above_limit" if above else "role_within_limit", text)
