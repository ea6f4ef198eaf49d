"""Recorded series of the whole fleet: what a dashboard over hours would otherwise work out again from every bucket of every replica.

With 100 replicas the quantiles of one on-call dashboard read some 12,000 bucket series; summed over replicas as they come in,
they read some 120. Buckets stay buckets, so that any quantile can be taken from them; a quantile is recorded for single
replicas only, where nobody will sum it. The target labels region and node stay where Prometheus has them.
"""

from plimsoll.alerts.rules import Recording
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric, recorded
from plimsoll.slo.units import duration_text

RATE = 120.0  # seconds that these rates look back: a burst shows within two minutes, and four scrapes of 30 s fit in it
RATES = (c.TTFT, c.TPOT, c.DURATION, c.QUEUE, c.PREFILL, c.DECODE)
BY_REPLICA = (c.TTFT, c.TPOT, c.DURATION)
MODEL, REPLICA, NODE = "model, region", "instance, replica, model, region, node", "instance, region, node"


def fleet_recordings() -> list[Recording]:
    """List the rates and quantiles, all models in one series each: a pool is found by its model."""
    return [
        *(_rates(metric) for metric in RATES),
        *(_p95(metric) for metric in BY_REPLICA),
        _prefix_hits(),
        *_worst_gpus(),
    ]


def memory_recordings() -> list[Recording]:
    """List what was seen of a replica within a day: a replica that is down says no model any more."""
    return [
        Recording(recorded.SERVED, f"group by ({REPLICA}) (last_over_time({c.REPLICA_INFO}[1d]))", {}),
        Recording(recorded.STARTED, f"max by ({REPLICA}) (last_over_time({c.REPLICA_START}[1d]))", {}),
    ]


def _rate(name: str, by: str) -> str:
    return f"sum by ({by}) (rate({name}[{duration_text(RATE)}]))"


def _rates(histogram: Metric) -> Recording:
    return Recording(recorded.bucket_rate(histogram), _rate(histogram.bucket, f"le, {MODEL}"), {})


def _p95(histogram: Metric) -> Recording:
    """The 95th percentile of each replica; a replica without requests has none (NaN would hide in comparisons)."""
    quantile = f"histogram_quantile(0.95, {_rate(histogram.bucket, f'le, {REPLICA}')})"
    return Recording(recorded.replica_p95(histogram), f"{quantile} >= 0", {})


def _prefix_hits() -> Recording:
    hit, asked = (_rate(metric.name, REPLICA) for metric in (c.PREFIX_HIT, c.PREFIX_QUERIED))
    return Recording(recorded.PREFIX_HITS, f"{hit} / ({asked} > 0)", {})


def _worst_gpus() -> list[Recording]:
    clock, highest = (f'{metric}{{domain="sm"}}' for metric in (c.GPU_CLOCK, c.GPU_CLOCK_MAX))
    return [
        Recording(recorded.NODE_CLOCK, f"min by ({NODE}) ({clock} / {highest})", {}),
        Recording(recorded.NODE_TEMPERATURE, f"max by ({NODE}) ({c.GPU_TEMPERATURE})", {}),
    ]
