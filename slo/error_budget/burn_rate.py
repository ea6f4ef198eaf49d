"""Burn-rate alerts: the burn rate that pages or opens a ticket. Thresholds are computed from fractions of the budget.

Source of the fractions and windows: Google, The Site Reliability Workbook, chapter 5 "Alerting on SLOs", table 5-8
(2 % in 1 h, 5 % in 6 h, 10 % in 3 d) and its Prometheus example (10 % in 1 d); a short window is 1/12 of the long one.
For windows of two weeks or less the same fractions would give thresholds below 1 (alerts while the SLO is met), so
larger fractions are used: 8, 12.5, 20 and 42 % over a week.
"""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["page", "ticket"]
HOUR = 3600.0
DAY = 86400.0
SHORT_SHARE = 12  # short window = long / 12
# A tier must fire at 80 % bad at the latest, so that a pool with one replica left of five still pages.
REACHABLE = 0.8
# A tier also needs this many bad requests in its long window. At 99.9 % and 10 requests an hour, one failed request is
# 14 % of a month's budget and would fire both page tiers. 10 bad requests are more than one user's retries.
MIN_BAD: dict[Severity, int] = {"page": 10, "ticket": 3}

# With bounds, some requests are neither confirmed good nor confirmed bad (plimsoll.slo.sli.bucket_bounds). A page must not fire for
# requests that may be good: it uses the lower bound of the burn rate. A ticket uses the upper bound, because missing is never good; its
# fix is a bucket bound at the threshold. Requests of a real outage exceed every bound, so they still page.
USES_LOWER_BOUND: dict[Severity, bool] = {"page": True, "ticket": False}


@dataclass(frozen=True, slots=True)
class Fraction:
    """A row of the table: `fraction` of the budget consumed within `long` seconds raises an alert of `severity`."""

    tier: str
    severity: Severity
    fraction: float
    long: float


TABLE = (
    Fraction("page-fast", "page", 0.02, HOUR),
    Fraction("page-slow", "page", 0.05, 6 * HOUR),
    Fraction("ticket-fast", "ticket", 0.10, DAY),
    Fraction("ticket-slow", "ticket", 0.10, 3 * DAY),
)
WEEK_TABLE = (
    Fraction("page-fast", "page", 0.08, HOUR),
    Fraction("page-slow", "page", 0.125, 6 * HOUR),
    Fraction("ticket-fast", "ticket", 0.20, DAY),
    Fraction("ticket-slow", "ticket", 0.42, 3 * DAY),
)


@dataclass(frozen=True, slots=True)
class BurnRateAlert:
    """Fires when the burn rate of both windows (seconds) exceeds `threshold`; `uncapped_threshold` is the value from the table."""

    tier: str
    severity: Severity
    fraction: float
    long: float
    short: float
    threshold: float
    uncapped_threshold: float

    def max_bad_ratio(self, budget_ratio: float) -> float:
        """Return the bad ratio above which the alert fires: threshold x (1 - target)."""
        return self.threshold * budget_ratio

    def detection_seconds(self, budget_ratio: float, bad_ratio: float) -> float | None:
        """Return the seconds from a sudden, constant `bad_ratio` until the long window exceeds it (None: never). Workbook: burn rate x B x long / e."""
        limit = self.max_bad_ratio(budget_ratio)
        return None if bad_ratio <= limit else limit * self.long / bad_ratio


def tiers(window: float, budget_ratio: float) -> tuple[BurnRateAlert, ...]:
    """Compute the tiers of an objective with `window` seconds and `budget_ratio` = 1 - target.

    A threshold is capped where its bad ratio would exceed REACHABLE: such an alert would almost never fire. The windows stay.
    Tiers with a long window as long as the objective's own are left out.
    """
    rows = [row for row in (TABLE if window > 14 * DAY else WEEK_TABLE) if row.long < window]
    result = []
    for row in rows:
        uncapped = row.fraction * window / row.long
        threshold = min(uncapped, REACHABLE / budget_ratio)
        fraction = threshold * row.long / window
        result.append(
            BurnRateAlert(row.tier, row.severity, fraction, row.long, row.long / SHORT_SHARE, threshold, uncapped)
        )
    return tuple(result)


def burn_rate(good: float, total: float, budget_ratio: float) -> float | None:
    """Bad ratio over budget ratio; None without requests (unknown, not zero)."""
    return None if total <= 0 else (total - good) / total / budget_ratio
