"""Burn-rate alerts: the burn rate that pages or opens a ticket. Thresholds are computed from fractions of the budget.

Source of the fractions and windows: Google, The Site Reliability Workbook, chapter 5 "Alerting on SLOs", table 5-8
(2 % in 1 h, 5 % in 6 h, 10 % in 3 d) and its Prometheus example (10 % in 1 d); a short window is 1/12 of the long one.
For windows of two weeks or less the same fractions would give thresholds below 1 (alerts while the SLO is met), so
larger fractions are used: 8, 12.5, 20 and 42 % over a week. Below a week the windows shrink with the SLO's own.

What holds for every window from an hour to a year, and every target (tests/alerts/test_alerts_tiers.py):
requests that are bad at the budget's own rate never alert; twice that rate opens a ticket in the first half of the window;
a total outage pages within three minutes at ten requests a minute (the outage tier, which doesn't ask for the budget).
"""

from dataclasses import dataclass
from typing import Literal

from plimsoll.slo.calendar import DAY, HOUR, MINUTE, WEEK

Severity = Literal["page", "ticket"]
SHORTEST = 300.0  # seconds: the recorded rates cover five minutes, so no window is shorter (but the outage tier's)
SHORT_SHARE = 12  # short window = long / 12
# A tier must fire at 80 % bad at the latest, so that a pool with one replica left of five still pages.
REACHABLE = 0.8
# A page must not fire on a budget that is consumed as planned; twice that rate leaves room for the noise of small counts.
# A ticket's threshold is at least 1, and the slowest one's at most 1.5, so that twice the rate always opens one.
LEAST: dict[Severity, float] = {"page": 2.0, "ticket": 1.0}
SLOWEST_MOST = 1.5
# Lengths of a long window, shortest first. Prometheus keeps 15 days by default.
LENGTHS = (
    *(minutes * MINUTE for minutes in (10, 15, 30)),
    *(hours * HOUR for hours in (1, 2, 3, 4, 6, 8, 12)),
    *(days * DAY for days in (1, 2, 3, 7, 14)),
)
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
OUTAGE = "outage"
SLOWEST = TABLE[-1].tier
TIERS = (OUTAGE, *(row.tier for row in TABLE))  # fastest first


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


def alerts(window: float, budget_ratio: float) -> tuple[BurnRateAlert, ...]:
    """Return all of an SLO's alerts, fastest first: the outage tier, then those of its budget."""
    return outage(window, budget_ratio), *tiers(window, budget_ratio)


def outage(window: float, budget_ratio: float) -> BurnRateAlert:
    """Return the tier that pages for what users feel now, whatever it costs of the budget.

    40 % bad over five minutes: a total outage is two minutes long then, one of half of the requests four. Where the target itself
    allows more than 30 % bad, 60 % over three minutes: half bad is close to what such a target allows.
    """
    ratio, length = (0.4, SHORTEST) if budget_ratio <= 0.3 else (0.6, 180.0)
    threshold = ratio / budget_ratio
    return BurnRateAlert(OUTAGE, "page", threshold * length / window, length, length, threshold, threshold)


def tiers(window: float, budget_ratio: float) -> tuple[BurnRateAlert, ...]:
    """Compute the budget's tiers of an objective with `window` seconds and `budget_ratio` = 1 - target, fastest first.

    A threshold is capped where its bad ratio would exceed REACHABLE: such an alert would almost never fire. Of two tiers of one
    severity and window, the more sensitive one stays.
    """
    found: dict[tuple[Severity, float], BurnRateAlert] = {}
    for row in TABLE if window > 2 * WEEK else WEEK_TABLE:
        long = _length(row, window)
        uncapped = max(LEAST[row.severity], row.fraction * window / long)
        if row.tier == SLOWEST:
            uncapped = min(uncapped, SLOWEST_MOST)
        threshold = min(uncapped, REACHABLE / budget_ratio)
        short = max(SHORTEST, long / SHORT_SHARE)
        tier = BurnRateAlert(row.tier, row.severity, threshold * long / window, long, short, threshold, uncapped)
        same = found.setdefault((row.severity, long), tier)
        if tier.threshold < same.threshold:
            found[row.severity, long] = tier
    return tuple(found.values())


def _length(row: Fraction, window: float) -> float:
    """Return the long window of a row for an SLO's window, both in seconds."""
    if window < WEEK:
        return max((length for length in LENGTHS if length <= row.long * window / WEEK), default=LENGTHS[0])
    if row.tier != SLOWEST:
        return row.long
    enough = (length for length in LENGTHS if length >= row.long and row.fraction * window / length <= SLOWEST_MOST)
    return next(enough, LENGTHS[-1]) if window > 2 * WEEK else row.long


def burn_rate(good: float, total: float, budget_ratio: float) -> float | None:
    """Bad ratio over budget ratio; None without requests (unknown, not zero)."""
    return None if total <= 0 else (total - good) / total / budget_ratio
