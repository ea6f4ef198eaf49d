"""Events that a user announces: a time in which demand will be unlike that of other weeks, such as a launch or a sale."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import msgspec

from plimsoll.slo.spec.names import Name, ShortText, Timestamp

LONGEST_DAYS = 31  # of an event: what lasts longer is demand, and a mistyped end must not hold nodes for years
MOST_FACTOR, MOST_RATE = 1000, 1e6
Factor = Annotated[float, msgspec.Meta(gt=0, le=MOST_FACTOR)]
Rate = Annotated[float, msgspec.Meta(gt=0, le=MOST_RATE)]


class Event(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}, kw_only=True
):
    """Demand that is expected from `from` to `to` (at most 31 days), of one pool or of all.

    Either `factor`, as a multiple of the usual demand of these hours, or `requests_per_second` of a pool in its busiest 5 minutes.
    Forecasts have it, nodes for it are added a cold start ahead, and afterwards its hours don't count as usual demand.
    """

    name: ShortText
    start: Timestamp
    end: Timestamp
    factor: Factor | None = None
    requests_per_second: Rate | None = None
    pool: Name | None = None

    def __post_init__(self) -> None:
        if fault := fault_of(self.start, self.end, (self.factor, self.requests_per_second), self.pool):
            raise ValueError(fault)


def fault_of(start: datetime, end: datetime, expected: Sequence[float | None], pool: str | None) -> str | None:
    """Return what is wrong with an event and how to fix it; None if nothing is. `expected`: factor and requests per second."""
    factor, rate = expected
    if (factor is None) == (rate is None):
        return "needs one of factor and requests_per_second. Set one of them."
    if rate is not None and pool is None:
        return "requests_per_second is of one pool. Name `pool`."
    if not 0 < end.timestamp() - start.timestamp() <= LONGEST_DAYS * 86400:
        return f"to must be after from, by at most {LONGEST_DAYS} days. Correct the times."
    return None


@dataclass(frozen=True, slots=True)
class AnnouncedEvent:
    """An event of the objectives file (`id` and `created_by` are None) or of the API; times in Unix seconds."""

    name: str
    start: float
    end: float
    factor: float | None = None
    requests_per_second: float | None = None
    pool: str | None = None
    created_by: str | None = None
    reason: str | None = None
    id: str | None = None
    created_at: float | None = None
    canceled_at: float | None = None

    def covers(self, pool: str) -> bool:
        """Whether it is of a pool, and not canceled."""
        return self.pool in (None, pool) and self.canceled_at is None

    @property
    def expected(self) -> str:
        """Return what is expected, in words."""
        return f"{self.factor:g}x demand" if self.factor else f"{self.requests_per_second:g} requests/s"


def of_file(events: Iterable[Event]) -> list[AnnouncedEvent]:
    """Return the events of an objectives file."""
    return [
        AnnouncedEvent(
            one.name, one.start.timestamp(), one.end.timestamp(), one.factor, one.requests_per_second, one.pool
        )
        for one in events
    ]
