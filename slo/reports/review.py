"""The weekly review: each SLO and pool in an ISO week (UTC), the previous week, and the recommendations.

It is summed from the ledger, so it includes every correction and late backfill until then. The review of a week that has
ended is saved once (plimsoll.slo.reports.review_archive).
"""

from collections.abc import Sequence
from typing import Any

from plimsoll.slo.calendar import SLOT, WEEK, rfc3339, slot_of, start_of
from plimsoll.slo.error_budget.attribution import LOSS_WINDOW_SECONDS, Cause
from plimsoll.slo.error_budget.budget import RequestCounts
from plimsoll.slo.error_budget.exclusions import Exclusion, clipped, stretches
from plimsoll.slo.ledger.manual_changes import audit_events_within, redefined
from plimsoll.slo.ledger.rollup import NONE
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.usage import pool_rows
from plimsoll.slo.reports.attribution import attributed
from plimsoll.slo.reports.records import Records
from plimsoll.slo.reports.review_changes import weekly_changes
from plimsoll.slo.reports.review_models import Review, SloReview, Week, WeeklyChange, met
from plimsoll.slo.reports.review_pool import Forecaster, PoolReview, review_pool
from plimsoll.slo.spec.objectives import Objective
from plimsoll.slo.usage.slots import PoolSlot


def review(records: Records, week: str, forecast: Forecaster | None = None, brief: bool = False) -> Review:
    """Return the review of a week. Raises ValueError for a week that has not begun or does not exist.

    A `brief` review has neither `bad_by_cause` (it takes 10 ms per SLO) nor `changes`.
    """
    start = start_of(week)
    now = records.clock()
    if start > now:
        raise ValueError(f"{week} hasn't begun. Use the current week or an earlier one.")
    end = min(start + int(WEEK), slot_of(now) + SLOT)
    exclusions = records.exclusions()
    rows = _rows(records, start, end)
    causes = {} if brief or start < records.pruned_until else _with_hour_before(rows, start)
    found = [
        slo_review(records, item, exclusions, (start - int(WEEK), start, end), causes.get(item.pool))
        for item in records.spec.objectives
    ]
    pools = [
        review_pool(records, forecast or records.forecasts.of, pool, (start, end), rows[pool.name])
        for pool in records.spec.pools
    ]
    reviews, of_pools = [item for item, _ in found], [item for item, _ in pools]
    booked = records.ledger.recorded_until()
    span: dict[str, Any] = {"from": rfc3339(start), "to": rfc3339(start + WEEK)}
    return Review(
        week=week,
        **span,
        complete=all(booked.get(item.id, 0) >= start + WEEK for item in records.spec.objectives),
        slos=reviews,
        pools=of_pools,
        simulated=any(simulated for _, simulated in (*found, *pools)),
        changes=None if brief else _changes(records, reviews, of_pools, start),
    )


def _changes(
    records: Records, objectives: list[SloReview], pools: list[PoolReview], start: int
) -> list[WeeklyChange] | None:
    """Return the changes since the previous week; None where slots of either week are pruned."""
    engine, before, end = records.ledger.engine, start - int(WEEK), start + int(WEEK)
    if before < records.pruned_until:
        return None
    events, ids = audit_events_within(engine, start, end), [one.id for one in objectives]
    return weekly_changes(objectives, pools, redefined(engine, ids, before, start, end), events)


def _rows(records: Records, start: int, end: int) -> dict[str, list[PoolSlot]]:
    """Return every pool's slots of a week and of the week before."""
    return {pool.name: pool_rows(records.ledger.engine, pool.name, start - WEEK, end) for pool in records.spec.pools}


def _with_hour_before(rows: dict[str, list[PoolSlot]], start: int) -> dict[str, list[PoolSlot]]:
    """Return the slots by which bad requests since `start` are attributed."""
    return {name: [row for row in found if row.slot >= start - LOSS_WINDOW_SECONDS] for name, found in rows.items()}


def slo_review(
    records: Records,
    objective: Objective,
    exclusions: Sequence[Exclusion],
    edges: tuple[int, int, int],
    rows: list[PoolSlot] | None,
) -> tuple[SloReview, bool]:
    """Review an SLO in a period, and whether any of its data is simulated.

    `edges` are the starts of the previous period and of the period, and its end. Without `rows` causes aren't known.
    """
    before, start, end = edges
    counted, week = _week(records.ledger, objective, exclusions, start, end)
    _, previous = _week(records.ledger, objective, exclusions, before, start)
    ratio = week.good_ratio
    out = SloReview(
        **week.model_dump(),
        id=objective.id,
        pool=objective.pool,
        target=objective.target,
        met=met(week, objective.target),
        budget_consumed=None if ratio is None else week.bad / (objective.budget_ratio * week.total),
        bad_by_cause=None if rows is None else _bad_by_cause(records, objective, (start, end), rows, exclusions),
        previous=previous,
    )
    return out, counted.simulated


def _bad_by_cause(
    records: Records,
    objective: Objective,
    span: tuple[int, int],
    rows: list[PoolSlot],
    exclusions: Sequence[Exclusion],
) -> dict[Cause, int]:
    """Return bad requests by cause, the largest first."""
    shares = attributed(records, objective, *span, rows, exclusions).causes
    return {share.cause: share.bad for share in sorted(shares, key=lambda share: -share.bad)}


def _week(
    ledger: Ledger, objective: Objective, exclusions: Sequence[Exclusion], start: int, end: int
) -> tuple[RequestCounts, Week]:
    excluded = list(clipped(stretches(exclusions, objective), start, end))
    edges = sorted({start, end, *(int(edge) for stretch in excluded for edge in stretch)})
    total = NONE
    for edge, sums in zip(edges, ledger.segments(edges, [objective.id])[objective.id], strict=False):
        if not any(low <= edge < high for low, high in excluded):
            total = total.plus(sums)
    away = sum(high - low for low, high in excluded)
    seconds = end - start - away
    counted = RequestCounts(total.good, total.total, total.covered_ms / 1000, total.simulated, total.indeterminate)
    return counted, Week(
        good=counted.good,
        total=counted.total,
        bad=counted.bad,
        good_ratio=counted.good / counted.total if counted.total else None,
        coverage=min(1.0, counted.covered_seconds / seconds) if seconds else 0.0,
        excluded_seconds=away,
        indeterminate=counted.indeterminate,
    )
