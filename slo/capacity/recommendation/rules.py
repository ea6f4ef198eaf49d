"""How many nodes each rule asks for, and the limits of the pool. Never by GPU utilization: it is near 100 % for healthy and saturated alike."""

from dataclasses import dataclass
from math import ceil

from plimsoll.slo.capacity.model.signals import SUSTAINED
from plimsoll.slo.capacity.recommendation.models import Rule
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot
from plimsoll.slo.spec.objectives import Pool
from plimsoll.slo.units import duration_text

ENOUGH = 0.8  # share of a span that must be observed before something is called sustained


@dataclass(frozen=True, slots=True)
class Ask:
    """What a rule asks for: `nodes` (None: nothing). `reasons` are told whatever is decided, `why` says why fewer would not do."""

    rule: Rule
    nodes: int | None
    reasons: list[str]
    why: str = ""


def asks(case: PoolSnapshot) -> list[Ask]:
    """Ask every rule.

    Once it is known what a replica can do, the queue asks only for warm spares, which serve long before a cold node would.
    """
    queue, kv = _by_queue(case), _by_kv(case)
    planned = case.plan
    if planned is None:
        return [queue, kv]
    spares, lead = (
        min(queue.nodes or 0, case.held + case.pool.nodes.warm_spares),
        duration_text(case.pool.timing.cold_start),
    )
    catching_up = f"to catch up {lead} after a cold node was ordered and served takes {planned.draining}"
    keeping = f"by the work that would wait, the traffic expected again takes {planned.keeping}"
    return [
        Ask("demand", planned.draining, planned.reasons[:1], catching_up),
        Ask("objective", planned.keeping, planned.reasons[1:], keeping),
        Ask("queue", spares, queue.reasons, "more wait than the limit, and a warm spare serves in seconds")
        if spares > case.held
        else Ask("queue", None, []),
        kv,
    ]


def limit(pool: Pool, wanted: int, rule: Rule) -> Ask:
    """Keep what is wanted within what the pool may have."""
    if wanted > pool.nodes.max:
        text = f"limited to {pool.nodes.max}: the pool may have at most {pool.nodes.max} nodes"
        return Ask("maximum", pool.nodes.max, [text])
    if wanted < pool.nodes.min:
        text = f"{wanted} would do, but the pool must have at least {pool.nodes.min}"
        return Ask("minimum", pool.nodes.min, [text])
    return Ask(rule, wanted, [])


def _by_queue(case: PoolSnapshot) -> Ask:
    """Ask by the source documents' rule, whatever a replica can do."""
    most, evidence = case.pool.max_waiting_per_node, case.evidence
    waiting, per_node = sum(evidence["waiting_requests"].values()), evidence["waiting_per_node"]
    nodes = ceil(waiting / most) if per_node > most else None
    word = "within" if nodes is None else "above"
    more = f", which asks for {nodes} nodes" if (nodes or 0) > case.held else ""
    reason = f"{waiting:g} requests wait, {per_node:g} per node: {word} the limit of {most} per node{more}"
    return Ask("queue", nodes, [reason], f"{waiting:g} requests wait: at {most} a node they take {nodes}")


def _by_kv(case: PoolSnapshot) -> Ask:
    """Ask by the KV cache."""
    means, most = case.evidence["kv_cache_usage_mean"], case.pool.max_kv_cache_usage
    if not means:
        return Ask("kv_cache", None, ["KV-cache use is unknown: no sample in the last 5 minutes"])
    (replica, highest), observed = max(means.items(), key=lambda item: item[1]), case.evidence["kv_observed_seconds"]
    text = f"KV cache is {highest:.0%} used on {replica} (mean of {observed} s, highest replica): "
    if highest <= most or observed < ENOUGH * SUSTAINED:
        return Ask("kv_cache", None, [f"{text}not above {most:.0%} sustained"])
    nodes = max(case.held + 1, ceil(case.held * sum(means.values()) / len(means) / most))
    return Ask(
        "kv_cache",
        nodes,
        [f"{text}above {most:.0%} sustained, which asks for {nodes} nodes"],
        f"{text}at {most:.0%} it takes {nodes} nodes",
    )
