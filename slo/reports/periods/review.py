"""The review of a week, a month, or a quarter (UTC), from the ledger as it is now: it includes every correction until then."""

from plimsoll.slo.calendar import SLOT, PeriodKind, period_bounds, period_of, rfc3339, slot_of
from plimsoll.slo.reports.periods.combined import combined
from plimsoll.slo.reports.periods.models import PeriodReview, PoolPeriod
from plimsoll.slo.reports.periods.usage import usage
from plimsoll.slo.reports.records import Records
from plimsoll.slo.reports.review import slo_review


def last_ended(kind: PeriodKind, now: float) -> str:
    """Return the last period that has ended."""
    return period_of(kind, period_bounds(period_of(kind, now))[1] - 1)


def period_review(records: Records, period: str) -> PeriodReview:
    """Return the review of a period such as 2026-11. Raises ValueError for one that has not begun or does not exist."""
    kind, start, until = period_bounds(period)
    now = records.clock()
    if start > now:
        raise ValueError(f"{period} hasn't begun. Use the current {kind} or an earlier one.")
    end, before = min(until, slot_of(now) + SLOT), period_of(kind, start - 1)
    edges = (period_bounds(before)[1], start, end)
    exclusions = records.exclusions()
    slos = [slo_review(records, one, exclusions, edges, None) for one in records.spec.objectives]
    pools = [_pool(records, name, edges) for name in (pool.name for pool in records.spec.pools)]
    recorded = records.ledger.recorded_until()
    return PeriodReview(
        period=period,
        kind=kind,
        since=rfc3339(start),
        until=rfc3339(until),
        previous_period=before,
        complete=all(recorded.get(one.id, 0) >= until for one in records.spec.objectives),
        simulated=any(simulated for _, simulated in (*slos, *pools)),
        combined=combined(records.spec, [one for one, _ in slos], [one for one, _ in pools]),
        slos=[one for one, _ in slos],
        pools=[one for one, _ in pools],
    )


def _pool(records: Records, name: str, edges: tuple[int, int, int]) -> tuple[PoolPeriod, bool]:
    before, start, end = edges
    pool = records.spec.pool(name)
    found, simulated = usage(records.ledger.engine, pool, start, end)
    previous, _ = usage(records.ledger.engine, pool, before, start)
    return PoolPeriod(name=name, team=pool.owner, usage=found, previous=previous), simulated
