"""The review of a period: its SLOs, its pools, and both combined."""

from typing import Literal

from pydantic import BaseModel, Field

from plimsoll.slo.reports.review_models import SloReview
from plimsoll.slo.reports.review_pool import PoolUsage


class PoolPeriod(BaseModel):
    """A pool's period and the previous one."""

    name: str
    team: str | None = Field(description="`owner` in the objectives file.")
    usage: PoolUsage
    previous: PoolUsage


class Combined(BaseModel):
    """Several SLOs as one: ratios of sums, each SLO scaled to its weight.

    With `requests` every request counts once in each SLO that measures it: a pool with three SLOs counts it three times. With `weights` an SLO
    counts as if it had as many requests as its weight.
    """

    kind: Literal["all", "team", "pool"]
    name: str = Field(description="Team or pool; empty for all.")
    slos: list[str] = Field(description="SLOs that are combined.")
    without_data: list[str] = Field(description="SLOs without requests: they are in none of the figures.")
    weighting: Literal["requests", "weights"] = Field(
        description="weights: an SLO has `weight` in the objectives file."
    )
    weights: dict[str, float] = Field(description="Each SLO's share of the figures; they add up to 1.")
    total: int = Field(description="Sum over the SLOs.")
    bad: int = Field(description="Sum over the SLOs, including indeterminate requests.")
    good_ratio: float | None = Field(description="`null`: no requests.")
    good_ratio_upper_bound: float | None
    target: float | None = Field(description="The SLOs' targets, by the same weights.")
    met: bool | None = Field(
        description="Whether `good_ratio` met `target`. `null`: an SLO has no data, or indeterminate requests decide."
    )
    budget_consumed: float | None = Field(description="Bad requests over those that the targets allow.")
    budget_consumed_lower_bound: float | None
    previous_good_ratio: float | None
    previous_budget_consumed: float | None
    cost_usd: float | None = Field(description="Of the pools. `null`: not known of each.")


class PeriodReview(BaseModel):
    """A week, a month, or a quarter (UTC). `complete` is false until it has ended and is recorded. It is computed, never saved."""

    period: str
    kind: Literal["week", "month", "quarter"]
    since: str = Field(serialization_alias="from")
    until: str = Field(serialization_alias="to")
    previous_period: str
    complete: bool
    simulated: bool
    combined: list[Combined] = Field(description="All SLOs, then those of each team, then those of each pool.")
    slos: list[SloReview]
    pools: list[PoolPeriod]
