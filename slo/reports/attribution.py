"""The burn of an objective, attributed: read from the ledger what plimsoll.slo.error_budget.attribution needs."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from math import ceil

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.error_budget.attribution import LOSS_WINDOW_SECONDS, Attribution, BadRequests, Cause, attribute, split
from plimsoll.slo.error_budget.exclusions import Exclusion, clipped, stretches
from plimsoll.slo.ledger.usage import pool_rows
from plimsoll.slo.reports.records import Records
from plimsoll.slo.spec.objectives import Objective
from plimsoll.slo.usage.slots import PoolSlot


@dataclass(frozen=True, slots=True)
class Worst:
    """A slot with bad requests: the state of the pool (None: unknown), and the bad requests by cause."""

    slot: int
    bad: BadRequests
    total: int
    row: PoolSlot | None
    causes: tuple[Cause, ...]


def attributed(
    records: Records,
    objective: Objective,
    start: float,
    end: float,
    rows: list[PoolSlot] | None = None,
    exclusions: Sequence[Exclusion] | None = None,
) -> Attribution:
    """Attribute the bad requests of the slots that begin within [start, end), without excluded time.

    `rows` are the pool's slots from at least LOSS_WINDOW_SECONDS before `start` to `end`, and `exclusions` all of them, where they are read already.
    """
    bad = {slot: bad for slot, (bad, _) in _counts(records, objective, start, end, exclusions).items()}
    known = _rows(records, objective, bad) if rows is None else rows
    return attribute(objective, records.spec.pool(objective.pool), bad, known)


def attributed_with_worst(
    records: Records, objective: Objective, window: tuple[float, float], shown: tuple[float, float], number: int
) -> tuple[Attribution, list[Worst]]:
    """Return the same for a window, and of the slots that begin within `shown` those with the most bad requests, worst first."""
    counts = _counts(records, objective, min(window[0], shown[0]), max(window[1], shown[1]))
    rows = _rows(records, objective, counts)
    bad, pool = {slot: bad for slot, (bad, _) in counts.items()}, records.spec.pool(objective.pool)
    within = [slot for slot in bad if shown[0] <= slot < shown[1]]
    chosen = nsmallest(number, within, lambda slot: (bad[slot].indeterminate - bad[slot].bad, -bad[slot].bad, -slot))
    causes: dict[int, list[Cause]] = defaultdict(list)
    for slot, cause, _ in split(objective, pool, {slot: bad[slot] for slot in chosen}, rows):
        causes[slot].append(cause)
    by_slot = {row.slot: row for row in rows} if chosen else {}
    worst = [Worst(slot, bad[slot], counts[slot][1], by_slot.get(slot), tuple(causes[slot])) for slot in chosen]
    counted = {slot: one for slot, one in bad.items() if window[0] <= slot < window[1]}
    return attribute(objective, pool, counted, rows), worst


def _counts(
    records: Records, objective: Objective, start: float, end: float, exclusions: Sequence[Exclusion] | None = None
) -> dict[int, tuple[BadRequests, int]]:
    """Return (bad, total) of the slots that have bad requests."""
    found = {
        slot: (BadRequests(bad, indeterminate), total)
        for slot, bad, indeterminate, total in records.ledger.bad_slots(objective.id, start, end)
    }
    for low, high in clipped(
        stretches(records.exclusions() if exclusions is None else exclusions, objective), start, end
    ):
        for slot in range(-(-int(low) // SLOT) * SLOT, ceil(high), SLOT):
            found.pop(slot, None)
    return found


def _rows(records: Records, objective: Objective, slots: Collection[int]) -> list[PoolSlot]:
    """Return the pool's slots from an hour before the first of some slots to the last."""
    if not slots:
        return []
    return pool_rows(records.ledger.engine, objective.pool, min(slots) - LOSS_WINDOW_SECONDS, max(slots) + 1)
