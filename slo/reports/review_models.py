"""What the weekly review tells: of each objective, of each pool, what changed since the week before, and what was corrected later."""

from typing import Literal

from pydantic import BaseModel, Field, JsonValue, computed_field

from plimsoll.slo.error_budget.attribution import Cause
from plimsoll.slo.reports.review_pool import PoolReview


class Week(BaseModel):
    """Requests of one week. `good_ratio` is null where none was seen; coverage is of the time that is not excluded.

    `indeterminate` requests are not among the good ones and may be (their limit lies between two bucket bounds). Figures take them for
    bad; those that end in `_at_best` take them for good, and the truth lies between the two.
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
    """Whether a week kept a target: what holds at worst as at best is known; whatever lies between is not."""
    if week.good_ratio is None or week.good_ratio_upper_bound is None:
        return None
    at_worst, at_best = week.good_ratio >= target, week.good_ratio_upper_bound >= target
    return at_worst if at_worst == at_best else None


class ObjectiveReview(Week):
    """An objective's week and the one before."""

    id: str
    pool: str
    target: float
    met: bool | None = Field(
        description="Whether the week alone kept the target; null: no request was seen, or it depends on indeterminate ones."
    )
    budget_consumed: float | None = Field(
        description="Bad requests over those that the target allows for the week's requests."
    )
    spent_on: dict[Cause, int] | None = Field(
        None,
        description="Bad requests by what the pool looked like, each under the first cause that applies (docs/ledger.md); they add up to "
        "`bad`. null: the week's slots are pruned out, or the review was kept before this was told.",
    )
    before: Week

    @computed_field  # type: ignore[prop-decorator]
    @property
    def budget_consumed_lower_bound(self) -> float | None:
        """Budget spent if every indeterminate request was good."""
        return self.budget_consumed and self.budget_consumed * (1 - self.indeterminate / self.bad)


class Change(BaseModel):
    """Something that the ledger tells otherwise than when the review was made; null: not there."""

    what: str = Field(description="Where it stands in the review, such as `objectives/chat-ttft/good`.")
    kept: JsonValue
    now: JsonValue


class Difference(BaseModel):
    """Something that is otherwise than in the week before; null: not there, or not known."""

    kind: Literal[
        "kept", "n_minus_1", "recommended_nodes", "replica_capacity", "definition", "exclusion", "correction"
    ] = Field(
        description="kept: whether an objective's target was; n_minus_1: whether a node could have been lost; replica_capacity: tokens per "
        "second of a full replica; definition: hash of an objective as the file defines it; exclusion and correction: made by hand this week."
    )
    subject: str = Field(description="The objective or pool; `everything` of an exclusion for all.")
    before: JsonValue
    after: JsonValue
    at: str | None = Field(default=None, description="When, RFC 3339; null: it is the whole week that differs.")
    actor: str | None = None
    reason: str | None = None


class Review(BaseModel):
    """One week of every objective and pool. `complete` is false while the week is not over and booked.

    A field that is added later needs a default, or reviews that were kept without it could not be read any more.
    """

    week: str
    since: str = Field(alias="from")
    until: str = Field(alias="to")
    complete: bool
    objectives: list[ObjectiveReview]
    pools: list[PoolReview]
    simulated: bool
    generated_at: str | None = Field(
        None, description="RFC 3339: when this review was made and kept; null: it was worked out for this answer."
    )
    differences: list[Difference] | None = Field(
        None,
        description="What is otherwise than in the week before; null: the slots that would tell are pruned out, or the review was kept "
        "before this was told.",
    )
    changed: list[Change] | None = Field(
        None,
        description="What a kept review would say otherwise if it were made of today's ledger and objectives, but for the forecast, `api_comparison` and `spent_on`; "
        "null: not a kept one, or the slots that would tell are pruned out.",
    )
