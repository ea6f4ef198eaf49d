"""Slots and windows on the time line. All times are Unix seconds; a slot is known by its start."""

from datetime import datetime, timedelta
from math import ceil, floor
from zoneinfo import ZoneInfo

from slo.spec import Window

SLOT = 300  # seconds: design, "one fixed 5-minute piece of time"


def slot_of(at: float) -> int:
    """Return the start of the slot that holds a moment. A slot holds its end and not its start: (start, start + 300]."""
    return ceil(at / SLOT) * SLOT - SLOT


def first_slot(start: float) -> int:
    """Return the first slot of a window that begins at a moment: the slot that goes on then. A month that begins at
    midnight begins with the slot (00:00, 00:05]; a rolling window that begins within a slot takes in the whole slot.
    """
    return floor(start / SLOT) * SLOT


def bounds(window: Window, now: float) -> tuple[float, float]:
    """Return start and end of the window that `now` stands in; a rolling window ends now, a calendar one at its last moment.

    Calendar periods follow the wall clock of the window's time zone, so a week with a change of clocks has 167 or 169 hours.
    """
    if window.calendar is None or window.timezone is None:
        return now - window.seconds, now
    zone = ZoneInfo(window.timezone)
    day = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if window.calendar == "week":
        monday = day.date() - timedelta(days=day.weekday())
        first = datetime(monday.year, monday.month, monday.day, tzinfo=zone)
        sunday = monday + timedelta(days=7)
        last = datetime(sunday.year, sunday.month, sunday.day, tzinfo=zone)
    else:
        months = 1 if window.calendar == "month" else 3
        month = day.month if months == 1 else day.month - (day.month - 1) % 3
        first = day.replace(month=month, day=1)
        years, index = divmod(month - 1 + months, 12)
        last = first.replace(year=first.year + years, month=index + 1)
    return first.timestamp(), last.timestamp()
