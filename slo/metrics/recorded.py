"""Names and labels of the recorded series: written by `alerts`, read by `dashboards` and the service."""

from plimsoll.slo.metrics import Metric
from plimsoll.slo.units import duration_text

# Per objective, labels objective and pool. Good and total stay apart: a longer window is a ratio of sums of these.
GOOD_RATE = "objective:requests_good:rate5m"
TOTAL_RATE = "objective:requests_total:rate5m"
TARGET = "objective:target:ratio"
# Of has_bounds objectives (plimsoll.slo.sli.bucket_bounds) also what may be good at most: where these part, the truth lies between them.
GOOD_UPPER_BOUND = "objective:requests_good_upper_bound:rate5m"
# The ledger's answers, as exported by the SLO service, are catalogue.BUDGET_REMAINING and catalogue.COVERAGE.

# Of the whole fleet, for dashboards and fingerprints. Each also has the target labels that Prometheus gives, if any.
# What a replica served when it was last seen within a day (always 1), and when its engine started: instance, replica, model.
SERVED = "replica:served:last1d"
STARTED = "replica:start_time_seconds:last1d"
# Share of prompt tokens found in the prefix cache over two minutes: instance, replica, model.
PREFIX_HITS = "replica:prefix_cache_hits:ratio2m"
# Of the GPUs of a node, the lowest SM clock as a share of its highest, and the highest core temperature: instance.
NODE_CLOCK = "node:gpu_clock:min_ratio"
NODE_TEMPERATURE = "node:gpu_temperature_celsius:max"
# 1 while a pool looks like one of the fingerprints of the runbooks, 0 while it does not: pool, fingerprint.
FINGERPRINT = "pool:fingerprint:active"
# Values of its label fingerprint (requirements R21 to R24); each is the anchor of its runbook.
FINGERPRINTS = ("prefill-burst", "kv-cache-full", "cold-start", "slow-or-lost")


def bucket_rate(histogram: Metric) -> str:
    """Name of the series with the rates of a histogram's buckets over two minutes, all replicas of a model together: model, le."""
    return f"model:{histogram.bucket}:rate2m"


def replica_p95(histogram: Metric) -> str:
    """Name of the series with the 95th percentile of one replica's requests over two minutes: instance, replica, model."""
    return f"replica:{histogram}:p95_2m"


def burn_rate(window: float, at_best: bool = False) -> str:
    """Name of the series with an objective's burn rate over a window in seconds: bad ratio / (1 - target). What is not surely
    good counts as bad, or, `at_best`, only what is surely bad.
    """
    return f"objective:burn_rate{_at_best(at_best)}:ratio_{duration_text(window)}"


def bad_requests(window: float, at_best: bool = False) -> str:
    """Name of the series with an objective's number of bad requests in a window in seconds, told apart in the same way."""
    return f"objective:requests_bad{_at_best(at_best)}:increase_{duration_text(window)}"


def _at_best(at_best: bool) -> str:
    return "_at_best" if at_best else ""
