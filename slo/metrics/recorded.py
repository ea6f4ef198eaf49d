"""Names and labels of the recorded series: written by `alerts`, read by `dashboards` and the service."""

from plimsoll.slo.metrics import Metric
from plimsoll.slo.units import duration_text

# Per SLO, labels objective (the SLO ID) and pool. Good and total are separate: a longer window is a ratio of sums of these.
GOOD_RATE = "objective:requests_good:rate5m"
TOTAL_RATE = "objective:requests_total:rate5m"
TARGET = "objective:target:ratio"
# Of SLOs with bounds (plimsoll.slo.sli.bucket_bounds) also good plus indeterminate requests: the true value lies between the two.
GOOD_UPPER_BOUND = "objective:requests_good_upper_bound:rate5m"
# Error budget and data coverage come from the ledger: metrics.BUDGET_REMAINING and metrics.COVERAGE.

# Of the whole fleet, for dashboards and incident signatures. Each also has the target labels that Prometheus adds, if any.
# Labels of each replica when it was last seen (always 1), while its exporter lists it or is down itself: instance, replica, model.
LAST_INFO = "replica:info:last_seen"
# Targets that are or were an exporter (always 1), while Prometheus scrapes them: job, instance.
LAST_EXPORTER = "instance:exporter:last_seen"
# Members that a replica lacks of the pods over several nodes that serve as it (0: complete): instance, replica, namespace, group. And
# the members that are lost (always 1), with the reason (not_ready, gpu, not_reported): namespace, group, member, pod, node.
MEMBERS_MISSING = "replica:group_members_missing:count"
MEMBER_LOST = "group:member_lost:reason"
# When each replica's engine started, in a day: instance, replica, model.
LAST_START = "replica:start_time_seconds:last1d"
# Fraction of prompt tokens found in the prefix cache over two minutes: instance, replica, model.
PREFIX_HITS = "replica:prefix_cache_hits:ratio2m"
# Of the GPUs of a node, the lowest SM clock as a ratio of its maximum, and the highest core temperature: instance.
NODE_CLOCK = "node:gpu_clock:min_ratio"
NODE_TEMPERATURE = "node:gpu_temperature_celsius:max"
# Power in watts of the GPUs of a model's replicas, split by their shares of each GPU: model. Absent while a share is unknown: then
# the second series has the number of GPUs that can't be split.
MODEL_POWER = "model:gpu_energy_joules:rate5m"
UNSPLIT_GPUS = "model:gpu_energy_unsplit:count"
# Clocks of each busy GPU, means of five minutes: instance, uuid, replica, model, domain (sm, memory).
GROUP_CLOCK = "gpu:busy_clock_hertz:avg5m"
# The same as a ratio to the upper quartile of the replica's GPUs, or (against="fleet") to the median of the GPUs of the same kind
# that serve the same model, for GPUs below their power limit: instance, uuid, replica, model, domain, against.
CLOCK_RATIO = "gpu:busy_clock:ratio"
# Mean of the ratio to the group over the day before the last half hour, with the same labels; absent before six hours of data.
CLOCK_BASELINE = "gpu:busy_clock:ratio_avg1d"
# Seconds since a page of a pool last fired, for 35 minutes; 0 while an outage is developing: pool, impact (outage, degraded).
IMPACT_AGE = "pool:page_impact:age_seconds"
# Highest burn rate over five minutes of a pool's SLOs with three bad requests or more: pool. Absent while no request is bad.
USER_HARM = "pool:burn_rate:max5m"
# Requests per second that arrive at a pool's engines, and what was usual before traffic stopped (mean of an hour): pool.
ARRIVALS = "pool:requests:rate5m"
USUAL_ARRIVALS = "pool:requests_usual:rate1h"
# Ratio of the last week's five-minute spans in which no request arrived: pool.
IDLE_RATIO = "pool:requests_idle:ratio1w"
# SM activity of each busy GPU, mean of five minutes; the same as a ratio to the lower quartile of its replica's GPUs; and that
# ratio's mean over a day as above: instance, uuid, replica, model.
GROUP_ACTIVITY = "gpu:busy_sm_active_ratio:avg5m"
ACTIVITY_RATIO = "gpu:busy_sm_active:ratio"
ACTIVITY_BASELINE = "gpu:busy_sm_active:ratio_avg1d"
# 1 while a pool shows an incident signature, 0 while it doesn't: pool, signature.
INCIDENT_SIGNATURE = "pool:incident_signature:active"
# Values of its label signature (requirements R21 to R24); each is the anchor of its runbook section.
INCIDENT_SIGNATURES = ("prefill-burst", "kv-cache-saturated", "cold-start", "replica-slow-or-lost")


def bucket_rate(histogram: Metric) -> str:
    """Return the series with a histogram's bucket rates over two minutes, summed over all replicas of a model: model, le."""
    return f"model:{histogram.bucket}:rate2m"


def replica_p95(histogram: Metric) -> str:
    """Return the series with the 95th percentile of each replica over two minutes: instance, replica, model."""
    return f"replica:{histogram}:p95_2m"


def burn_rate(window: float, lower_bound: bool = False) -> str:
    """Return the series with an SLO's burn rate over a window in seconds: bad ratio / (1 - target).

    Indeterminate requests count as bad; with `lower_bound`, only confirmed bad ones do.
    """
    return f"objective:burn_rate{_bound(lower_bound)}:ratio_{duration_text(window)}"


def bad_requests(window: float, lower_bound: bool = False) -> str:
    """Return the series with an SLO's bad requests in a window in seconds, counted as for `burn_rate`."""
    return f"objective:requests_bad{_bound(lower_bound)}:increase_{duration_text(window)}"


def requests(window: float) -> str:
    """Return the series with an SLO's requests in a window of a day or more, in seconds."""
    return f"objective:requests_total:increase_{duration_text(window)}"


def _bound(lower_bound: bool) -> str:
    return "_lower_bound" if lower_bound else ""
