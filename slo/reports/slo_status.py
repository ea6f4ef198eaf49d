"""An SLO and its current status: one object for the API, the pages, and the metrics."""

from typing import Literal

from pydantic import BaseModel, Field

from plimsoll.slo.error_budget.budget import Budget, TierBurn
from plimsoll.slo.error_budget.exhaustion import CONFIDENCE, LEAST_COVERAGE, LOOKBACK, METHOD, Exhaustion, State
from plimsoll.slo.spec.objectives import BucketMismatch, CountAt

INDETERMINATE = Field(
    description="Requests among `total` that may be good or bad: the threshold lies between two bucket boundaries and the SLO sets "
    "`bucket_mismatch: bounds`. 0: every figure is exact. Figures count them as bad; fields that end in `_upper_bound` or "
    "`_lower_bound` count them as good, and the true value lies between the two."
)


class BurnRate(BaseModel):
    """Burn rates of one burn-rate alert. A burn rate of 1 consumes exactly the whole budget by the end of the window."""

    tier: str
    severity: Literal["page", "ticket"]
    threshold: float = Field(description="The alert fires when both burn rates exceed this.")
    long_window_seconds: float
    short_window_seconds: float
    long_burn_rate: float | None = Field(description="`null`: no requests in the window.")
    short_burn_rate: float | None
    long_burn_rate_lower_bound: float | None
    short_burn_rate_lower_bound: float | None
    firing: bool = Field(
        description="A page uses the lower bounds (confirmed bad requests); a ticket includes indeterminate requests."
    )

    @classmethod
    def of(cls, burn: TierBurn) -> "BurnRate":
        """Return the API object of an evaluated burn-rate alert."""
        return cls(
            tier=burn.tier.tier,
            severity=burn.tier.severity,
            threshold=burn.tier.threshold,
            long_window_seconds=burn.tier.long,
            short_window_seconds=burn.tier.short,
            long_burn_rate=burn.long_burn,
            short_burn_rate=burn.short_burn,
            long_burn_rate_lower_bound=burn.long_burn_lower_bound,
            short_burn_rate_lower_bound=burn.short_burn_lower_bound,
            firing=burn.firing,
        )


class ExhaustionForecast(BaseModel):
    """When the budget is exhausted if requests continue as in the last day, in seconds from the evaluation.

    Requests that leave a rolling window restore budget; that is included. Bad requests come in bursts, which widens the interval.
    """

    state: State = Field(
        description="exhausted; will_exhaust: projected at the last day's rate; will_not_exhaust: not before the window ends "
        f"(rolling: never); unknown: no requests, indeterminate requests decide, or under {LEAST_COVERAGE:.0%} data coverage."
    )
    seconds_to_exhaustion: float | None = Field(description="`null`: not projected, or unknown.")
    earliest_seconds: float | None = Field(description="Lower end of the interval. `null`: never.")
    latest_seconds: float | None = Field(description="Upper end of the interval. `null`: possibly never.")
    confidence_level: float = Field(description="Probability that the interval contains the time of exhaustion.")
    lookback_seconds: float
    lookback_coverage: float = Field(description="Ratio of the lookback with data, 0 to 1.")
    method: str

    @classmethod
    def of(cls, found: Exhaustion) -> "ExhaustionForecast":
        """Return the API object of a projection."""
        return cls(
            state=found.state,
            seconds_to_exhaustion=found.seconds,
            earliest_seconds=found.earliest,
            latest_seconds=found.latest,
            confidence_level=CONFIDENCE,
            lookback_seconds=LOOKBACK,
            lookback_coverage=found.coverage,
            method=METHOD,
        )


class Slo(BaseModel):
    """One SLO with its error budget and burn rates."""

    id: str = Field(examples=["chat-ttft"])
    pool: str = Field(examples=["chat-70b"])
    indicator: str = Field(examples=["time_to_first_token <= 600ms"])
    target: float = Field(description="Ratio of good requests, 0 to 1.", examples=[0.95])
    window: str = Field(examples=["28d"])
    count_at: CountAt = Field(
        description="Where requests are counted: in the engines, or at the gateways, which also see those that no engine got."
    )
    bucket_mismatch: BucketMismatch = Field(
        description="How requests count if the threshold isn't a bucket boundary: not at all, by the next lower boundary, or by both."
    )
    good: int
    total: int
    indeterminate: int = INDETERMINATE
    coverage: float = Field(description="Ratio of the window so far with data, 0 to 1. The rest is unknown.")
    budget_remaining: float | None = Field(
        description="Ratio of the error budget that remains. Negative: overspent. `null`: no requests.", examples=[0.42]
    )
    budget_remaining_upper_bound: float | None
    burn_rates: list[BurnRate]
    status: Literal["ok", "burning", "exhausted", "unknown"] = Field(
        description="exhausted: confirmed; unknown: no requests, or indeterminate requests decide."
    )
    exhaustion: ExhaustionForecast
    simulated: bool
    excluded_good: int = Field(description="Good requests in excluded slots. `good` and `total` don't include them.")
    excluded_total: int
    excluded_seconds: float = Field(description="Excluded time of the window so far; coverage is of the rest.")
    budget_remaining_without_exclusions: float | None = Field(
        description="`budget_remaining` if nothing were excluded."
    )

    @classmethod
    def of(cls, budget: Budget, exhaustion: Exhaustion) -> "Slo":
        """Return the API object of an evaluated SLO."""
        objective = budget.objective
        return cls(
            id=objective.id,
            pool=objective.pool,
            indicator=str(objective.indicator),
            target=objective.target,
            window=str(objective.window),
            count_at=objective.count_at,
            bucket_mismatch=objective.bucket_mismatch,
            good=budget.counted.good,
            total=budget.counted.total,
            indeterminate=budget.counted.indeterminate,
            coverage=budget.coverage,
            budget_remaining=budget.budget_remaining,
            budget_remaining_upper_bound=budget.budget_remaining_upper_bound,
            burn_rates=[BurnRate.of(burn) for burn in budget.burns],
            status=budget.status,
            exhaustion=ExhaustionForecast.of(exhaustion),
            simulated=budget.counted.simulated,
            excluded_good=budget.excluded.good,
            excluded_total=budget.excluded.total,
            excluded_seconds=budget.excluded_seconds,
            budget_remaining_without_exclusions=budget.budget_remaining_without_exclusions,
        )
