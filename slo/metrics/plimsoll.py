"""The exporter's and the SLO service's own numbers."""

from plimsoll.slo.metrics.metric import Metric

# The exporter's own -----------------------------------------------------------------------------------------
COLLECTOR_SUCCESS = Metric(
    "plimsoll_collector_success", "gauge", ("collector",), "1 if the collector answered within its deadline, else 0."
)
COLLECTOR_DURATION = Metric(
    "plimsoll_collector_duration_seconds", "gauge", ("collector",), "How long the collector's last run took."
)
COLLECTOR_AGE = Metric(
    "plimsoll_collector_age_seconds",
    "gauge",
    ("collector",),
    "Seconds since the collector last answered; absent before its first answer.",
)
NVML_RESTARTS = Metric(
    "plimsoll_nvml_restarts_total",
    "counter",
    ("cause",),
    "How often the process that holds the driver's library ended and was replaced, by cause: a signal, NVML's code, stuck.",
)
METRIC_MISSING = Metric(
    "plimsoll_engine_metric_missing",
    "gauge",
    ("collector", "metric"),
    "1 for each name that the engine's page should have, by its engine and version, and has not.",
)
BUILD_INFO = Metric("plimsoll_build_info", "gauge", ("version",), "Version of this exporter, always 1.")

# The SLO service's own --------------------------------------------------------------------------------------
RECOMMENDED_NODES = Metric(
    "plimsoll_recommended_nodes", "gauge", ("pool",), "Nodes that the pool should have, by the last recommendation."
)
BUDGET_REMAINING = Metric(
    "plimsoll_error_budget_remaining_ratio",
    "gauge",
    ("objective", "pool"),
    "Share of the error budget left in the objective's window, by the ledger; negative when overspent.",
)
BUDGET_REMAINING_UPPER_BOUND = Metric(
    "plimsoll_error_budget_remaining_upper_bound_ratio",
    "gauge",
    ("objective", "pool"),
    "The same of an objective with bucket_mismatch: bounds, if every request between the two bucket bounds was good.",
)
COVERAGE = Metric(
    "plimsoll_slo_data_coverage_ratio",
    "gauge",
    ("objective", "pool"),
    "Share of the objective's window that was observed, by the ledger.",
)
REPLICA_CAPACITY = Metric(
    "plimsoll_replica_saturation_tokens_per_second",
    "gauge",
    ("pool", "replica"),
    "Tokens, prompt and generated, that a replica does while requests wait for it all the time: its own where replicas are "
    "unlike, else the pool's; absent until any was seen full.",
)
EXCLUDED = Metric(
    "plimsoll_slo_excluded",
    "gauge",
    ("objective", "pool"),
    "1 while an exclusion (maintenance, load test) covers the objective, 0 while none does.",
)
INGEST_LAG = Metric("plimsoll_ingest_lag_seconds", "gauge", (), "Seconds since the ledger last booked from its source.")
