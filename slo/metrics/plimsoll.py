"""Metrics of the exporter and of the SLO service themselves."""

from plimsoll.slo.metrics.metric import Metric

COLLECTOR_SUCCESS = Metric(
    "plimsoll_collector_success",
    "gauge",
    ("collector",),
    "Whether the collector succeeded within its deadline (1) or not (0).",
)
COLLECTOR_DURATION = Metric(
    "plimsoll_collector_duration_seconds", "gauge", ("collector",), "Duration of the collector's last run."
)
COLLECTOR_AGE = Metric(
    "plimsoll_collector_age_seconds",
    "gauge",
    ("collector",),
    "Time since the collector last succeeded. Absent before its first success.",
)
NVML_RESTARTS = Metric(
    "plimsoll_nvml_restarts_total",
    "counter",
    ("cause",),
    "Restarts of the process that holds the driver's library, by cause (a signal, an NVML code, stuck, devices_changed).",
)
METRIC_MISSING = Metric(
    "plimsoll_engine_metric_missing",
    "gauge",
    ("collector", "metric", "reason"),
    "The engine's metric names without a usable number, 1 for each, by reason: absent (its version should expose it), ambiguous (its rows can't be combined), several_processes (each response is another process's counters).",
)
KERNEL_LOG_READABLE = Metric(
    "plimsoll_kernel_log_readable",
    "gauge",
    (),
    "Whether the exporter reads the kernel's log (1). Without it XIDs that NVML doesn't report (62, 79, 119, 120) aren't counted.",
)
BUILD_INFO = Metric("plimsoll_build_info", "gauge", ("version",), "Version of the exporter, constant 1.")

# Of the SLO service.
RECOMMENDED_NODES = Metric(
    "plimsoll_recommended_nodes", "gauge", ("pool",), "Nodes that the latest recommendation requires for the pool."
)
BUDGET_REMAINING = Metric(
    "plimsoll_error_budget_remaining_ratio",
    "gauge",
    ("objective", "pool"),
    "Fraction of the error budget remaining in the SLO window, by the ledger. Negative when overspent.",
)
BUDGET_REMAINING_UPPER_BOUND = Metric(
    "plimsoll_error_budget_remaining_upper_bound_ratio",
    "gauge",
    ("objective", "pool"),
    "Upper bound of the error budget remaining, with indeterminate requests counted as good. Only for SLOs with bucket_mismatch: bounds.",
)
EXHAUSTION = Metric(
    "plimsoll_error_budget_exhaustion_seconds",
    "gauge",
    ("objective", "pool", "bound"),
    "Time until the error budget is exhausted at the last day's rate: earliest, estimate, and latest (90% interval). Absent if not before the window's end.",
)
COVERAGE = Metric(
    "plimsoll_slo_data_coverage_ratio",
    "gauge",
    ("objective", "pool"),
    "Fraction of the SLO window with data, by the ledger.",
)
ROLLOUT_DIFFERENCE = Metric(
    "plimsoll_rollout_bad_ratio_difference",
    "gauge",
    ("objective", "pool", "baseline", "candidate", "bound"),
    "Bad ratio of the rollout's new version minus that of the old one, and (bound=lower, upper) an interval that holds at every reading.",
)
ROLLOUT_VERDICT = Metric(
    "plimsoll_rollout_verdict",
    "gauge",
    ("objective", "pool", "baseline", "candidate", "verdict"),
    "1 for the verdict on the rollout's new version: worse, not_worse, undecided; 0 for the others. Absent without a rollout.",
)
ROLLOUT_ANNOUNCED = Metric(
    "plimsoll_rollout_announced",
    "gauge",
    ("pool",),
    "1 while an announced rollout of the pool is in progress, otherwise 0.",
)
ROLLOUT_UNAVAILABLE = Metric(
    "plimsoll_rollout_max_unavailable_replicas",
    "gauge",
    ("pool",),
    "Replicas of the pool that an announced rollout may take down at once; 0 without one.",
)
REPLICA_CAPACITY = Metric(
    "plimsoll_replica_saturation_tokens_per_second",
    "gauge",
    ("pool", "replica"),
    "Measured throughput (input + output tokens/s) of the replica while requests were queued continuously. Absent until a replica has been saturated.",
)
EXCLUDED = Metric(
    "plimsoll_slo_excluded",
    "gauge",
    ("objective", "pool"),
    "1 while an exclusion covers the SLO, otherwise 0.",
)
REJECTED_SLOTS = Metric(
    "plimsoll_ledger_rejected_slots_total",
    "counter",
    ("code",),
    "Slots that the ledger rejected since the service started, by reason: impossible_counts, impossible_cover, out_of_range, slot_off_grid.",
)
DATA_PROBLEMS = Metric(
    "plimsoll_data_problems",
    "gauge",
    ("pool", "code"),
    "Problems that the last ingest found in the pool's data, by code. Each costs the numbers that it names, and nothing else.",
)
INGEST_LAG = Metric(
    "plimsoll_ingest_lag_seconds", "gauge", (), "Time since the ledger last recorded data from its source."
)
LEADER = Metric("plimsoll_leader", "gauge", (), "1 while this service leads and runs the jobs, otherwise 0.")
JOB_FAILURES = Metric(
    "plimsoll_job_failures_total", "counter", ("task",), "Runs of the service's job that failed since the start."
)
JOB_LAST_SUCCESS = Metric(
    "plimsoll_job_last_success_timestamp_seconds", "gauge", ("task",), "Unix time of the job's last successful run."
)
CHANGE_EVENTS = Metric(
    "plimsoll_change_events_total",
    "counter",
    ("outcome",),
    "Change events to PagerDuty since the start: sent, failed (attempts; up to five of an event), dropped. Absent without a PagerDuty key.",
)
REVIEW_DELIVERED = Metric(
    "plimsoll_review_delivered",
    "gauge",
    ("receiver",),
    "Whether the receiver has the last saved weekly review (1) or not (0). Absent before the first one is saved.",
)
REVIEW_DELIVERY_FAILURES = Metric(
    "plimsoll_review_delivery_failures_total",
    "counter",
    ("receiver",),
    "Attempts to send a weekly review to the receiver that failed since the start.",
)
# Named as Prometheus names its own (prometheus_config_last_reload_successful).
RELOAD_SUCCESSFUL = Metric(
    "plimsoll_config_last_reload_successful",
    "gauge",
    (),
    "Whether the objectives file was read at the last attempt (1), or is faulty, so that the objectives before it are still used (0).",
)
RELOAD_SUCCESS_TIME = Metric(
    "plimsoll_config_last_reload_success_timestamp_seconds",
    "gauge",
    (),
    "Unix time at which the objectives file was last read without an error.",
)
