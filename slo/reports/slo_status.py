"""An SLO and where it stands: one object for the API, the pages and the metrics."""

from typing import Literal

from pydantic import BaseModel, Field

from plimsoll.slo.error_budget.budget import Budget
from plimsoll.slo.error_budget.exhaustion import CONFIDENCE, LEAST_COVERAGE, LOOKBACK, METHOD, Exhaustion
from plimsoll.slo.spec.objectives import BucketMismatch

INDETERMINATE = Field(
    description="Requests, beside `good` and among `total`, of which it is not known whether they were good: the limit lies between two "
    "bucket bounds and the objective says `bucket_mismatch: bounds`. 0: every figure is exact. Figures take them for bad; those that end "
    "in `_at_best` take them for good, and the truth lies between the two."
)


class BurnRate(BaseModel):
    """A tier's two windows. A burn rate of 1 spends exactly the whole budget in the whole window; null: no request seen."""

    tier: str
    severity: Literal["page", "ticket"]
    factor: float = Field(description="The tier fires when both burn rates are above this.")
    long_seconds: float
    short_seconds: float
    long_burn_rate: float | None
    short_burn_rate: float | None
    long_burn_rate_lower_bound: float | None
    short_burn_rate_lower_bound: float | None
    firing: bool = Field(
        description="A page goes by the burn rates at best (what is surely bad), a ticket by the others."
    )


class ExhaustionOut(BaseModel):
    """When the budget is spent if requests go on as in the last day: seconds from the moment that it was evaluated at.

    What leaves a rolling window is known and gives its part of the budget back; what comes is uncertain, and more so as bad requests
    come in bursts (docs/ledger.md).
    """

    state: Literal["exhausted", "will_exhaust", "holds", "unknown"] = Field(
        description="exhausted: it is spent; will_exhaust: it will be at this pace; holds: not before the window's end (of a rolling one: "
        f"ever); unknown: no request, indeterminate requests decide whether it is spent, or less than {LEAST_COVERAGE:.0%} of the look-back was observed."
    )
    seconds: float | None = Field(description="At this pace; null where it holds or is unknown.")
    earliest_seconds: float | None = Field(description="Lower end of the interval; null: not even if it goes badly.")
    latest_seconds: float | None = Field(description="Upper end of the interval; null: perhaps never.")
    confidence: float = Field(description="That the interval holds the moment.")
    lookback_seconds: float
    lookback_coverage: float = Field(description="Share of the look-back that was observed, 0 to 1.")
    method: str

    @classmethod
    def of(cls, found: Exhaustion) -> "ExhaustionOut":
        """Write what was found as the API's object."""
        return cls(
            state=found.state,
            seconds=found.seconds,
            earliest_seconds=found.earliest,
            latest_seconds=found.latest,
            confidence=CONFIDENCE,
            lookback_seconds=LOOKBACK,
            lookback_coverage=found.coverage,
            method=METHOD,
        )


class Slo(BaseModel):
    """One objective and where it stands."""

    id: str
    pool: str
    indicator: str
    target: float
    window: str
    bucket_mismatch: BucketMismatch = Field(
        description="How requests are counted where the limit is no bucket bound: not at all, at the next lower bound, or at both."
    )
    good: int
    total: int
    indeterminate: int = INDETERMINATE
    coverage: float = Field(description="Share of the window so far that was observed, 0 to 1. The rest is unknown.")
    budget_remaining: float | None = Field(
        description="Share of the error budget left; negative: overspent; null: no request."
    )
    budget_remaining_upper_bound: float | None
    burn_rates: list[BurnRate]
    status: Literal["ok", "burning", "exhausted", "unknown"] = Field(
        description="exhausted: surely spent; unknown: no request, or it is spent or not depending on indeterminate ones."
    )
    exhaustion: ExhaustionOut
    simulated: bool
    excluded_good: int = Field(description="Good requests of excluded slots. They are not in `good` and `total`.")
    excluded_total: int
    excluded_seconds: float = Field(description="Time of the window so far that is excluded; coverage is of the rest.")
    budget_remaining_without_exclusions: float | None = Field(description="budget_remaining, if nothing were excluded.")

    @classmethod
    def of(cls, budget: Budget, exhaustion: Exhaustion) -> "Slo":
        """Write a evaluated objective as the API's object."""
        objective = budget.objective
        return cls(
            id=objective.id,
            pool=objective.pool,
            indicator=str(objective.indicator),
            target=objective.target,
            window=str(objective.window),
            bucket_mismatch=objective.bucket_mismatch,
            good=budget.counted.good,
            total=budget.counted.total,
            indeterminate=budget.counted.indeterminate,
            coverage=budget.coverage,
            budget_remaining=budget.budget_remaining,
            budget_remaining_upper_bound=budget.budget_remaining_upper_bound,
            burn_rates=[
                BurnRate(
                    tier=burn.tier.tier,
                    severity=burn.tier.severity,
                    factor=burn.tier.factor,
                    long_seconds=burn.tier.long,
                    short_seconds=burn.tier.short,
                    long_burn_rate=burn.long_burn,
                    short_burn_rate=burn.short_burn,
                    long_burn_rate_lower_bound=burn.long_burn_lower_bound,
                    short_burn_rate_lower_bound=burn.short_burn_lower_bound,
                    firing=burn.firing,
                )
                for burn in budget.burns
            ],
            status=budget.status,
            exhaustion=ExhaustionOut.of(exhaustion),
            simulated=budget.counted.simulated,
            excluded_good=budget.excluded.good,
            excluded_total=budget.excluded.total,
            excluded_seconds=budget.excluded_seconds,
            budget_remaining_without_exclusions=budget.budget_remaining_without_exclusions,
        )
