"""The weekly capacity review: what each objective did in an ISO week (UTC), beside the week before, and what was recommended.

Summed from the ledger whenever it is made, so every correction and late backfill until then is in it. That of a week that is
over is made once and kept (slo.service.keeping).
"""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field, JsonValue, computed_field

from slo.attribution import LOSS_LASTS, Cause
from slo.budget import Counted
from slo.exclusions import Exclusion, clipped, stretches
from slo.ledger.pool_booking import PoolSlot
from slo.ledger.pools import pool_rows
from slo.ledger.rollup import NONE
from slo.ledger.store import Ledger
from slo.service.attributing import attributed
from slo.service.history import rfc3339
from slo.service.pool_review import Forecaster, PoolReview, review_pool
from slo.service.state import Service
from slo.service.weeks import WEEK, start_of
from slo.spec import Objective
from slo.windows import SLOT, slot_of


class Week(BaseModel):
    """Requests of one week. `good_ratio` is null where none was seen; coverage is of the time that is not excluded.

    `unclear` requests are not among the good ones and may be (their limit lies between two bucket bounds). Figures take them for
    bad; those that end in `_at_best` take them for good, and the truth lies between the two.
    """

    good: int
    total: int
    bad: int
    good_ratio: float | None
    coverage: float
    excluded_seconds: float
    unclear: int = 0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def good_ratio_at_best(self) -> float | None:
        """Good ratio if every unclear request was good."""
        return (self.good + self.unclear) / self.total if self.total else None


class ObjectiveReview(Week):
    """An objective's week and the one before."""

    id: str
    pool: str
    target: float
    met: bool | None = Field(
        description="Whether the week alone kept the target; null: no request was seen, or it depends on unclear ones."
    )
    budget_spent: float | None = Field(
        description="Bad requests over those that the target allows for the week's requests."
    )
    spent_on: dict[Cause, int] | None = Field(
        None,
        description="Bad requests by what the pool looked like, each under the first cause that applies (docs/ledger.md); they add up to "
        "`bad`. null: the week's slots are thinned out, or the review was kept before this was told.",
    )
    before: Week

    @computed_field  # type: ignore[prop-decorator]
    @property
    def budget_spent_at_best(self) -> float | None:
        """Budget spent if every unclear request was good."""
        return self.budget_spent and self.budget_spent * (1 - self.unclear / self.bad)


class Change(BaseModel):
    """Something that the ledger tells otherwise than when the review was made; null: not there."""

    what: str = Field(description="Where it stands in the review, such as `objectives/chat-ttft/good`.")
    kept: JsonValue
    now: JsonValue


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
    made_at: str | None = Field(
        None, description="RFC 3339: when this review was made and kept; null: it was worked out for this answer."
    )
    changed: list[Change] | None = Field(
        None,
        description="What a kept review would say otherwise if it were made of today's ledger and objectives, but for the forecast, `apis` and `spent_on`; "
        "null: not a kept one, or the slots that would tell are thinned out.",
    )


def review(service: Service, week: str, forecast: Forecaster | None = None, causes: bool = True) -> Review:
    """Review a week that has begun, with the service's own forecast or another, and what budgets were spent on, unless not asked for
    (`causes`: a hundredth of a second for each objective); raises ValueError for one that has not or is none."""
    start = start_of(week)
    now = service.clock()
    if start > now:
        raise ValueError(f"{week} has not begun")
    end = min(start + int(WEEK), slot_of(now) + SLOT)
    exclusions = service.exclusions()
    rows = _rows(service, start, end) if causes else {}
    found = [
        _objective(service, item, exclusions, (start, end), rows.get(item.pool)) for item in service.spec.objectives
    ]
    pools = [
        review_pool(service.ledger, forecast or service.outlook.of, service.prices, pool, start, end)
        for pool in service.spec.pools
    ]
    booked = service.ledger.booked_until()
    span: dict[str, Any] = {"from": rfc3339(start), "to": rfc3339(start + WEEK)}
    return Review(
        week=week,
        **span,
        complete=all(booked.get(item.id, 0) >= start + WEEK for item in service.spec.objectives),
        objectives=[item for item, _ in found],
        pools=[item for item, _ in pools],
        simulated=any(simulated for _, simulated in (*found, *pools)),
    )


def _rows(service: Service, start: int, end: int) -> dict[str, list[PoolSlot]]:
    """Read what every pool did in a week and just before it; nothing where the slots are no longer kept."""
    if start < service.thinned_until:
        return {}
    return {
        pool.name: pool_rows(service.ledger.engine, pool.name, start - LOSS_LASTS, end) for pool in service.spec.pools
    }


def _objective(
    service: Service,
    objective: Objective,
    exclusions: Sequence[Exclusion],
    span: tuple[int, int],
    rows: list[PoolSlot] | None,
) -> tuple[ObjectiveReview, bool]:
    start, end = span
    counted, week = _week(service.ledger, objective, exclusions, start, end)
    _, before = _week(service.ledger, objective, exclusions, start - int(WEEK), start)
    ratio = week.good_ratio
    out = ObjectiveReview(
        **week.model_dump(),
        id=objective.id,
        pool=objective.pool,
        target=objective.target,
        met=_met(week, objective.target),
        budget_spent=None if ratio is None else week.bad / (objective.budget_ratio * week.total),
        spent_on=None if rows is None else _spent_on(service, objective, span, rows),
        before=before,
    )
    return out, counted.simulated


def _spent_on(service: Service, objective: Objective, span: tuple[int, int], rows: list[PoolSlot]) -> dict[Cause, int]:
    """Bad requests by cause, most first."""
    shares = attributed(service, objective, *span, rows).shares
    return {share.cause: share.bad for share in sorted(shares, key=lambda share: -share.bad)}


def _met(week: Week, target: float) -> bool | None:
    """What holds at worst as at best is known; whatever lies between is not."""
    if week.good_ratio is None or week.good_ratio_at_best is None:
        return None
    at_worst, at_best = week.good_ratio >= target, week.good_ratio_at_best >= target
    return at_worst if at_worst == at_best else None


def _week(
    ledger: Ledger, objective: Objective, exclusions: Sequence[Exclusion], start: int, end: int
) -> tuple[Counted, Week]:
    excluded = list(clipped(stretches(exclusions, objective), start, end))
    edges = sorted({start, end, *(int(edge) for stretch in excluded for edge in stretch)})
    total = NONE
    for edge, sums in zip(edges, ledger.segments(edges, [objective.id])[objective.id], strict=False):
        if not any(low <= edge < high for low, high in excluded):
            total = total.plus(sums)
    away = sum(high - low for low, high in excluded)
    seconds = end - start - away
    counted = Counted(total.good, total.total, total.covered_ms / 1000, total.simulated, total.unclear)
    return counted, Week(
        good=counted.good,
        total=counted.total,
        bad=counted.bad,
        good_ratio=counted.good / counted.total if counted.total else None,
        coverage=min(1.0, counted.covered_seconds / seconds) if seconds else 0.0,
        excluded_seconds=away,
        unclear=counted.unclear,
    )
