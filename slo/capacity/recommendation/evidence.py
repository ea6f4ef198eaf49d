"""What a recommendation's evidence tells of the replicas it was made for, to whoever reads it later: page, review, forecast, metrics."""

from collections.abc import Mapping
from typing import Any

from plimsoll.slo.capacity.model.replica_throughput import ReplicaThroughput
from plimsoll.slo.capacity.recommendation.demand_plan import CAPACITY, EACH


def throughput_of(evidence: Mapping[str, Any]) -> ReplicaThroughput | None:
    """Return what each replica that was there can do; None where no replica had been seen full."""
    unit, each = evidence.get(CAPACITY), evidence.get(EACH, {})
    return ReplicaThroughput(unit, each, tuple(each)) if unit else None
