"""Error budgets: pure functions of counted requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from slo.burn import MIN_BAD, Tier, burn_rate, tiers
from slo.spec import Objective

Status = Literal["ok", "burning", "exhausted", "unknown"]


@dataclass(frozen=True, slots=True)
class Counted:
    """Good and total requests of a stretch of time, its observed seconds, and whether any request was simulated."""

    good: int
    total: int
    covered_seconds: float
    simulated: bool = False

    @property
    def bad(self) -> int:
        """Requests that were not good."""
        return self.total - self.good


NOTHING = Counted(0, 0, 0.0)


@dataclass(frozen=True, slots=True)
class TierBurn:
    """A tier, the burn rates in its two windows (None: no requests seen there), and the bad requests in the long one."""

    tier: Tier
    long_burn: float | None
    short_burn: float | None
    long_bad: int

    @property
    def firing(self) -> bool:
        """Whether both windows burn faster than the tier's factor, with enough bad requests (MIN_BAD) to mean something."""
        return self.long_bad >= MIN_BAD[self.tier.severity] and all(
            burn is not None and burn > self.tier.factor for burn in (self.long_burn, self.short_burn)
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """An objective's state in its window.

    budget_left is the share of the allowed bad requests that is not spent yet (negative when overspent), None without a
    single request; elapsed_seconds is the window's past, coverage the share of it that was observed, once the excluded
    time is taken off both. `excluded` is what the exclusions take out of `counted`.
    """

    objective: Objective
    counted: Counted
    elapsed_seconds: float
    coverage: float
    budget_left: float | None
    burns: tuple[TierBurn, ...]
    status: Status
    excluded: Counted = NOTHING
    excluded_seconds: float = 0.0

    @property
    def budget_left_with_excluded(self) -> float | None:
        """What would be left of the budget if nothing were excluded."""
        good, total = self.counted.good + self.excluded.good, self.counted.total + self.excluded.total
        return _left(self.objective, good, total)

    @property
    def bad(self) -> int:
        """Bad requests in the window."""
        return self.counted.bad


def burn_windows(objective: Objective) -> tuple[float, ...]:
    """Return the distinct window lengths in seconds that an objective's tiers look at."""
    found = tiers(objective.window.seconds, objective.budget_ratio)
    return tuple(sorted({length for tier in found for length in (tier.long, tier.short)}))


def budget(
    objective: Objective,
    counted: Counted,
    elapsed_seconds: float,
    recent: Mapping[float, Counted],
    excluded: Counted = NOTHING,
    excluded_seconds: float = 0.0,
) -> Budget:
    """Judge an objective: `counted` and `elapsed_seconds` for its window so far, `recent` for each of burn_windows.

    `excluded` and `excluded_seconds` are what of the window's requests and elapsed time is not counted.
    """
    left = _left(objective, counted.good, counted.total)
    burns = tuple(
        TierBurn(
            tier,
            _burn(objective, recent, tier.long),
            _burn(objective, recent, tier.short),
            recent.get(tier.long, NOTHING).bad,
        )
        for tier in tiers(objective.window.seconds, objective.budget_ratio)
    )
    countable = elapsed_seconds - excluded_seconds
    coverage = min(1.0, counted.covered_seconds / countable) if countable > 0 else 0.0
    status = _status(left, burns)
    return Budget(objective, counted, elapsed_seconds, coverage, left, burns, status, excluded, excluded_seconds)


def _left(objective: Objective, good: int, total: int) -> float | None:
    return 1 - (total - good) / (objective.budget_ratio * total) if total > 0 else None


def _burn(objective: Objective, recent: Mapping[float, Counted], length: float) -> float | None:
    counted = recent.get(length, NOTHING)
    return burn_rate(counted.good, counted.total, objective.budget_ratio)


def _status(left: float | None, burns: tuple[TierBurn, ...]) -> Status:
    if left is None:
        return "unknown"
    if left <= 0:
        return "exhausted"
    return "burning" if any(burn.firing for burn in burns) else "ok"
