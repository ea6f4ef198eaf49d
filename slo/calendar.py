"""Slots and windows on the time line. All times are Unix seconds; a slot is identified by its start."""

import re
from datetime import UTC, date, datetime
from math import ceil, floor
from typing import Literal

SLOT = 300  # seconds: a slot is a fixed 5-minute interval of the ledger


def slot_of(at: float) -> int:
    """Return the start of the slot that holds a moment. A slot holds its end and not its start: (start, start + 300]."""
    return ceil(at / SLOT) * SLOT - SLOT


def first_slot(start: float) -> int:
    """Return the first slot of a window that begins at a moment: the slot in progress then. A month that begins at
    midnight begins with the slot (00:00, 00:05]; a rolling window that begins within a slot takes in the whole slot.
    """
    return floor(start / SLOT) * SLOT


MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0  # seconds
WEEK = 7 * DAY


def week_of(at: float) -> str:
    """Return the ISO week of a moment (Unix seconds, UTC), such as 2026-W47."""
    year, week, _ = datetime.fromtimestamp(at, UTC).isocalendar()
    return f"{year}-W{week:02}"


def start_of(week: str) -> int:
    """Return when an ISO week begins, in Unix seconds; raises ValueError for anything else."""
    year, _, number = week.partition("-W")
    if not (len(year) == 4 and len(number) == 2 and (year + number).isascii() and (year + number).isdecimal()):
        raise ValueError(f"{week!r} isn't an ISO week. Use a value like 2026-W47.")
    day = date.fromisocalendar(int(year), int(number), 1)
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


PeriodKind = Literal["week", "month", "quarter"]
_PERIOD = re.compile(r"(\d{4})-(?:Q([1-4])|(0[1-9]|1[0-2]))", re.ASCII)


def period_of(kind: PeriodKind, at: float) -> str:
    """Return the period of a moment (Unix seconds, UTC): 2026-W47, 2026-11, or 2026-Q4."""
    day = datetime.fromtimestamp(at, UTC)
    month = f"{day:%Y-%m}"
    return {"week": week_of(at), "month": month, "quarter": f"{day:%Y}-Q{(day.month + 2) // 3}"}[kind]


def period_bounds(period: str) -> tuple[PeriodKind, int, int]:
    """Return the kind of a period, and when it begins and ends in Unix seconds (UTC); raises ValueError for anything else."""
    if (found := _PERIOD.fullmatch(period)) is None:
        if "-W" not in period:
            raise ValueError(f"{period!r} isn't a period. Use a value like 2026-W47, 2026-11, or 2026-Q4.")
        return "week", start_of(period), start_of(period) + int(WEEK)
    year, quarter, month = found.groups()
    first, months = (3 * int(quarter) - 2, 3) if quarter else (int(month), 1)
    start, end = (
        datetime(int(year) + (at - 1) // 12, (at - 1) % 12 + 1, 1, tzinfo=UTC) for at in (first, first + months)
    )
    return "quarter" if quarter else "month", int(start.timestamp()), int(end.timestamp())


def rfc3339(at: float) -> str:
    """Write Unix seconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
