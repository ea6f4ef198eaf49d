"""A pool at one moment, as everything that decides about it sees it: what is there, what is not seen, what is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from plimsoll.slo.capacity.model.signals import SUSTAINED, ReplicaSignals, missing
from plimsoll.slo.capacity.recommendation.demand import Demand, LatencyTarget
from plimsoll.slo.capacity.recommendation.demand_plan import Plan, measured, plan
from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.spec.objectives import Pool


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """`there` replicas are those seen and those unseen that are taken to be there; `current` nodes hold them, `pending` ones included;
    `held` nodes are what holding means. `plan` is None as long as a replica's capacity is not known or nothing is promised, `demand`
    where the counters are missing."""

    pool: Pool
    replicas: tuple[ReplicaSignals, ...]
    now: float
    promise: LatencyTarget | None
    seen: list[ReplicaSignals]
    unseen: list[str]
    there: int
    current: int
    pending: int
    held: int
    demand: Demand | None
    plan: Plan | None
    evidence: dict[str, Any]

    @property
    def simulated(self) -> bool:
        """Whether it is no real fleet."""
        return any(replica.simulated for replica in self.replicas)

    @property
    def waiting(self) -> float:
        """Requests that wait now, at the replicas that are seen."""
        return sum(replica.waiting[-1][1] for replica in self.seen)

    @property
    def saturated(self) -> bool:
        """Whether more requests wait per node than the pool's limit."""
        return self.waiting > self.pool.max_waiting_per_node * ceil(len(self.seen) / self.pool.node.replicas)

    @property
    def since(self) -> float:
        """When the hold time began, in Unix seconds."""
        return self.now - self.pool.timing.scale_in_stabilization


def look(
    pool: Pool,
    replicas: tuple[ReplicaSignals, ...],
    now: float,
    promise: LatencyTarget | None,
    pending: int = 0,
    last: Recommendation | None = None,
) -> PoolSnapshot:
    """Collect what is known of a pool; `pending` nodes are on their way. `last` is the answer before this one: what it measured stands,
    and replicas beyond it that vanish were released."""
    seen = [replica for replica in replicas if replica.seen]
    unseen = missing(replicas, now)
    before = None if last is None else last.recommended_nodes
    there = _there(pool, len(seen), len(unseen), before)
    if there == len(seen):
        unseen = []
    current = ceil(there / pool.node.replicas) + pending
    # What was just released may still be seen: holding means the last answer, not that it comes back.
    held = current if before is None else min(current, max(before, pool.nodes.min))
    known: Mapping[str, Any] = {} if last is None else last.evidence
    demand = measured(replicas, unseen, now, known) if seen else None
    planned = plan(pool, demand, promise, seen) if demand and promise else None
    evidence = _evidence(pool, seen, unseen, now) | {"nodes_pending": pending} | (planned.evidence if planned else {})
    return PoolSnapshot(
        *(pool, replicas, now, promise, seen, unseen, there, current, pending, held, demand, planned, evidence)
    )


def _there(pool: Pool, seen: int, unseen: int, before: int | None) -> int:
    """Count the replicas that are there: seen, and unseen ones as long as the last answer had room for them."""
    return seen + unseen if before is None else max(seen, min(seen + unseen, before * pool.node.replicas))


def _evidence(pool: Pool, seen: list[ReplicaSignals], unseen: list[str], now: float) -> dict[str, Any]:
    """Collect the inputs of the rules, so that the answer can be checked by hand."""
    if not seen:
        return {"replicas_seen": 0, "replicas_unseen": unseen}
    recent = {replica.replica: [v for at, v in replica.kv_usage if at > now - SUSTAINED] for replica in seen}
    means = {name: round(sum(values) / len(values), 4) for name, values in recent.items() if values}
    spans = [
        replica.kv_usage[-1][0] - max(replica.kv_usage[0][0], now - SUSTAINED) for replica in seen if replica.kv_usage
    ]
    waiting = {replica.replica: replica.waiting[-1][1] for replica in seen}
    return {
        "waiting_requests": waiting,
        "waiting_per_node": round(sum(waiting.values()) / ceil(len(seen) / pool.node.replicas), 2),
        "queue_per_node_limit": pool.max_waiting_per_node,
        "running_requests": {replica.replica: replica.running[-1][1] for replica in seen if replica.running},
        "kv_cache_usage_mean": means,
        "kv_cache_usage_limit": pool.max_kv_cache_usage,
        "kv_observed_seconds": round(min(spans, default=0.0)),
        "replicas_seen": len(seen),
        "replicas_unseen": unseen,
        "replicas_per_node": pool.node.replicas,
    }
