"""What a recommendation's evidence tells of the replicas it was made for, to whoever reads it later: page, review, forecast, metrics."""

from collections.abc import Mapping
from typing import Any

from plimsoll.slo.capacity.model.replica_throughput import Strength
from plimsoll.slo.capacity.recommendation.demand_plan import CAPACITY, EACH


def strength_of(evidence: Mapping[str, Any]) -> Strength | None:
    """Return what each replica that was there can do; None where no replica had been seen full."""
    unit, each = evidence.get(CAPACITY), evidence.get(EACH, {})
    return Strength(unit, each, tuple(each)) if unit else None
