"""Several pools that serve one model: the share of its traffic that each should get, by what it was measured to carry."""

from collections.abc import Mapping
from math import fsum

from plimsoll.slo.capacity.recommendation.models import PoolShare, Recommendation

NOT_MEASURED = "Its capacity isn't known: no replica has been saturated yet, or the pool has no latency SLO."


def model_shares(found: Mapping[str, Recommendation]) -> list[PoolShare]:
    """Return the share of each pool by name, of the pools of one model; empty for a single pool.

    Weights are in proportion to the saturation throughput of the replicas that report. Where one pool's isn't known there are none.
    """
    if len(found) < 2:
        return []
    capacities = {name: one.evidence.get("saturation_tokens_per_second_total") or None for name, one in found.items()}
    unknown = [name for name, capacity in capacities.items() if capacity is None]
    weights = _ratios(capacities)
    now = _ratios({name: one.evidence.get("demand_tokens_per_second") for name, one in found.items()})
    others = f"The capacity of {', '.join(unknown)} isn't known."
    return [
        PoolShare(
            pool=name,
            capacity_tokens_per_second=capacity,
            traffic_share=now.get(name),
            weight=weights.get(name),
            unavailable_reason=None if not unknown else NOT_MEASURED if capacity is None else others,
        )
        for name, capacity in capacities.items()
    ]


def _ratios(values: Mapping[str, float | None]) -> dict[str, float]:
    """Return each value over their sum; empty where one is not known or all are 0."""
    known = {name: value for name, value in values.items() if value is not None}
    total = fsum(known.values())
    if not total or len(known) < len(values):
        return {}
    return {name: round(value / total, 4) for name, value in known.items()}
