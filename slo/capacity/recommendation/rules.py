"""Nodes that each rule requires, and the limits of the pool. GPU utilization isn't used: it is near 100% for any busy engine."""

from math import ceil

from plimsoll.slo.capacity.model.signals import SUSTAINED
from plimsoll.slo.capacity.recommendation.announced import announced
from plimsoll.slo.capacity.recommendation.attainment_rules import attainment, error_budget, fast_burn
from plimsoll.slo.capacity.recommendation.error_budget.loop_state import BudgetLoop
from plimsoll.slo.capacity.recommendation.expected_attainment import AttainmentEstimate
from plimsoll.slo.capacity.recommendation.models import NodeRequirement, Reason, Rule
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot
from plimsoll.slo.capacity.recommendation.proven_load import rising
from plimsoll.slo.capacity.recommendation.texts import nodes, span
from plimsoll.slo.spec.objectives import Pool

ENOUGH = 0.8  # ratio of a span that must have data before a value counts as sustained


def evaluate_rules(
    case: PoolSnapshot, estimate: AttainmentEstimate, loop: BudgetLoop, proven: float | None = None
) -> list[NodeRequirement]:
    """Return what each rule requires.

    Once the saturation throughput is known, the queue rule requires warm spares and sleeping replicas only: they serve long before a cold node does. Once
    the loop on the error budget has learned enough, it decides in place of the rules that look at the last minutes.
    """
    queue, kv_cache = _queue(case), _kv_cache(case)
    spares = min(queue.nodes or 0, case.held + case.pool.nodes.warm_spares + case.asleep_nodes)
    warm = (
        NodeRequirement("queue", spares, queue.reasons, "The queue is above its limit, and a spare serves in seconds.")
        if spares > case.held
        else NodeRequirement("queue", None, [])
    )
    event = announced(case, loop, proven)
    if loop.decides:
        return [error_budget(loop), warm, kv_cache, *event, fast_burn(case, estimate)]
    return [*_recent_rules(case, queue, warm), rising(case, proven), kv_cache, *event, attainment(case, estimate)]


def _recent_rules(case: PoolSnapshot, queue: NodeRequirement, warm: NodeRequirement) -> list[NodeRequirement]:
    """Return what the demand of the last minutes requires."""
    plan = case.plan
    if plan is None:
        return [queue]
    lead = span(case.pool.timing.cold_start)
    backlog = f"To clear the backlog within {lead} of a cold start, {nodes(plan.backlog_nodes)} are required."
    slo = f"Queue replay of the recent traffic requires {nodes(plan.slo_nodes)}."
    return [
        NodeRequirement("demand", plan.backlog_nodes, plan.reasons[:1], backlog),
        NodeRequirement("slo", plan.slo_nodes, plan.reasons[1:], slo),
        warm,
    ]


def limit(pool: Pool, wanted: int, rule: Rule) -> NodeRequirement:
    """Keep a number of nodes within the limits of the pool."""
    if wanted > pool.nodes.max:
        return _limited("max_nodes", pool.nodes.max, f"Capped at the pool maximum of {nodes(pool.nodes.max)}.")
    if wanted < pool.nodes.min:
        return _limited("min_nodes", pool.nodes.min, f"Raised to the pool minimum of {nodes(pool.nodes.min)}.")
    return NodeRequirement(rule, wanted, [])


def _limited(rule: Rule, count: int, text: str) -> NodeRequirement:
    return NodeRequirement(rule, count, [Reason("max_nodes" if rule == "max_nodes" else "min_nodes", text)])


def _queue(case: PoolSnapshot) -> NodeRequirement:
    """Require nodes by waiting requests per node, as in the source documents, independent of the throughput."""
    most = case.pool.max_waiting_per_node
    count = ceil(case.waiting / most) if case.waiting_per_node > most else None
    text = f"{case.waiting:g} requests are waiting, {case.waiting_per_node:g} per node"
    within = f"{text}, within the limit of {most}."
    above = f"{text} (limit {most}): {nodes(count or 0)} required."
    return NodeRequirement("queue", count, [Reason("queue_depth", within if count is None else above)], above)


def _kv_cache(case: PoolSnapshot) -> NodeRequirement:
    """Require nodes by KV cache usage."""
    means, most = case.kv_cache_means, case.pool.max_kv_cache_usage
    if not means:
        text = f"KV cache usage: no data in the last {span(SUSTAINED)}."
        return NodeRequirement("kv_cache", None, [Reason("kv_cache_no_data", text)])
    replica, highest = max(means.items(), key=lambda item: item[1])
    observed = case.kv_cache_observed_seconds
    text = f"KV cache usage is {highest:.0%} on {replica} ({observed} s average, highest replica)"
    if highest <= most:
        return NodeRequirement("kv_cache", None, [Reason("kv_cache_usage", f"{text}, within the {most:.0%} limit.")])
    if observed < ENOUGH * SUSTAINED:
        text = f"{text}, above the {most:.0%} limit for less than {span(SUSTAINED)}."
        return NodeRequirement("kv_cache", None, [Reason("kv_cache_usage", text)])
    count = max(case.held + 1, ceil(case.held * sum(means.values()) / len(means) / most))
    text = f"{text}, above the {most:.0%} limit: {nodes(count)} required."
    return NodeRequirement("kv_cache", count, [Reason("kv_cache_usage", text)], text)
