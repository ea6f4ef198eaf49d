"""History of a budget: the objective's window, moved along the ledger's sums."""

from collections.abc import Sequence
from itertools import chain

import msgspec
import numpy as np
from numpy.typing import NDArray

from plimsoll.slo.calendar import SLOT, first_slot, rfc3339, slot_of
from plimsoll.slo.error_budget.budget import Budget
from plimsoll.slo.error_budget.exclusions import Stretch, clipped
from plimsoll.slo.ledger.rollup import HOUR
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.spec.objectives import Objective
from plimsoll.slo.spec.window_bounds import bounds

POINTS = 288  # what a chart can show: a day in slots
DAY = 86400
Numbers = NDArray[np.int64]


class Point(msgspec.Struct, frozen=True, gc=False):
    """The budget at one moment, as models.BudgetPoint documents it; a msgspec struct, as 288 are made for a response."""

    at: str
    budget_remaining: float | None
    bad: int
    total: int
    coverage: float
    budget_remaining_upper_bound: float | None
    indeterminate: int


def budget_history(ledger: Ledger, budget: Budget, excluded: Sequence[Stretch], now: float) -> list[Point]:
    """Evaluate the budget at up to POINTS moments of its window so far, the last one now, without excluded time.

    A long span goes by hours where every window that is looked at begins with one (a zone may be half an hour off UTC).
    """
    objective = budget.objective
    since = first_slot(bounds(objective.window, now)[0])
    first = ledger.first(objective.id, since)
    if first is None or first >= now:
        return []
    size = SLOT
    if now - first > DAY and not (_moments(objective, (since, first), now, HOUR)[1] % HOUR).any():
        size = HOUR
    ends, starts = _moments(objective, (since, first), now, size)
    low = int(min([first, *starts[:1]])) // size * size
    high = slot_of(now) // size * size + size
    starts = np.maximum(starts, low)
    # The largest stride that divides all boundaries: fewer rows with the same result.
    stride = int(np.gcd.reduce(np.concatenate([ends - low, starts - low]))) or size
    sums = _sums(ledger, objective.id, (size, stride), (low, high), excluded)
    upper, lower = sums[(ends - low) // stride], sums[(starts - low) // stride]
    step = int(ends[1] - ends[0]) if len(ends) > 1 else size
    covered = np.minimum(1.0, np.diff(upper[:, 2], prepend=lower[:1, 2]) / 1000 / step)
    before = int(ends[-1]) if len(ends) else first
    tail = float(sums[-1, 2] - sums[(before - low) // stride, 2]) / 1000
    share = min(1.0, tail / (now - before)) if now > before else 0.0
    last = budget.counted
    latest = _point(objective, rfc3339(now), last.good, last.total, last.indeterminate, share)
    return [*_points(objective, ends, upper - lower, covered), latest]


def _moments(objective: Objective, span: tuple[int, int], now: float, size: int) -> tuple[Numbers, Numbers]:
    """Return up to POINTS - 1 ends of a slot or hour before now, and the start of the window that ends at each.

    `span` is where the window of now begins, and its first slot that is stored.
    """
    since, first = span
    low, high = first // size + 1, -(-int(now) // size)
    step = max(1, -(-(high - low) // (POINTS - 1)))
    ends: Numbers = np.arange(high - 1, low - 1, -step, dtype=np.int64)[::-1] * size
    if objective.window.calendar is not None:
        return ends, np.full_like(ends, since)  # all of them lie in the period that now lies in
    starts: Numbers = np.floor((ends - objective.window.seconds) / SLOT).astype(np.int64) * SLOT
    return ends, starts


def _sums(
    ledger: Ledger, objective: str, sizes: tuple[int, int], span: tuple[int, int], excluded: Sequence[Stretch]
) -> Numbers:
    """Return good, total, covered milliseconds and indeterminate from the span's start to the end of each stride, summed from rows of a
    size."""
    (size, stride), (low, high) = sizes, span
    sums = np.zeros((-(-(high - low) // stride) + 1, 4), np.int64)
    stretches = [(int(begin), int(end)) for begin, end in clipped(excluded, low, high)]
    rows = ledger.rows(objective, size, low, high, stride)
    for sign, found in [(1, rows), *((-1, ledger.rows(objective, SLOT, *stretch)) for stretch in stretches)]:
        flat = np.fromiter(chain.from_iterable(found), np.int64).reshape(-1, 5)
        np.add.at(sums, (flat[:, 0] - low) // stride + 1, sign * flat[:, 1:])
    return np.cumsum(sums, axis=0)


def _points(objective: Objective, ends: Numbers, counts: Numbers, covered: NDArray[np.float64]) -> list[Point]:
    """Make the points at the ends; `counts` has good, total, covered milliseconds and indeterminate."""
    at = np.datetime_as_string(ends.astype("datetime64[s]"), timezone="UTC").tolist()
    good, total, _, indeterminate = counts.T.tolist()
    columns = zip(at, good, total, indeterminate, covered.tolist(), strict=True)
    return [_point(objective, *column) for column in columns]


def _point(objective: Objective, at: str, good: int, total: int, indeterminate: int, covered: float) -> Point:
    allowed = objective.budget_ratio * total
    left, best = (1 - bad / allowed if total else None for bad in (total - good, total - good - indeterminate))
    return Point(at, left, total - good, total, covered, best, indeterminate)
