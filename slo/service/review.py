"""The weekly capacity review: what each objective did in an ISO week (UTC), beside the week before, and what was recommended.

Summed from the ledger whenever it is made, so every correction and late backfill until then is in it. That of a week that is
over is made once and kept (slo.service.keeping).
"""

from collections.abc import Sequence
from typing import Any

from slo.attribution import LOSS_LASTS, Cause
from slo.budget import Counted
from slo.exclusions import Exclusion, clipped, stretches
from slo.ledger.by_hand import audit_within
from slo.ledger.definitions import redefined
from slo.ledger.pool_booking import PoolSlot
from slo.ledger.pools import pool_rows
from slo.ledger.rollup import NONE
from slo.ledger.store import Ledger
from slo.service.attributing import attributed
from slo.service.differences import differences
from slo.service.history import rfc3339
from slo.service.pool_review import Forecaster, PoolReview, review_pool
from slo.service.review_models import Difference, ObjectiveReview, Review, Week, met
from slo.service.state import Service
from slo.service.weeks import WEEK, start_of
from slo.spec import Objective
from slo.windows import SLOT, slot_of


def review(service: Service, week: str, forecast: Forecaster | None = None, brief: bool = False) -> Review:
    """Review a week that has begun, with the service's own forecast or another; raises ValueError for one that has not or is none.

    A `brief` one does not tell what budgets were spent on (a hundredth of a second for each objective) and what changed.
    """
    start = start_of(week)
    now = service.clock()
    if start > now:
        raise ValueError(f"{week} has not begun")
    end = min(start + int(WEEK), slot_of(now) + SLOT)
    exclusions = service.exclusions()
    rows = {} if brief else _rows(service, start, end)
    found = [
        _objective(service, item, exclusions, (start, end), rows.get(item.pool)) for item in service.spec.objectives
    ]
    pools = [
        review_pool(service.ledger, forecast or service.outlook.of, service.prices, pool, start, end)
        for pool in service.spec.pools
    ]
    reviews, of_pools = [item for item, _ in found], [item for item, _ in pools]
    booked = service.ledger.booked_until()
    span: dict[str, Any] = {"from": rfc3339(start), "to": rfc3339(start + WEEK)}
    return Review(
        week=week,
        **span,
        complete=all(booked.get(item.id, 0) >= start + WEEK for item in service.spec.objectives),
        objectives=reviews,
        pools=of_pools,
        simulated=any(simulated for _, simulated in (*found, *pools)),
        differences=None if brief else _differences(service, reviews, of_pools, start),
    )


def _differences(
    service: Service, objectives: list[ObjectiveReview], pools: list[PoolReview], start: int
) -> list[Difference] | None:
    """Tell what changed since the week before, where the slots of both are still kept."""
    engine, before, end = service.ledger.engine, start - int(WEEK), start + int(WEEK)
    if before < service.thinned_until:
        return None
    return differences(objectives, pools, redefined(engine, before, start, end), audit_within(engine, start, end))


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
        met=met(week, objective.target),
        budget_spent=None if ratio is None else week.bad / (objective.budget_ratio * week.total),
        spent_on=None if rows is None else _spent_on(service, objective, span, rows),
        before=before,
    )
    return out, counted.simulated


def _spent_on(service: Service, objective: Objective, span: tuple[int, int], rows: list[PoolSlot]) -> dict[Cause, int]:
    """Bad requests by cause, most first."""
    shares = attributed(service, objective, *span, rows).shares
    return {share.cause: share.bad for share in sorted(shares, key=lambda share: -share.bad)}


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
