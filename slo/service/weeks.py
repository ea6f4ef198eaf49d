"""ISO weeks in UTC: what a review and a forecast are told in."""

from datetime import UTC, date, datetime

WEEK = 7 * 86400.0


def week_of(at: float) -> str:
    """Return the ISO week of a moment (Unix seconds, UTC), such as 2026-W47."""
    year, week, _ = datetime.fromtimestamp(at, UTC).isocalendar()
    return f"{year}-W{week:02}"


def start_of(week: str) -> int:
    """Return when an ISO week begins, in Unix seconds; raises ValueError for what is none."""
    year, _, number = week.partition("-W")
    if not (len(year) == 4 and len(number) == 2 and (year + number).isascii() and (year + number).isdecimal()):
        raise ValueError(f"{week!r} is no ISO week; write one like 2026-W47")
    day = date.fromisocalendar(int(year), int(number), 1)
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
