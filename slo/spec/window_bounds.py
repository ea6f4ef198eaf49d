"""Window bounds."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from plimsoll.slo.spec.objectives import Window


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
