"""Error budgets: pure functions of counted requests.

Where a threshold isn't a bucket bound, some requests may be good or not (`indeterminate`, plimsoll.slo.sli.bucket_bounds). Then every
figure is an interval: its value with none of them good, and `upper_bound` with all of them. Nothing in between is reported.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from plimsoll.slo.calendar import DAY
from plimsoll.slo.error_budget.burn_rate import MIN_BAD, USES_LOWER_BOUND, BurnRateAlert, alerts, burn_rate
from plimsoll.slo.spec.objectives import Objective

Status = Literal["ok", "burning", "exhausted", "unknown"]


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """Good and total requests of a stretch of time, its observed seconds, whether any request was simulated, and how many more
    may be good."""

    good: int
    total: int
    covered_seconds: float
    simulated: bool = False
    indeterminate: int = 0

    @property
    def bad(self) -> int:
        """Requests that aren't certainly good."""
        return self.total - self.good

    @property
    def upper_bound(self) -> "RequestCounts":
        """The same if every indeterminate request was good."""
        return replace(self, good=self.good + self.indeterminate, indeterminate=0) if self.indeterminate else self


NOTHING = RequestCounts(0, 0, 0.0)


@dataclass(frozen=True, slots=True)
class TierBurn:
    """A tier, the burn rates in its two windows (None: no requests seen there), and the bad requests in the long one."""

    tier: BurnRateAlert
    long_burn: float | None
    short_burn: float | None
    long_bad: int
    long_burn_lower_bound: float | None
    short_burn_lower_bound: float | None
    long_bad_lower_bound: int

    @property
    def firing(self) -> bool:
        """Whether both windows exceed the burn-rate threshold, with at least MIN_BAD bad requests.

        plimsoll.slo.error_budget.burn_rate.USES_LOWER_BOUND selects the bound.
        """
        bad, burns = self.long_bad, (self.long_burn, self.short_burn)
        if USES_LOWER_BOUND[self.tier.severity]:
            bad, burns = self.long_bad_lower_bound, (self.long_burn_lower_bound, self.short_burn_lower_bound)
        return bad >= MIN_BAD[self.tier.severity] and all(
            burn is not None and burn > self.tier.threshold for burn in burns
        )


def too_early(window_seconds: float, observed_seconds: float) -> bool:
    """Whether too little of a window was observed to judge an SLO by it: less than a day, or less than a 28th of a shorter window.

    A day, because traffic has a daily course: one bad hour may be all that was seen of it, and reads as a budget overspent many
    times. The 28th is a day's share of the usual window (28 d). Burn-rate alerts look at the last minutes and hours, so they don't wait.
    """
    return observed_seconds < min(DAY, window_seconds / 28)


@dataclass(frozen=True, slots=True)
class Budget:
    """An objective's state in its window.

    budget_remaining is the share of the allowed bad requests that is not spent yet (negative when overspent), None without a
    single request; elapsed_seconds is the window's past, coverage the share of it that was observed, once the excluded
    time is taken off both. `excluded` is what the exclusions take out of `counted`.
    """

    objective: Objective
    counted: RequestCounts
    elapsed_seconds: float
    coverage: float
    budget_remaining: float | None
    burns: tuple[TierBurn, ...]
    status: Status
    excluded: RequestCounts = NOTHING
    excluded_seconds: float = 0.0

    @property
    def budget_remaining_upper_bound(self) -> float | None:
        """What would be left of the budget if every indeterminate request was good."""
        return _left(self.objective, self.counted.upper_bound.good, self.counted.total)

    @property
    def budget_remaining_without_exclusions(self) -> float | None:
        """What would be left of the budget if nothing were excluded."""
        good, total = self.counted.good + self.excluded.good, self.counted.total + self.excluded.total
        return _left(self.objective, good, total)

    @property
    def too_early(self) -> bool:
        """Whether too little of the window was observed for `budget_remaining` to mean anything."""
        return too_early(self.objective.window.seconds, self.counted.covered_seconds)

    @property
    def firing(self) -> bool:
        """Whether a burn-rate alert fires."""
        return any(burn.firing for burn in self.burns)

    @property
    def bad(self) -> int:
        """Bad requests in the window."""
        return self.counted.bad


def burn_windows(objective: Objective) -> tuple[float, ...]:
    """Return the distinct window lengths in seconds that an objective's tiers look at."""
    found = alerts(objective.window.seconds, objective.budget_ratio)
    return tuple(sorted({length for tier in found for length in (tier.long, tier.short)}))


def budget(
    objective: Objective,
    counted: RequestCounts,
    elapsed_seconds: float,
    recent: Mapping[float, RequestCounts],
    excluded: RequestCounts = NOTHING,
    excluded_seconds: float = 0.0,
) -> Budget:
    """Evaluate an SLO: `counted` and `elapsed_seconds` for its window so far, `recent` for each of burn_windows.

    `excluded` and `excluded_seconds` are what of the window's requests and elapsed time is not counted.
    """
    left, remaining_upper_bound = (_left(objective, some.good, some.total) for some in (counted, counted.upper_bound))
    found = alerts(objective.window.seconds, objective.budget_ratio)
    burns = tuple(_tier_burn(objective, tier, recent) for tier in found)
    countable = elapsed_seconds - excluded_seconds
    coverage = min(1.0, counted.covered_seconds / countable) if countable > 0 else 0.0
    status = _status(left, remaining_upper_bound, burns)
    return Budget(objective, counted, elapsed_seconds, coverage, left, burns, status, excluded, excluded_seconds)


def _left(objective: Objective, good: int, total: int) -> float | None:
    return 1 - (total - good) / (objective.budget_ratio * total) if total > 0 else None


def _tier_burn(objective: Objective, tier: BurnRateAlert, recent: Mapping[float, RequestCounts]) -> TierBurn:
    windows = [recent.get(length, NOTHING) for length in (tier.long, tier.short)]
    long, short, long_lower_bound, short_lower_bound = (
        burn_rate(some.good, some.total, objective.budget_ratio)
        for some in (*windows, *(window.upper_bound for window in windows))
    )
    bad = windows[0].bad, windows[0].upper_bound.bad
    return TierBurn(tier, long, short, bad[0], long_lower_bound, short_lower_bound, bad[1])


def _status(left: float | None, remaining_upper_bound: float | None, burns: tuple[TierBurn, ...]) -> Status:
    """A budget that is exhausted, or not, depending on indeterminate requests is unknown."""
    if left is None or remaining_upper_bound is None:
        return "unknown"
    if remaining_upper_bound <= 0:
        return "exhausted"
    if any(burn.firing for burn in burns):
        return "burning"
    return "ok" if left > 0 else "unknown"
