"""How many nodes a role of a pool with prefill and decode engines needs, by its load and what a replica of it was measured to carry.

Decode comes first: prefill that waits for decode gains nothing by more prefill, of which transfers only expire. Nothing is removed on
what isn't known, and one node of one role at a time.
"""

from collections.abc import Sequence
from typing import NamedTuple

from plimsoll.slo.capacity.recommendation.models import Reason
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot
from plimsoll.slo.capacity.recommendation.scale_in import short
from plimsoll.slo.capacity.recommendation.texts import nodes as counted
from plimsoll.slo.capacity.recommendation.topology.role_sizing import RoleLoad
from plimsoll.slo.sli.roles import DECODE

REMOVES_BELOW = 0.7  # of what one node fewer can carry: latencies rise before a queue shows
MISSED_ABOVE = 0.7  # of what its nodes can carry, from which a missed target is put down to the role
OBSERVED = 240  # seconds of KV cache usage that a decision needs


class RoleChange(NamedTuple):
    """Nodes of a role to add (or, below 0, to remove), and why."""

    role: str
    nodes: int
    reason: Reason


def changes(case: PoolSnapshot, loads: Sequence[RoleLoad]) -> list[RoleChange]:
    """Return what to change: nodes of roles to add, or else one node to remove."""
    room = case.pool.nodes.max - sum(one.nodes for one in loads)
    added = [change for one in loads if (change := _added(case, one, loads, room)) is not None]
    if added:
        return added if sum(one.nodes for one in added) <= room else added[:1]
    removed = _removed(case, loads)
    return [removed] if removed else []


def _added(case: PoolSnapshot, one: RoleLoad, loads: Sequence[RoleLoad], room: int) -> RoleChange | None:
    pool = case.pool
    by_cache = one.kv_nodes(pool.max_kv_cache_usage) if case.kv_cache_observed_seconds >= OBSERVED else 0
    by_load = one.demand_nodes(pool.timing.cold_start)
    wanted = max(by_cache, by_load, one.nodes + 1 if _blamed(case, one, loads) else 0)
    count = min(wanted - one.nodes, room)
    if count <= 0 or (one.role != DECODE and any(other.role == DECODE and full(case, other) for other in loads)):
        return None
    if wanted == by_cache:
        why = f"KV cache usage of decode is {one.kv_usage or 0.0:.0%} (limit {pool.max_kv_cache_usage:.0%})"
    elif wanted == by_load:
        why = (
            f"{one.tokens_per_second or 0.0:,.0f} tokens/s and {one.waiting:g} waiting requests require {counted(wanted)} at "
            f"{one.saturation or 0.0:,.0f} tokens/s a replica"
        )
    else:
        why = f"the latency SLO is missed, and {one.role} carries {one.load(one.nodes) or 0.0:.0%} of what it can"
    text = f"Add {count} {one.role} node{'s' * (count != 1)}: {why}."
    return RoleChange(one.role, count, Reason("role_nodes_add", text))


def full(case: PoolSnapshot, one: RoleLoad) -> bool:
    """Whether a role is above one of the pool's limits."""
    return (
        one.kv_usage or 0.0
    ) > case.pool.max_kv_cache_usage or one.waiting > case.pool.max_waiting_per_node * one.nodes


def _blamed(case: PoolSnapshot, one: RoleLoad, loads: Sequence[RoleLoad]) -> bool:
    """Whether the counted attainment misses the target, and this role carries more of what it can than the other."""
    target = case.target
    attained = target.attained if target else None
    if target is None or attained is None or not attained.latest_total or attained.latest_within(target.target):
        return False
    if attained.good >= target.target * attained.total:
        return False
    shares = {other.role: other.load(other.nodes) for other in loads}
    known = [share for share in shares.values() if share is not None]
    mine = shares[one.role]
    return mine is not None and len(known) == len(shares) and mine == max(known) and mine >= MISSED_ABOVE


def _removed(case: PoolSnapshot, loads: Sequence[RoleLoad]) -> RoleChange | None:
    """Return the role with the lowest load that one node fewer would still carry; None where anything is not known."""
    target = case.target
    if _unknown(case, loads) or target is None or target.attained is None:
        return None
    attained, total = target.attained, sum(one.nodes for one in loads)
    if total <= case.pool.nodes.min or not attained.latest_within(target.target):
        return None
    if attained.good < target.target * attained.total:
        return None
    fits = [(after, one) for one in loads if one.nodes > 1 and (after := _after(case, one)) is not None]
    if not fits:
        return None
    after, one = min(fits, key=lambda pair: pair[0])
    text = f"Remove 1 {one.role} node: {counted(one.nodes - 1)} would carry {after:.0%} of what they can in the busiest minute."
    return RoleChange(one.role, -1, Reason("role_nodes_remove", text))


def _after(case: PoolSnapshot, one: RoleLoad) -> float | None:
    """Return the load of a role with a node fewer; None where that is too much."""
    fewer = one.nodes - 1
    after, usage = one.load(fewer), (one.kv_usage or 0.0) * one.nodes / fewer
    within = after is not None and after <= REMOVES_BELOW and usage <= case.pool.max_kv_cache_usage
    return after if within else None


def _unknown(case: PoolSnapshot, loads: Sequence[RoleLoad]) -> bool:
    """Whether a replica is missing, new, was removed in the stabilization window, had requests waiting in it, or has a load that is not known."""
    if case.unseen or any(one.load(1) is None or one.kv_usage is None for one in loads):
        return True
    for replica in case.replicas:
        recent = [value for at, value in replica.waiting if at > case.since]
        if any(recent) or (recent and not replica.seen) or (replica.seen and short(case, replica)):
            return True
    return False
