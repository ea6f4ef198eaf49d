"""The weekly review: SLOs, pools, changes since the previous week, and later revisions of its figures."""

from typing import Literal

from pydantic import BaseModel, Field, JsonValue, computed_field

from plimsoll.slo.error_budget.attribution import Cause
from plimsoll.slo.reports.review_pool import PoolReview


class Week(BaseModel):
    """Requests of one week. `good_ratio` is null without requests; coverage is of the time that is not excluded.

    `indeterminate` requests count as bad. Fields that end in `_upper_bound` or `_lower_bound` count them as good; the true value
    lies between the two.
    """

    good: int
    total: int
    bad: int
    good_ratio: float | None
    coverage: float
    excluded_seconds: float
    indeterminate: int = 0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def good_ratio_upper_bound(self) -> float | None:
        """Good ratio if every indeterminate request was good."""
        return (self.good + self.indeterminate) / self.total if self.total else None


def met(week: Week, target: float) -> bool | None:
    """Return whether a week met a target; None without requests, or if indeterminate requests decide."""
    if week.good_ratio is None or week.good_ratio_upper_bound is None:
        return None
    lower, upper = week.good_ratio >= target, week.good_ratio_upper_bound >= target
    return lower if lower == upper else None


class SloReview(Week):
    """An SLO's week and the previous week."""

    id: str
    pool: str
    target: float
    met: bool | None = Field(
        description="Whether this week alone met the target. `null`: no requests, or indeterminate requests decide."
    )
    budget_consumed: float | None = Field(
        description="Bad requests over the bad requests that the target allows for this week's total."
    )
    bad_by_cause: dict[Cause, int] | None = Field(
        None,
        description="Bad requests by the first matching cause; they add up to `bad`. `null`: the week's slots are pruned.",
    )
    previous: Week

    @computed_field  # type: ignore[prop-decorator]
    @property
    def budget_consumed_lower_bound(self) -> float | None:
        """Error budget consumed if every indeterminate request was good."""
        return self.budget_consumed and self.budget_consumed * (1 - self.indeterminate / self.bad)


class Revision(BaseModel):
    """A figure that differs from the saved review; null: absent."""

    path: str = Field(description="Path of the figure in the review, such as `slos/chat-ttft/good`.")
    saved: JsonValue
    current: JsonValue


class WeeklyChange(BaseModel):
    """A difference from the previous week; null: absent or not known."""

    kind: Literal[
        "slo_met",
        "survives_node_loss",
        "recommended_nodes",
        "saturation_tokens_per_second_per_replica",
        "definition",
        "exclusion",
        "correction",
    ] = Field(
        description="slo_met: whether the SLO was met; survives_node_loss: N+1 redundancy; "
        "saturation_tokens_per_second_per_replica: measured throughput of a saturated replica; definition: hash of the SLO in the "
        "objectives file; exclusion, correction: manual changes of this week."
    )
    subject: str = Field(description="SLO or pool; `everything` for an exclusion without either.")
    previous: JsonValue
    current: JsonValue
    at: str | None = Field(default=None, description="Time (RFC 3339). `null`: the whole week differs.")
    actor: str | None = None
    reason: str | None = None


class Review(BaseModel):
    """One week of every SLO and pool. `complete` is false until the week has ended and is recorded.

    A field that is added later needs a default: saved reviews do not have it.
    """

    week: str
    since: str = Field(alias="from")
    until: str = Field(alias="to")
    complete: bool
    slos: list[SloReview]
    pools: list[PoolReview]
    simulated: bool
    generated_at: str | None = Field(
        None, description="When this review was generated and saved (RFC 3339). `null`: computed for this response."
    )
    changes: list[WeeklyChange] | None = Field(
        None, description="Differences from the previous week. `null`: the slots of one of the weeks are pruned."
    )
    revisions: list[Revision] | None = Field(
        None,
        description="Figures that differ if a saved review is computed from current data, except the forecast, `api_comparison`, and "
        "`bad_by_cause`. `null`: not a saved review, or its slots are pruned.",
    )
