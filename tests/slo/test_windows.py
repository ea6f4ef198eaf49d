"""Slots and windows, across changes of clocks."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from plimsoll.slo.calendar import slot_of
from plimsoll.slo.spec.objectives import Window
from plimsoll.slo.spec.window_bounds import bounds


@pytest.mark.parametrize(("at", "slot"), [(300.0, 0), (300.001, 300), (599.999, 300), (600.0, 300), (1.0, 0)])
def test_a_slot_holds_its_end_and_not_its_start(at: float, slot: int) -> None:
    assert slot_of(at) == slot


def unix(zone: str, *when: int) -> float:
    year, month, day, hour = when
    return datetime(year, month, day, hour, tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("calendar", "zone", "now", "start", "end", "hours"),
    [
        ("month", "UTC", (2026, 2, 14, 3), (2026, 2, 1, 0), (2026, 3, 1, 0), 28 * 24),
        ("month", "UTC", (2026, 12, 31, 23), (2026, 12, 1, 0), (2027, 1, 1, 0), 31 * 24),
        ("week", "Europe/Berlin", (2026, 3, 29, 12), (2026, 3, 23, 0), (2026, 3, 30, 0), 167),
        ("week", "Europe/Berlin", (2026, 10, 21, 12), (2026, 10, 19, 0), (2026, 10, 26, 0), 169),
        ("quarter", "America/New_York", (2026, 11, 21, 9), (2026, 10, 1, 0), (2027, 1, 1, 0), 92 * 24 + 1),
    ],
)
def test_calendar_windows_follow_the_wall_clock(
    calendar: str, zone: str, now: tuple[int, ...], start: tuple[int, ...], end: tuple[int, ...], hours: int
) -> None:
    found = bounds(Window.parse({"calendar": calendar, "timezone": zone}), unix(zone, *now))
    assert found == (unix(zone, *start), unix(zone, *end))
    assert found[1] - found[0] == hours * 3600


def test_a_rolling_window_ends_now() -> None:
    assert bounds(Window.parse("7d"), 1_000_000.0) == (1_000_000.0 - 7 * 86400, 1_000_000.0)
