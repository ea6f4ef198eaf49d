"""Names and labels of the recorded series: written by `alerts`, read by `dashboards` and the service."""

from slo.quantities import duration_text

# Per objective, labels objective and pool. Good and total stay apart: a longer window is a ratio of sums of these.
GOOD_RATE = "objective:requests_good:rate5m"
TOTAL_RATE = "objective:requests_total:rate5m"
TARGET = "objective:target:ratio"
# The ledger's answers, as exported by the SLO service, are catalogue.BUDGET_LEFT and catalogue.COVERAGE.


def burn_rate(window: float) -> str:
    """Name of the series with an objective's burn rate over a window in seconds: bad ratio / (1 - target)."""
    return f"objective:burn_rate:ratio_{duration_text(window)}"


def bad_requests(window: float) -> str:
    """Name of the series with an objective's number of bad requests in a window in seconds."""
    return f"objective:requests_bad:increase_{duration_text(window)}"
