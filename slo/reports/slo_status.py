"""An SLO and where it stands: one object for the API, the pages and the metrics."""

from typing import Literal

from pydantic import BaseModel, Field

from plimsoll.slo.error_budget.budget import Budget
from plimsoll.slo.error_budget.exhaustion import CONFIDENCE, LEAST_COVERAGE, LOOK_BACK, METHOD, Exhaustion
from plimsoll.slo.spec.objectives import OffBucket

UNCLEAR = Field(
    description="Requests, beside `good` and among `total`, of which it is not known whether they were good: the limit lies between two "
    "bucket bounds and the objective says `off_bucket: bracket`. 0: every figure is exact. Figures take them for bad; those that end "
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
    long_burn_rate_at_best: float | None
    short_burn_rate_at_best: float | None
    firing: bool = Field(
        description="A page goes by the burn rates at best (what is surely bad), a ticket by the others."
    )


class ExhaustionOut(BaseModel):
    """When the budget is spent if requests go on as in the last day: seconds from the moment that it was judged at.

    What leaves a rolling window is known and gives its part of the budget back; what comes is uncertain, and more so as bad requests
    come in bursts (docs/ledger.md).
    """

    state: Literal["exhausted", "runs_out", "holds", "unknown"] = Field(
        description="exhausted: it is spent; runs_out: it will be at this pace; holds: not before the window's end (of a rolling one: "
        f"ever); unknown: no request, unclear requests decide whether it is spent, or less than {LEAST_COVERAGE:.0%} of the look-back was observed."
    )
    seconds: float | None = Field(description="At this pace; null where it holds or is unknown.")
    soonest_seconds: float | None = Field(description="Lower end of the interval; null: not even if it goes badly.")
    latest_seconds: float | None = Field(description="Upper end of the interval; null: perhaps never.")
    confidence: float = Field(description="That the interval holds the moment.")
    look_back_seconds: float
    look_back_coverage: float = Field(description="Share of the look-back that was observed, 0 to 1.")
    method: str

    @classmethod
    def of(cls, found: Exhaustion) -> "ExhaustionOut":
        """Write what was found as the API's object."""
        return cls(
            state=found.state,
            seconds=found.seconds,
            soonest_seconds=found.soonest,
            latest_seconds=found.latest,
            confidence=CONFIDENCE,
            look_back_seconds=LOOK_BACK,
            look_back_coverage=found.coverage,
            method=METHOD,
        )


class Slo(BaseModel):
    """One objective and where it stands."""

    id: str
    pool: str
    indicator: str
    target: float
    window: str
    off_bucket: OffBucket = Field(
        description="How requests are counted where the limit is no bucket bound: not at all, at the next lower bound, or at both."
    )
    good: int
    total: int
    unclear: int = UNCLEAR
    coverage: float = Field(description="Share of the window so far that was observed, 0 to 1. The rest is unknown.")
    budget_left: float | None = Field(
        description="Share of the error budget left; negative: overspent; null: no request."
    )
    budget_left_at_best: float | None
    burn_rates: list[BurnRate]
    status: Literal["ok", "burning", "exhausted", "unknown"] = Field(
        description="exhausted: surely spent; unknown: no request, or it is spent or not depending on unclear ones."
    )
    exhaustion: ExhaustionOut
    simulated: bool
    excluded_good: int = Field(description="Good requests of excluded slots. They are not in `good` and `total`.")
    excluded_total: int
    excluded_seconds: float = Field(description="Time of the window so far that is excluded; coverage is of the rest.")
    budget_left_with_excluded: float | None = Field(description="budget_left, if nothing were excluded.")

    @classmethod
    def of(cls, budget: Budget, exhaustion: Exhaustion) -> "Slo":
        """Write a judged objective as the API's object."""
        objective = budget.objective
        return cls(
            id=objective.id,
            pool=objective.pool,
            indicator=str(objective.indicator),
            target=objective.target,
            window=str(objective.window),
            off_bucket=objective.off_bucket,
            good=budget.counted.good,
            total=budget.counted.total,
            unclear=budget.counted.unclear,
            coverage=budget.coverage,
            budget_left=budget.budget_left,
            budget_left_at_best=budget.budget_left_at_best,
            burn_rates=[
                BurnRate(
                    tier=burn.tier.tier,
                    severity=burn.tier.severity,
                    factor=burn.tier.factor,
                    long_seconds=burn.tier.long,
                    short_seconds=burn.tier.short,
                    long_burn_rate=burn.long_burn,
                    short_burn_rate=burn.short_burn,
                    long_burn_rate_at_best=burn.long_burn_at_best,
                    short_burn_rate_at_best=burn.short_burn_at_best,
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
            budget_left_with_excluded=budget.budget_left_with_excluded,
        )
