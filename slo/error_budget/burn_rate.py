"""Burn-rate tiers: which rate of spending wakes whom. Factors are computed from fractions of the budget, never typed.

Source of the fractions and windows: Google, The Site Reliability Workbook, chapter 5 "Alerting on SLOs", table 5-8
(2 % in 1 h, 5 % in 6 h, 10 % in 3 d) and its Prometheus example (10 % in 1 d); a short window is 1/12 of the long one.
For windows of two weeks and less the same fractions would make factors below 1 (alarm while the budget is kept), so
larger ones are used: 8, 12.5, 20 and 42 % over a week.
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
# 14 % of a month's budget and would page on both page tiers: ten are no longer one user who tries again, three are not one slip.
MIN_BAD: dict[Severity, int] = {"page": 10, "ticket": 3}

# Of a has_bounds objective some requests are neither surely good nor surely bad (plimsoll.slo.sli.bucket_bounds). Nobody is woken for what may well be
# good: a page counts what is bad at best. A ticket counts all that is not surely good, for missing is never good; by day
# somebody looks, and gives the histogram the bound. Requests of a real outage lie beyond every bound: those still page.
AT_BEST: dict[Severity, bool] = {"page": True, "ticket": False}


@dataclass(frozen=True, slots=True)
class Fraction:
    """A row of the table: spend `fraction` of the budget within `long` seconds and `severity` is due."""

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
class Tier:
    """Alert when both windows (seconds) burn faster than `factor` times the budget; `wished` is the table's own factor."""

    tier: str
    severity: Severity
    fraction: float
    long: float
    short: float
    factor: float
    wished: float

    def threshold(self, budget_ratio: float) -> float:
        """Bad ratio above which the tier fires: factor x (1 - target)."""
        return self.factor * budget_ratio

    def detection_seconds(self, budget_ratio: float, bad_ratio: float) -> float | None:
        """Seconds from a sudden, constant `bad_ratio` until the long window trips (None: never). Workbook: factor x B x long / e."""
        threshold = self.threshold(budget_ratio)
        return None if bad_ratio <= threshold else threshold * self.long / bad_ratio


def tiers(window: float, budget_ratio: float) -> tuple[Tier, ...]:
    """Compute the tiers of an objective with `window` seconds and `budget_ratio` = 1 - target.

    A tier whose threshold exceeds REACHABLE could hardly ever fire (factor x (1 - target) >= 1 never can): it keeps its
    windows and gets the largest factor that can. A tier that looks back as far as the objective itself is left out.
    """
    rows = [row for row in (TABLE if window > 14 * DAY else WEEK_TABLE) if row.long < window]
    result = []
    for row in rows:
        wished = row.fraction * window / row.long
        factor = min(wished, REACHABLE / budget_ratio)
        fraction = factor * row.long / window
        result.append(Tier(row.tier, row.severity, fraction, row.long, row.long / SHORT_SHARE, factor, wished))
    return tuple(result)


def burn_rate(good: float, total: float, budget_ratio: float) -> float | None:
    """Bad ratio over budget ratio; None without requests (unknown, not zero)."""
    return None if total <= 0 else (total - good) / total / budget_ratio
