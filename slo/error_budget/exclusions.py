"""Time that isn't counted: maintenance, load tests, warm-up. Pure functions; the ledger stores exclusions.

An exclusion takes out every slot that it touches, whole: a slot's requests can't be split. What it takes out burns no
budget and counts neither as observed nor as unknown; it is shown beside what is counted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from plimsoll.slo.calendar import DAY, SLOT, first_slot, slot_of
from plimsoll.slo.spec.objectives import Objective, Spec

AHEAD = 8  # days for which the occurrences of a recurrence rule are listed before they begin
QUERIED = 5  # version of the UUID of an exclusion by query: made from the query and the slot
Stretch = tuple[int, int]  # slots from the first (included) to the second (not included)


@dataclass(frozen=True, slots=True)
class Exclusion:
    """What is excluded (one objective, one pool, or everything), from when to when in Unix seconds, who created it and the reason.

    `id` and `created_at` are None for an exclusion of the objectives file.
    """

    start: float
    end: float
    created_by: str
    reason: str
    objective: str | None = None
    pool: str | None = None
    id: str | None = None
    created_at: float | None = None
    canceled_at: float | None = None

    @property
    def origin(self) -> Literal["file", "api", "query"]:
        """Where it comes from: the objectives file, or (stored in the ledger) the API or a query of the file, whose ID is of version 5."""
        if self.id is None:
            return "file"
        return "query" if UUID(self.id).version == QUERIED else "api"

    def covers(self, objective: Objective) -> bool:
        """Whether it takes anything out of an objective."""
        mine = self.objective in (None, objective.id) and self.pool in (None, objective.pool)
        return mine and self.canceled_at is None


def of_file(spec: Spec, now: float) -> list[Exclusion]:
    """Return the exclusions of an objectives file; of one that recurs, each occurrence up to a week or so from now."""
    # To a whole day: the same occurrences until then, which are found once.
    until = datetime.fromtimestamp((now // DAY + AHEAD) * DAY, UTC)
    return [
        Exclusion(start, end, item.created_by, item.reason, item.objective, item.pool)
        for item in spec.exclusions
        for start, end in item.occurrences(until)
    ]


def stretches(exclusions: Iterable[Exclusion], objective: Objective) -> tuple[Stretch, ...]:
    """Return the slots that are taken out of an objective: stretches that do not touch, in order of time."""
    found: list[Stretch] = []
    for low, high in sorted((first_slot(e.start), slot_of(e.end) + SLOT) for e in exclusions if e.covers(objective)):
        if found and low <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], high)
        else:
            found.append((low, high))
    return tuple(found)


def clipped(found: Iterable[Stretch], low: float, high: float) -> Iterator[tuple[float, float]]:
    """Yield what of the stretches lies between two moments."""
    for start, end in found:
        if start < high and end > low:
            yield max(start, low), min(end, high)
