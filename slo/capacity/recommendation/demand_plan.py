"""Nodes that measured demand asks for, in sentences and numbers: what arrives, what waits, what a replica can do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf
from typing import Any

from plimsoll.slo.capacity.model.replica_throughput import EARLIER, MEASURED, ReplicaThroughput
from plimsoll.slo.capacity.model.signals import MEMORY, ReplicaSignals
from plimsoll.slo.capacity.recommendation.demand import EXPECTED_AGAIN, FULL, SLOT, Demand, LatencyTarget, demand
from plimsoll.slo.error_budget.budget import Budget
from plimsoll.slo.spec.indicator import SHORT_NAMES
from plimsoll.slo.spec.objectives import Pool, Spec
from plimsoll.slo.units import duration_text, percent_text

CAPACITY = "capacity_tokens_per_second_per_replica"
EACH, ORIGINS = "replica_tokens_per_second", "replica_capacity_from"  # of each replica by name, and where it comes from
SOME = 1e-9  # tokens per second: replicas that stay do more than nothing, however little is asked
# Once a budget is spent: share of their capacity that replicas are planned with, as more is left for bursts, and all bursts that are
# remembered are expected again. In backtests never less goodput, up to 3.2 points more, for 0 to 31 % more node-hours (docs/capacity.md).
HASTE = 0.8
TTFT, TPOT = SHORT_NAMES["ttft"], SHORT_NAMES["tpot"]


def promise(spec: Spec, pool: Pool, budgets: Mapping[str, Budget] | None = None) -> LatencyTarget | None:
    """Return what a pool's objectives promise together: the tightest limits and the highest target; None without latency.

    `budgets` by objective tell which are spent, for certain; those that are unknown are not.
    """
    limits: dict[str, float] = {}
    targets, spent = [], []
    for objective in spec.objectives:
        if objective.pool != pool.name or not objective.indicator.thresholds.keys() & {TTFT, TPOT}:
            continue
        targets.append(objective.target)
        if budgets and objective.id in budgets and budgets[objective.id].status == "exhausted":
            spent.append(objective.id)
        for latency, limit in objective.indicator.thresholds.items():
            limits[latency] = min(limit, limits.get(latency, inf))
    return LatencyTarget(limits.get(TTFT, inf), limits.get(TPOT, inf), max(targets), tuple(spent)) if targets else None


@dataclass(frozen=True, slots=True)
class Plan:
    """Nodes that catch up with what waits (`draining`), that keep the promise on the traffic `lately` (`keeping`), and that carry the
    busiest minute of the hold time (`busiest`)."""

    draining: int
    keeping: int
    busiest: int
    lately: Demand
    reasons: list[str]  # of catching up first, then of keeping the promise
    evidence: dict[str, Any]

    @property
    def lasting(self) -> int:
        """Nodes that are needed but for what only works off a backlog."""
        return max(self.keeping, self.busiest)

    @property
    def keep(self) -> int:
        """Nodes that must not be released."""
        return max(self.draining, self.lasting)

    @property
    def throughput(self) -> ReplicaThroughput:
        """What the replicas can do."""
        return self.lately.throughput


def measured(
    replicas: Sequence[ReplicaSignals], unseen: Sequence[str], now: float, before: Mapping[str, Any]
) -> Demand | None:
    """Measure the demand that the replicas' samples show, on those that are seen; `unseen` ones are there too. `before` is the
    evidence of the last answer: what it measured stands. None where the counters are missing."""
    return demand(replicas, now, before.get(CAPACITY), _own(before), unseen)


def expected_again(pool: Pool, promised: LatencyTarget) -> float:
    """Seconds of traffic that are expected to come again."""
    return max(MEMORY if promised.spent else EXPECTED_AGAIN, pool.timing.scale_in_stabilization)


def plan(pool: Pool, found: Demand, promised: LatencyTarget, seen: Sequence[ReplicaSignals]) -> Plan | None:
    """Plan for a demand, and to keep the promise on the part of it that is expected again.

    None as long as the capacity of a replica (tokens per second) is not known.
    """
    if not found.capacity:
        return None
    found = replace(found, full=HASTE if promised.spent else FULL)
    each, hold = pool.node.replicas, pool.timing.scale_in_stabilization
    serving = found.throughput.together(replica.replica for replica in seen)
    lately = found.lately(expected_again(pool, promised))
    draining = ceil(found.draining(serving, pool.timing.cold_start) / each)
    keeping = ceil(lately.keeping(promised, pool.nodes.max * each) / each)
    busiest = ceil(found.replicas_for(max(SOME, found.busiest(hold))) / each)
    evidence = {
        **_capacities(found.throughput),
        "serving_tokens_per_second": round(serving, 1),
        "capacity_measured_seconds": round(found.saturated_seconds),
        "arriving_tokens_per_second": round(found.rate, 1),
        "backlog_tokens": round(found.backlog),
        "budgets_spent": list(promised.spent),
        "planned_share_of_capacity": found.full,
        "nodes_to_drain": draining,
        "nodes_to_keep_objective": keeping,
        "late_share_by_nodes": {
            str(count): round(lately.late(count * each, promised.wait), 4)
            for count in range(max(1, keeping - 1), keeping + 2)
        },
    }
    reasons = [
        _catching_up(pool, found, draining),
        _kept(lately, promised, keeping, each),
        *_haste(pool, promised),
    ]
    return Plan(draining, keeping, busiest, lately, reasons, evidence)


def _own(before: Mapping[str, Any]) -> dict[str, float]:
    """Return what single replicas were measured to do, as the evidence of an earlier plan has it."""
    origins = before.get(ORIGINS, {})
    return {name: value for name, value in before.get(EACH, {}).items() if origins.get(name) in (MEASURED, EARLIER)}


def _capacities(throughput: ReplicaThroughput) -> dict[str, Any]:
    """Write as evidence what `_own` reads."""
    return {
        CAPACITY: round(throughput.unit or 0.0, 1),
        EACH: {name: round(throughput.of(name), 1) for name in throughput.present},
        ORIGINS: dict(throughput.origins),
    }


def _did(throughput: ReplicaThroughput) -> str:
    """Say what a replica can do, of each where they are unlike."""
    if not throughput.own:
        return f"a replica did {throughput.unit:,.0f} tokens/s when it was full"
    listed = (f"{name} {throughput.of(name):,.0f} ({throughput.origins[name]})" for name in throughput.present)
    return (
        f"replicas are unlike, in tokens/s: {', '.join(listed)}; together {throughput.together(throughput.present):,.0f}, "
        f"and a new one counts as {throughput.unit:,.0f}"
    )


def _catching_up(pool: Pool, found: Demand, draining: int) -> str:
    """Say what arrives and waits, and what it takes to catch up."""
    return (
        f"{_did(found.throughput)}; {found.rate:,.0f} tokens/s arrived in the last "
        f"minute and {found.backlog:,.0f} tokens wait: to catch up {duration_text(pool.timing.cold_start)} after a cold node was "
        f"ordered and served takes {draining} node{'s' * (draining > 1)}"
    )


def _haste(pool: Pool, promised: LatencyTarget) -> list[str]:
    """Say what a spent budget changes."""
    if not promised.spent:
        return []
    again = duration_text(expected_again(pool, promised))
    return [
        f"the error budget of {', '.join(promised.spent)} is spent: planned with {HASTE:.0%} of what replicas can do instead of {FULL:.0%}, "
        f"and for the bursts of the last {again} instead of {duration_text(EXPECTED_AGAIN)}"
    ]


def _kept(found: Demand, promise: LatencyTarget, keeping: int, each: int) -> str:
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
