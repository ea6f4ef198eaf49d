"""What a row of the ledger must be, and which of two rows of one slot knows more: in one place.

**Possible.** A slot starts on the grid of 300 s; 0 <= good, 0 <= indeterminate, good + indeterminate <= total <= MOST; 0 <= cover <= 300 s; every
number is finite. A row of a pool: each count and gauge is from 0 to MOST, a ratio at most MOST_RATIO, and no more requests failed than
finished (`arrivals` alone may fall below 0: it is worked out). A row that is not possible is not stored, so its slot stays as it was. The database
has the same as CHECK constraints (SLOT_CHECK, ROLLUP_CHECK, POOL_CHECK).

**Knows more.** Sources forget, answer late, or answer half, so the same slot is counted many times. A stored row is replaced only by one that
knows more. In this order, the first difference decides:

1. `scrapes`: the scrapes of counted replicas that bear on the slot. A source that lost a replica, or its older samples, has fewer of them.
   The cover does not show this: it is the share of the replicas that are known, so a lost replica raises it.
2. The kind of evidence: per request, then exact buckets and counters, then bounds. A source that lost the plugin's series falls back.
3. `samples`: the samples of the counted series that bear on the slot. A sample that comes late moves requests from a slot to the one before it.
4. Cover, then total, then good, then fewer indeterminate requests: with equal cover the smaller total is worse.

The first three never fall when a sample is added. So whatever part of the truth comes first, the row of all samples wins, and
the order of arrival doesn't matter. Where `scrapes` is not known of one of the two (rows of version 0.1, or set by a person), 4. alone decides.

A row counted under another definition (`spec_hash`) is something else, not less: it replaces one that has no more scrapes (or cover). A manual row
is replaced by none. A pool's row: scrapes, samples, the number of known fields, cover, and then the fields in their order.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, case, func, literal, or_, tuple_

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.sli.data_problem import DataProblem
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.sli.soundness import MOST_RATIO
from plimsoll.slo.usage.slots import PoolSlot

MOST = 10**12  # events in a slot: 3 billion a second; the sum of a lifetime of slots still fits 64 bits
CODES = ("out_of_range", "impossible_counts", "slot_off_grid", "impossible_cover")  # of rows that are not stored
SLOT_MS = SLOT * 1000
COUNTS = f"good >= 0 AND indeterminate >= 0 AND good <= total - indeterminate AND total <= {MOST}"
SLOT_CHECK = f"slot >= 0 AND slot = slot / {SLOT} * {SLOT} AND {COUNTS} AND covered_ms >= 0 AND covered_ms <= {SLOT_MS}"
ROLLUP_CHECK = (
    f"start >= 0 AND start = start / size * size AND {COUNTS.replace(str(MOST), f'{MOST} * (size / {SLOT})')} "
    "AND covered_ms >= 0 AND covered_ms <= size * 1000"
)
_OTHERS = ("slot", "covered_seconds", "simulated", "scrapes", "samples")
MEASURED = tuple(name for name in PoolSlot.__struct_fields__ if name not in _OTHERS)
_RATIOS = ("kv_cache_usage_max", "kv_cache_usage_mean")


def _bounds(name: str) -> tuple[float, float]:
    return -MOST if name == "arrivals" else 0, MOST_RATIO if name in _RATIOS else MOST


POOL_CHECK = " AND ".join(
    (
        f"slot >= 0 AND slot = slot / {SLOT} * {SLOT} AND covered_ms >= 0 AND covered_ms <= {SLOT_MS}",
        *("({0} IS NULL OR ({0} >= {1} AND {0} <= {2}))".format(name, *_bounds(name)) for name in MEASURED),
        "(errors IS NULL OR finished IS NULL OR errors <= finished)",
    )
)
_FIX = (
    "Check the metrics page of the engine and its exporter. The slot stays unknown until the source answers otherwise."
)


class Broken(NamedTuple):
    """Why a row can't be: a code, the column, and what it must be."""

    code: str
    column: str
    rule: str


def broken_counts(row: Mapping[str, Any], at: str = "slot", size: int = SLOT) -> Broken | None:
    """Return why a row of an SLO's slots, or of their sums (`at` is "start" then, `size` in seconds), can't be; None where it can."""
    most = MOST * (size // SLOT)
    for column in ("good", "total", "indeterminate"):
        if not (isinstance(row[column], int) and 0 <= row[column] <= most):
            return Broken("out_of_range", column, f"must be a whole number from 0 to {most}")
    if row["good"] + row["indeterminate"] > row["total"]:
        return Broken("impossible_counts", "good", "and indeterminate together must be at most total")
    return _broken_time(row, at, size)


def broken_pool(row: Mapping[str, Any]) -> Broken | None:
    """Return why a row of a pool's slots can't be; None where it can."""
    for column in MEASURED:
        low, high = _bounds(column)
        if row[column] is not None and not low <= row[column] <= high:
            return Broken("out_of_range", column, f"must be from {low} to {high}")
    if row["errors"] is not None and row["finished"] is not None and row["errors"] > row["finished"]:
        return Broken("impossible_counts", "errors", "must be at most finished")
    return _broken_time(row, "slot", SLOT)


def _broken_time(row: Mapping[str, Any], at: str, size: int) -> Broken | None:
    if not isinstance(row[at], int) or row[at] < 0 or row[at] % size:
        return Broken("slot_off_grid", at, f"must be a multiple of {size} seconds")
    if not 0 <= row["covered_ms"] <= size * 1000:  # false for NaN
        return Broken("impossible_cover", "covered_ms", f"must be from 0 to {size * 1000}")
    return None


def slot_problem(objective: str, count: SlotCount) -> DataProblem | None:
    """Return what to report of a row of an SLO that can't be; None where it can."""
    counts = {name: getattr(count, name) for name in ("slot", "good", "total", "indeterminate")}
    found = broken_counts(counts | {"covered_ms": count.covered_seconds * 1000})
    if found is None:
        return None
    message = (
        f"Not stored: {found.column} {found.rule}. Counted were good {count.good}, indeterminate {count.indeterminate}, total {count.total}, "
        f"{count.covered_seconds} s observed, by {count.source or 'no evidence'}."
    )
    return DataProblem(found.code, f"slot {count.slot}", message, _FIX, count.slot, objective=objective)


def pool_problem(pool: str, row: PoolSlot) -> DataProblem | None:
    """Return what to report of a row of a pool that can't be; None where it can."""
    values = {name: getattr(row, name) for name in ("slot", *MEASURED)} | {"covered_ms": row.covered_seconds * 1000}
    found = broken_pool(values)
    if found is None:
        return None
    message = f"Not stored: {found.column} {found.rule}, and it is {values[found.column]}."
    return DataProblem(found.code, f"pool slot {row.slot}", message, _FIX, row.slot, pool)


def knows_more(new: Any, old: Any) -> ColumnElement[bool]:
    """Return the condition, on columns of two rows of an SLO's slot, that the new one replaces the old one."""
    both_known = and_(new.scrapes.is_not(None), old.scrapes.is_not(None))
    counts = [(row.covered_ms, row.total, row.good, -row.indeterminate) for row in (new, old)]
    by_counts = tuple_(*counts[0]) > tuple_(*counts[1])
    by_all = tuple_(new.scrapes, _exactness(new.source), new.samples, *counts[0]) > tuple_(
        old.scrapes, _exactness(old.source), old.samples, *counts[1]
    )
    no_fewer = case((both_known, new.scrapes >= old.scrapes), else_=new.covered_ms >= old.covered_ms)
    return or_(case((both_known, by_all), else_=by_counts), and_(new.spec_hash != old.spec_hash, no_fewer))


def pool_knows_more(new: Any, old: Any) -> ColumnElement[bool]:
    """Return the same for rows of a pool's slot."""
    both_known = and_(new.scrapes.is_not(None), old.scrapes.is_not(None))
    numbers = [
        (
            sum((case((row[name].is_(None), 0), else_=1) for name in MEASURED), literal(0)),
            row.covered_ms,
            *(func.coalesce(row[name], -MOST) for name in MEASURED),
        )
        for row in (new, old)
    ]
    by_numbers = tuple_(*numbers[0]) > tuple_(*numbers[1])
    by_all = tuple_(new.scrapes, new.samples, *numbers[0]) > tuple_(old.scrapes, old.samples, *numbers[1])
    return case((both_known, by_all), else_=by_numbers)


def _exactness(source: Any) -> ColumnElement[int]:
    """Rank the worst kind of evidence of a slot."""
    return case((source.contains("bound"), 0), (source.contains("bucket"), 1), (source.contains("counter"), 1), else_=2)
