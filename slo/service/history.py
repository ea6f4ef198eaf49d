"""How a budget came to be: the objective's window, moved along the ledger's sums."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from slo.budget import Budget
from slo.exclusions import Stretch, clipped
from slo.ledger.rollup import HOUR
from slo.ledger.store import Ledger
from slo.service.models import BudgetPoint
from slo.spec import Objective
from slo.windows import SLOT, bounds, first_slot, slot_of

POINTS = 288  # what a chart can show: a day in slots
DAY = 86400


def rfc3339(at: float) -> str:
    """Write Unix seconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def budget_history(ledger: Ledger, budget: Budget, excluded: Sequence[Stretch], now: float) -> list[BudgetPoint]:
    """Judge the budget at up to POINTS moments of its window so far, the last of them now, without what is excluded.

    A long span goes by hours where every window that is looked at begins with one (a zone may be half an hour off UTC).
    """
    objective = budget.objective
    since = first_slot(bounds(objective.window, now)[0])
    first = ledger.first(objective.id, since)
    if first is None or first >= now:
        return []
    size = SLOT
    if now - first > DAY and all(start % HOUR == 0 for _, start in _moments(objective, first, now, HOUR)):
        size = HOUR
    moments = _moments(objective, first, now, size)
    low = min(first, *(start for _, start in moments)) // size * size if moments else first // size * size
    high = slot_of(now) // size * size + size
    sums = _sums(ledger, objective.id, size, (low, high), excluded)
    index = [((end - low) // size, (max(start, low) - low) // size) for end, start in moments]
    covered: NDArray[np.int64] = (
        np.diff(sums[[end for end, _ in index], 2], prepend=sums[index[0][1], 2]) if index else np.zeros(0, np.int64)
    )
    step = (moments[1][0] - moments[0][0]) if len(moments) > 1 else size
    points = []
    for (end, _), (upper, lower), seen in zip(moments, index, covered, strict=True):
        good, total, _ = (int(value) for value in sums[upper] - sums[lower])
        points.append(_point(objective, end, good, total, min(1.0, float(seen) / 1000 / step)))
    before = moments[-1][0] if moments else first
    tail = float(sums[-1, 2] - sums[(before - low) // size, 2]) / 1000
    share = min(1.0, tail / (now - before)) if now > before else 0.0
    return [*points, _point(objective, now, budget.counted.good, budget.counted.total, share)]


def _moments(objective: Objective, first: int, now: float, size: int) -> list[tuple[int, int]]:
    """Return up to POINTS - 1 ends of a slot or hour before now, each with the start of the window that ends there."""
    low, high = first // size + 1, -(-int(now) // size)
    step = max(1, -(-(high - low) // (POINTS - 1)))
    ends = [number * size for number in range(high - 1, low - 1, -step)][::-1]
    return [(end, first_slot(bounds(objective.window, end)[0])) for end in ends]


def _sums(
    ledger: Ledger, objective: str, size: int, span: tuple[int, int], excluded: Sequence[Stretch]
) -> NDArray[np.int64]:
    """Return good, total and covered milliseconds from the span's start to each multiple of `size` within it."""
    low, high = span
    sums = np.zeros(((high - low) // size + 1, 3), np.int64)
    stretches = [(int(begin), int(end)) for begin, end in clipped(excluded, low, high)]
    for sign, unit, begin, end in [(1, size, low, high), *((-1, SLOT, *stretch) for stretch in stretches)]:
        rows = np.array(ledger.rows(objective, unit, begin, end), np.int64).reshape(-1, 4)
        np.add.at(sums, (rows[:, 0] - low) // size + 1, sign * rows[:, 1:])
    return np.cumsum(sums, axis=0)


def _point(objective: Objective, at: float, good: int, total: int, covered: float) -> BudgetPoint:
    left = 1 - (total - good) / (objective.budget_ratio * total) if total else None
    return BudgetPoint(at=rfc3339(at), budget_left=left, bad=total - good, total=total, covered=covered)
