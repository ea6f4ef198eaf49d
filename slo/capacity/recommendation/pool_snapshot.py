"""A pool at one moment, as every rule sees it: replicas that report, replicas that don't, demand and plan."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

from plimsoll.slo.capacity.model.signals import SUSTAINED, ReplicaSignals, missing
from plimsoll.slo.capacity.recommendation.demand import Demand, LatencyTarget, demand
from plimsoll.slo.capacity.recommendation.demand_plan import Plan, plan
from plimsoll.slo.capacity.recommendation.measured_state import MeasuredState
from plimsoll.slo.capacity.special_hours import USUAL, SpecialHours
from plimsoll.slo.spec.objectives import Pool


@dataclass(frozen=True)
class PoolSnapshot:
    """A pool at `now` (Unix seconds). `target` is what capacity is planned for (None: only queue and KV cache are evaluated).

    `there` replicas are those that report and those that don't but count as present; `current` nodes hold them, `pending` ones
    included; `held` nodes are what holding means. `plan` is None while the saturation throughput is unknown or the pool has no latency
    SLO, `demand` where the counters are missing. `special` are the pool's holidays and announced events."""

    pool: Pool
    replicas: tuple[ReplicaSignals, ...]
    now: float
    target: LatencyTarget | None
    seen: list[ReplicaSignals]
    unseen: list[str]
    there: int
    current: int
    pending: int
    held: int
    demand: Demand | None
    plan: Plan | None
    special: SpecialHours = USUAL

    @cached_property
    def asleep(self) -> list[str]:
        """Names of the replicas that sleep: no capacity now, and the quickest to add."""
        return [one.replica for one in self.replicas if one.asleep]

    @property
    def asleep_nodes(self) -> int:
        """Nodes that the sleeping replicas fill."""
        return ceil(len(self.asleep) / self.pool.node.replicas)

    @property
    def simulated(self) -> bool:
        """Whether any replica is simulated."""
        return any(replica.simulated for replica in self.replicas)

    @property
    def seen_nodes(self) -> int:
        """Nodes that the reporting replicas fill."""
        return ceil(len(self.seen) / self.pool.node.replicas)

    @property
    def waiting(self) -> float:
        """Requests that are waiting now at the reporting replicas."""
        return sum(replica.waiting[-1][1] for replica in self.seen)

    @property
    def waiting_per_node(self) -> float:
        """The same per node, to two decimal places."""
        return round(self.waiting / self.seen_nodes, 2)

    @property
    def saturated(self) -> bool:
        """Whether more requests are waiting per node than the pool's limit."""
        return self.waiting > self.pool.max_waiting_per_node * self.seen_nodes

    @property
    def since(self) -> float:
        """Start of the scale-in stabilization window, in Unix seconds."""
        return self.now - self.pool.timing.scale_in_stabilization

    @cached_property
    def kv_cache_means(self) -> dict[str, float]:
        """Mean KV cache usage of the last SUSTAINED seconds by replica, 0 to 1; without replicas that have no sample."""
        since = self.now - SUSTAINED
        recent = {one.replica: [value for at, value in one.kv_usage if at > since] for one in self.seen}
        return {name: round(sum(values) / len(values), 4) for name, values in recent.items() if values}

    @cached_property
    def kv_cache_observed_seconds(self) -> int:
        """Seconds of SUSTAINED for which every replica that reports KV cache usage has data."""
        spans = [
            one.kv_usage[-1][0] - max(one.kv_usage[0][0], self.now - SUSTAINED) for one in self.seen if one.kv_usage
        ]
        return round(min(spans, default=0.0))

    def evidence(self) -> dict[str, Any]:
        """Return the inputs of the rules for people, who can then check the recommendation by hand."""
        if not self.seen:
            return {"replicas_reporting": 0, "replicas_not_reporting": self.unseen, "nodes_pending": self.pending}
        found = {
            "waiting_requests": {one.replica: one.waiting[-1][1] for one in self.seen},
            "waiting_per_node": self.waiting_per_node,
            "max_waiting_per_node": self.pool.max_waiting_per_node,
            "running_requests": {one.replica: one.running[-1][1] for one in self.seen if one.running},
            "kv_cache_usage_mean": self.kv_cache_means,
            "max_kv_cache_usage": self.pool.max_kv_cache_usage,
            "kv_cache_observed_seconds": self.kv_cache_observed_seconds,
            "replicas_reporting": len(self.seen),
            "replicas_not_reporting": self.unseen,
            "replicas_per_node": self.pool.node.replicas,
            "nodes_pending": self.pending,
        }
        found |= {"replicas_asleep": self.asleep} if self.asleep else {}
        return found if self.plan is None else found | self.plan.evidence()


def look(
    pool: Pool,
    replicas: tuple[ReplicaSignals, ...],
    now: float,
    target: LatencyTarget | None,
    pending: int = 0,
    state: MeasuredState | None = None,
) -> PoolSnapshot:
    """Collect what is known of a pool; `pending` nodes are starting. `state` is that after the decision before: its measurements
    stand, and replicas beyond its nodes that disappear were removed on purpose; any other that doesn't report counts as present, so that
    missing data never shrinks a pool."""
    seen = [replica for replica in replicas if replica.seen]
    unseen = missing(replicas, now)
    before = None if state is None else state.recommended_nodes
    there = _there(pool, len(seen), len(unseen), before)
    if there == len(seen):
        unseen = []
    current = ceil(there / pool.node.replicas) + pending
    # Removed replicas may still report: holding means the last recommendation, not that they come back.
    held = current if before is None else min(current, max(before, pool.nodes.min))
    found = demand(replicas, now, state, unseen) if seen else None
    planned = plan(pool, found, target, seen) if found and target else None
    return PoolSnapshot(pool, replicas, now, target, seen, unseen, there, current, pending, held, found, planned)


def _there(pool: Pool, seen: int, unseen: int, before: int | None) -> int:
    """Count the replicas that are present: reporting ones, and others while the last recommendation had room for them."""
    return seen + unseen if before is None else max(seen, min(seen + unseen, before * pool.node.replicas))
