"""Recorded series of the whole fleet, so that dashboards don't aggregate every bucket of every replica.

With 100 replicas, the quantiles of the on-call dashboard read about 12,000 bucket series; from the recorded sums they read
about 120. Buckets stay buckets, so that any quantile can be computed from them. Quantiles, which can't be summed, are recorded
for single replicas only. The target labels region and node stay where Prometheus has them.
"""

from typing import NamedTuple

from plimsoll.alerts.gpus.groups import activity_recordings, clock_recordings
from plimsoll.alerts.rules import Recording
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric, recorded
from plimsoll.slo.spec import pool_match
from plimsoll.slo.spec.objectives import Spec
from plimsoll.slo.units import duration_text

RATE = 120.0  # seconds: short enough to show a burst within two minutes, long enough for four scrapes of 30 s
RATES = (c.TTFT, c.TPOT, c.DURATION, c.QUEUE, c.PREFILL, c.DECODE)
BY_REPLICA = (c.TTFT, c.TPOT, c.DURATION)
MODEL, REPLICA, NODE = "model, region", "instance, replica, model, region, node", "instance, region, node"


class By(NamedTuple):
    """The labels that remain of a model, a replica and a node: with those by which the file's pools are matched."""

    model: str
    replica: str
    node: str

    @classmethod
    def of(cls, spec: Spec) -> "By":
        """Return them for an objectives file."""
        extra = pool_match.match_labels(spec.pools)
        return cls(*(", ".join([some, *_further(some, extra)]) for some in (MODEL, REPLICA, NODE)))


def _further(some: str, extra: tuple[str, ...]) -> list[str]:
    return [label for label in extra if label not in some.split(", ")]


def fleet_recordings(spec: Spec) -> list[Recording]:
    """Return the rates and quantiles, one rule each for all models: a pool is selected by its model and match."""
    by, further = By.of(spec), _further(REPLICA, pool_match.match_labels(spec.pools))
    return [
        *(_rates(metric, by) for metric in RATES),
        *(_p95(metric, by) for metric in BY_REPLICA),
        _prefix_hits(by),
        *_worst_gpus(by),
        *_energy(by),
        *clock_recordings(further),
        *activity_recordings(further),
    ]


def last_seen_recordings(spec: Spec) -> list[Recording]:
    """Return the last start time of each replica in a day: a replica that is down doesn't export it."""
    by = By.of(spec).replica
    return [
        Recording(recorded.LAST_START, f"max by ({by}) (last_over_time({c.REPLICA_START}[1d]))", {}),
    ]


def _rate(name: str, by: str) -> str:
    return f"sum by ({by}) (rate({name}[{duration_text(RATE)}]))"


def _rates(histogram: Metric, by: By) -> Recording:
    return Recording(recorded.bucket_rate(histogram), _rate(histogram.bucket, f"le, {by.model}"), {})


def _p95(histogram: Metric, by: By) -> Recording:
    """Return the 95th percentile of each replica, absent without requests (NaN would pass comparisons unnoticed)."""
    quantile = f"histogram_quantile(0.95, {_rate(histogram.bucket, f'le, {by.replica}')})"
    return Recording(recorded.replica_p95(histogram), f"{quantile} >= 0", {})


def _prefix_hits(by: By) -> Recording:
    hit, queried = (_rate(metric.name, by.replica) for metric in (c.PREFIX_HIT, c.PREFIX_QUERIED))
    return Recording(recorded.PREFIX_HITS, f"{hit} / ({queried} > 0)", {})


def _worst_gpus(by: By) -> list[Recording]:
    clock, highest = (f'{metric}{{domain="sm"}}' for metric in (c.GPU_CLOCK, c.GPU_CLOCK_MAX))
    return [
        Recording(recorded.NODE_CLOCK, f"min by ({by.node}) ({clock} / {highest})", {}),
        Recording(recorded.NODE_TEMPERATURE, f"max by ({by.node}) ({c.GPU_TEMPERATURE})", {}),
    ]


def _energy(by: By) -> list[Recording]:
    """Return the power of each model's GPUs. A GPU that two replicas share counts for each by its share of the work."""
    assigned, share = c.GPU_ASSIGNMENT.name, c.GPU_ASSIGNMENT_SHARE.name
    unsplit = f"count by ({by.model}) ({assigned} unless on (instance, uuid, replica, model) {share})"
    power = (
        f"sum by ({by.model}) ({share} * on (instance, uuid) group_left () "
        f"max by (instance, uuid) (rate({c.GPU_ENERGY}[5m])))"
    )
    return [
        Recording(recorded.UNSPLIT_GPUS, unsplit, {}),
        Recording(recorded.MODEL_POWER, f"{power}\nunless on ({by.model}) {recorded.UNSPLIT_GPUS}", {}),
    ]
