"""How a budget came to be: the objective's window, moved along the ledger's slots, by pandas."""

from datetime import UTC, datetime
from typing import Any

import pandas as pd

from slo.service.models import BudgetPoint
from slo.spec import Objective
from slo.windows import SLOT, bounds, slot_of

POINTS = 288  # what a chart can show: a day in slots


def rfc3339(at: float) -> str:
    """Write Unix seconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def budget_history(objective: Objective, rows: list[Any], since: float, now: float) -> list[BudgetPoint]:
    """Judge the budget at up to POINTS moments from `since` to `now`; `rows` are the ledger's slots of window and span."""
    if not rows:
        return []
    frame = pd.DataFrame(rows, columns=list(rows[0]._fields)).set_index("slot")[["good", "total", "covered_seconds"]]
    first = min(int(frame.index[0]), slot_of(since))
    frame = frame.reindex(range(first, slot_of(now) + SLOT, SLOT)).fillna(0.0)
    sums = frame.cumsum()
    shown = [slot for slot in frame.index if slot >= slot_of(max(since, rows[0].slot))]
    step = max(1, -(-len(shown) // POINTS))
    points = []
    for slot in reversed(shown[::-1][::step]):
        end = min(slot + SLOT, now)
        before = slot_of(bounds(objective.window, end)[0]) - SLOT
        window = sums.loc[slot] - (sums.loc[before] if before >= first else 0.0)
        covered = frame.loc[slot - (step - 1) * SLOT : slot, "covered_seconds"].sum() / (step * SLOT)
        bad, total = round(window["total"] - window["good"]), round(window["total"])
        left = 1 - bad / (objective.budget_ratio * total) if total else None
        points.append(BudgetPoint(at=rfc3339(end), budget_left=left, bad=bad, total=total, covered=min(1.0, covered)))
    return points
