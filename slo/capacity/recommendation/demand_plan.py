"""Nodes that the measured demand requires: to clear the backlog, to meet the latency SLO, and for the busiest minute."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf
from typing import Any

from plimsoll.slo.capacity.model.replica_throughput import Origin, ReplicaThroughput
from plimsoll.slo.capacity.model.signals import MEMORY, ReplicaSignals
from plimsoll.slo.capacity.recommendation.demand import (
    EXPECTED_AGAIN,
    INTERVAL,
    PLANNING_UTILIZATION,
    Demand,
    LatencyTarget,
)
from plimsoll.slo.capacity.recommendation.models import Reason
from plimsoll.slo.capacity.recommendation.texts import minutes, nodes, span
from plimsoll.slo.error_budget.budget import Budget
from plimsoll.slo.spec.indicator import SHORT_NAMES
from plimsoll.slo.spec.objectives import Pool, Spec
from plimsoll.slo.units import percent_text

SOME = 1e-9  # tokens per second: replicas that stay serve more than nothing, however low the demand
# Planning utilization once an error budget is exhausted: more headroom for bursts, and all bursts that are remembered are expected
# again. In backtests never less goodput, up to 3.2 points more, for 0 to 31 % more node-hours (docs/capacity.md).
EXHAUSTED_BUDGET_UTILIZATION = 0.8
TTFT, TPOT = SHORT_NAMES["ttft"], SHORT_NAMES["tpot"]
ORIGIN_TEXTS: dict[Origin, str] = {
    "measured": "measured at saturation",
    "measured_earlier": "measured earlier, rescaled",
    "pool_median": "pool median, never saturated",
    "pool_common": "same as the pool",
}


def latency_target(spec: Spec, pool: Pool, budgets: Mapping[str, Budget] | None = None) -> LatencyTarget | None:
    """Return what a pool's latency SLOs require together: the lowest thresholds and the highest target; None without latency SLOs.

    `budgets` by SLO id show which are exhausted; unknown ones are not.
    """
    thresholds: dict[str, float] = {}
    targets, exhausted = [], []
    for objective in spec.objectives:
        if objective.pool != pool.name or not objective.indicator.thresholds.keys() & {TTFT, TPOT}:
            continue
        targets.append(objective.target)
        if budgets and objective.id in budgets and budgets[objective.id].status == "exhausted":
            exhausted.append(objective.id)
        for latency, limit in objective.indicator.thresholds.items():
            thresholds[latency] = min(limit, thresholds.get(latency, inf))
    if not targets:
        return None
    return LatencyTarget(thresholds.get(TTFT, inf), thresholds.get(TPOT, inf), max(targets), tuple(exhausted))


def expected_again(pool: Pool, target: LatencyTarget) -> float:
    """Return the seconds of traffic that are expected to come again."""
    return max(MEMORY if target.exhausted_slos else EXPECTED_AGAIN, pool.timing.scale_in_stabilization)


@dataclass(frozen=True, slots=True)
class Plan:
    """Nodes that clear the backlog, that meet the SLO on the `recent` traffic, and that serve the busiest minute of the scale-in
    stabilization window (`peak_nodes`). `serving` is the throughput of the reporting replicas, `demand` that of all remembered traffic."""

    pool: Pool
    target: LatencyTarget
    demand: Demand
    recent: Demand
    serving: float
    backlog_nodes: int
    slo_nodes: int
    peak_nodes: int

    @property
    def lasting_nodes(self) -> int:
        """Nodes that are required but for the backlog."""
        return max(self.slo_nodes, self.peak_nodes)

    @property
    def least_nodes(self) -> int:
        """Nodes that scale-in must leave."""
        return max(self.backlog_nodes, self.lasting_nodes)

    @property
    def throughput(self) -> ReplicaThroughput:
        """Saturation throughput of the replicas."""
        return self.demand.throughput

    @property
    def reasons(self) -> list[Reason]:
        """That for the backlog first, then those for the SLO."""
        return [_demand_reason(self), _replay_reason(self), *_budget_reason(self)]

    def miss_ratio(self, count: int) -> float:
        """Return the ratio of recent arrivals that would miss the target on `count` nodes."""
        return self.recent.miss_ratio(count * self.pool.node.replicas, self.target.max_wait)

    def evidence(self) -> dict[str, Any]:
        """Return the numbers of the plan, for people."""
        throughput = self.throughput
        return {
            "saturation_tokens_per_second_new_replica": round(throughput.typical or 0.0, 1),
            "saturation_tokens_per_second_by_replica": {
                name: round(throughput.of(name), 1) for name in throughput.present
            },
            "saturation_source_by_replica": dict(throughput.origins),
            "saturation_tokens_per_second_total": round(self.serving, 1),
            "saturation_observed_seconds": round(self.demand.saturated_seconds),
            "demand_tokens_per_second": round(self.demand.rate, 1),
            "backlog_tokens": round(self.demand.backlog),
            "exhausted_slos": list(self.target.exhausted_slos),
            "planning_utilization": self.demand.utilization,
            "nodes_to_clear_backlog": self.backlog_nodes,
            "nodes_to_meet_slo": self.slo_nodes,
            "slo_miss_ratio_by_nodes": {
                str(count): round(self.miss_ratio(count), 4)
                for count in range(max(1, self.slo_nodes - 1), self.slo_nodes + 2)
            },
        }


def plan(pool: Pool, found: Demand, target: LatencyTarget, seen: Sequence[ReplicaSignals]) -> Plan | None:
    """Plan for a demand, and to meet the target on the part of it that is expected again.

    None while the saturation throughput of a replica is not known.
    """
    if not found.throughput.typical:
        return None
    utilization = EXHAUSTED_BUDGET_UTILIZATION if target.exhausted_slos else PLANNING_UTILIZATION
    found = replace(found, utilization=utilization)
    each, stabilization = pool.node.replicas, pool.timing.scale_in_stabilization
    serving = found.throughput.together(replica.replica for replica in seen)
    recent = found.recent(expected_again(pool, target))
    return Plan(
        *(pool, target, found, recent, serving),
        backlog_nodes=ceil(found.replicas_for_backlog(serving, pool.timing.cold_start) / each),
        slo_nodes=ceil(recent.replicas_for_slo(target, pool.nodes.max * each) / each),
        peak_nodes=ceil(found.replicas_for(max(SOME, found.peak_rate(stabilization))) / each),
    )


def _demand_reason(plan: Plan) -> Reason:
    """State throughput, demand, and what clears the backlog."""
    throughput = plan.throughput
    if throughput.measured:
        listed = ", ".join(
            f"{name} {throughput.of(name):,.0f} tokens/s ({ORIGIN_TEXTS[throughput.origins[name]]})"
            for name in throughput.present
        )
        capacity = (
            f"Replicas differ: {listed}; total {throughput.together(throughput.present):,.0f}; "
            f"a new replica is assumed at {throughput.typical:,.0f}."
        )
    else:
        capacity = f"Saturation throughput is {throughput.typical:,.0f} tokens/s per replica."
    clear = f"{nodes(plan.backlog_nodes)} clear{'s' * (plan.backlog_nodes == 1)} the backlog"
    return Reason(
        "demand_and_backlog",
        f"{capacity} Demand is {plan.demand.rate:,.0f} tokens/s with {plan.demand.backlog:,.0f} tokens queued: "
        f"{clear} within {span(plan.pool.timing.cold_start)} of a cold start.",
    )


def _replay_reason(plan: Plan) -> Reason:
    """State the attainment of the required nodes and of one fewer."""
    lookback = minutes(len(plan.recent.arrived) * INTERVAL)
    count, target = plan.slo_nodes, percent_text(plan.target.target)
    reach = f"{nodes(count)} reach{'es' * (count == 1)} {1 - plan.miss_ratio(count):.1%} attainment (target {target})"
    fewer = f"; {nodes(count - 1)}, {1 - plan.miss_ratio(count - 1):.1%}" if count > 1 else ""
    return Reason("queue_replay", f"Queue replay of the last {lookback}: {reach}{fewer}.")


def _budget_reason(plan: Plan) -> list[Reason]:
    """State what an exhausted budget changes."""
    if not plan.target.exhausted_slos:
        return []
    again = span(expected_again(plan.pool, plan.target))
    return [
        Reason(
            "budget_exhausted",
            f"Error budget of {', '.join(plan.target.exhausted_slos)} is exhausted: planning at {EXHAUSTED_BUDGET_UTILIZATION:.0%} "
            f"utilization instead of {PLANNING_UTILIZATION:.0%}, for the peaks of the last {again} instead of {span(EXPECTED_AGAIN)}.",
        )
    ]
