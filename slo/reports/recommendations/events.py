"""Announced events of a time span: what was expected, and what the pool saw."""

from collections.abc import Iterable, Sequence

from pydantic import Field

from plimsoll.slo.calendar import SLOT, WEEK
from plimsoll.slo.capacity.forecast_models import ForecastEvent
from plimsoll.slo.spec.event import AnnouncedEvent
from plimsoll.slo.usage.demand import WATCHED
from plimsoll.slo.usage.slots import PoolSlot


class EventReview(ForecastEvent):
    """An event: `factor` or `requests_per_second` as announced, beside what was seen of it in the reviewed time."""

    seen_factor: float | None = Field(
        description="Requests that arrived over those of the same slots of the week before. `null`: none of them has data in both weeks."
    )
    seen_requests_per_second: float | None = Field(
        description="Requests/s that arrived in the busiest 5 minutes. `null`: no data."
    )
    coverage: float = Field(description="Ratio of its 5-minute slots so far with data, 0 to 1.")


def seen_events(events: Iterable[AnnouncedEvent], rows: Sequence[PoolSlot], span: tuple[int, int]) -> list[EventReview]:
    """Review a pool's events that began by the end of a span (Unix seconds); `rows` are its slots from a week before the span on."""
    arrived = {
        row.slot: row.arrivals for row in rows if row.arrivals is not None and row.covered_seconds >= WATCHED * SLOT
    }
    found = sorted((one for one in events if one.start < span[1] and one.end > span[0]), key=lambda one: one.start)
    return [_seen(one, arrived, span) for one in found]


def _seen(event: AnnouncedEvent, arrived: dict[int, int], span: tuple[int, int]) -> EventReview:
    first, end = max(int(event.start), span[0]) // SLOT * SLOT, min(event.end, span[1])
    slots = range(first, int(end), SLOT)
    known = {slot: arrived[slot] for slot in slots if slot in arrived}
    both = [slot for slot in known if slot - int(WEEK) in arrived]
    before = sum(arrived[slot - int(WEEK)] for slot in both)
    return EventReview.model_validate(
        {
            **ForecastEvent.of(event).model_dump(),
            "seen_factor": sum(known[slot] for slot in both) / before if before else None,
            "seen_requests_per_second": max(known.values()) / SLOT if known else None,
            "coverage": len(known) / len(slots) if slots else 0.0,
        }
    )
