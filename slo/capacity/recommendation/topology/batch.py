"""Batch traffic that yields: what to pause, or to take from a batch pool, before nodes are added for users who wait.

Nothing is stated where no batch traffic is known: gateways that don't count tenants, no `batch_tenants` in the objectives file.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from plimsoll.slo.capacity.recommendation.models import ReasonCode, Recommendation
from plimsoll.slo.capacity.recommendation.recommend import Decision
from plimsoll.slo.capacity.recommendation.texts import minutes
from plimsoll.slo.capacity.recommendation.texts import nodes as counted
from plimsoll.slo.spec.objectives import Pool, Spec

LEAST = 0.05  # ratio of a pool's tokens below which pausing batch traffic brings little
STEPS: tuple[ReasonCode, ...] = ("wake_replicas", "activate_warm_spares", "start_nodes")


class BatchLoad(NamedTuple):
    """Batch traffic of a pool over its last `seconds`: its tenants, their tokens per second, and these over the pool's (0 to 1)."""

    tenants: tuple[str, ...]
    tokens_per_second: float
    ratio: float
    seconds: float


class BatchPool(NamedTuple):
    """A batch pool with the same model and GPU: its nodes, and those that it has to keep."""

    name: str
    nodes: int
    least: int


def yielding(found: Recommendation, load: BatchLoad | None, pools: Sequence[BatchPool] = ()) -> Recommendation:
    """Return the recommendation with what batch traffic can do without first, ahead of the steps that add nodes."""
    if found.action != "scale_out":
        return found
    added: list[tuple[ReasonCode, str]] = []
    if load is not None and load.ratio >= LEAST:
        worth = load.ratio * (found.current_nodes or 0)
        text = (
            f"Pause batch traffic first: {', '.join(load.tenants)} used {load.tokens_per_second:,.0f} tokens/s, {load.ratio:.0%} of the "
            f"load of the last {minutes(load.seconds)}. That frees the work of {worth:.1f} of {counted(found.current_nodes or 0)}."
        )
        added.append(("pause_batch", text))
    left = found.nodes
    for pool in pools:
        spare = min(left, pool.nodes - pool.least)
        if spare > 0:
            left -= spare
            text = f"Batch pool {pool.name} has {counted(pool.nodes)} with this model and GPU: let {spare} of them serve this pool first."
            added.append(("batch_pool_yields", text))
    at = next((index for index, code in enumerate(found.reason_codes) if code in STEPS), len(found.reasons))
    codes, texts = [code for code, _ in added], [text for _, text in added]
    return found.model_copy(
        update={
            "reasons": [*found.reasons[:at], *texts, *found.reasons[at:]],
            "reason_codes": [*found.reason_codes[:at], *codes, *found.reason_codes[at:]],
        }
    )


def batch_pools(spec: Spec, pool: Pool, decided: Mapping[str, Decision]) -> list[BatchPool]:
    """Return the batch pools whose nodes could serve `pool`, by their last decisions; none for a batch pool."""
    if pool.kind != "interactive" or "node" in pool.unwritten:
        return []
    found = []
    for other in spec.pools:
        same = (other.model, other.node.gpu, other.node.gpus) == (pool.model, pool.node.gpu, pool.node.gpus)
        nodes = decided[other.name].recommendation.current_nodes if other.name in decided else None
        if other.kind == "batch" and same and nodes:
            found.append(BatchPool(other.name, nodes, other.nodes.min))
    return found
