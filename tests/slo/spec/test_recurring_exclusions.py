"""Recurring exclusions of the objectives file: when they occur, also where clocks change, and which rules are rejected."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.error_budget.exclusions import AHEAD, of_file, stretches
from plimsoll.slo.spec.exclusion import Exclusion, Recurrence
from plimsoll.slo.spec.objectives import SpecError, load
from world import SPEC_TEXT

DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def text(start: str, end: str, rule: str, timezone: str = "Europe/Berlin") -> str:
    repeated = f'{{rule: "{rule}", timezone: {timezone}}}'
    return f"{SPEC_TEXT}\nexclusions:\n  - {{from: {start}, to: {end}, created_by: ann, reason: x, recurrence: {repeated}}}\n"


def starts(found: list[tuple[float, float]]) -> list[str]:
    return [datetime.fromtimestamp(start, UTC).strftime("%m-%d %H:%M") for start, _ in found]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        # Weekly at 01:00, over the start of summer time (2026-03-29) and over its end (2026-10-25): the local time stays.
        ("2026-03-22T01:00:00+01:00", ["03-22 00:00", "03-29 00:00", "04-04 23:00"]),
        ("2026-10-18T01:00:00+02:00", ["10-17 23:00", "10-24 23:00", "11-01 00:00"]),
        # 02:30 doesn't exist on the first of these Sundays (03:30 instead), and comes twice on the second (the first counts).
        ("2026-03-22T02:30:00+01:00", ["03-22 01:30", "03-29 01:30", "04-05 00:30"]),
        ("2026-10-18T02:30:00+02:00", ["10-18 00:30", "10-25 00:30", "11-01 01:30"]),
    ],
)
def test_a_weekly_exclusion_keeps_its_local_time_where_clocks_change(first: str, expected: list[str]) -> None:
    start = datetime.fromisoformat(first)
    weekly = Exclusion(
        start=start,
        end=start + timedelta(hours=2),
        created_by="ann",
        reason="x",
        recurrence=Recurrence("FREQ=WEEKLY;BYDAY=SU", "Europe/Berlin"),
    )
    found = list(weekly.occurrences(start + timedelta(days=15)))
    assert starts(found) == expected
    assert {end - begin for begin, end in found} == {7200.0}


@given(
    st.dates(date(2024, 1, 1), date(2026, 12, 31)),
    st.integers(0, 24 * 12 - 1),
    st.integers(1, 24 * 12),
    st.integers(1, 4),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
@example(date(2024, 3, 30), 36, 288, 1, "Europe/Berlin")  # ends after the clocks change: 23 h
@settings(max_examples=60)
def test_occurrences_are_the_same_weekday_and_local_time_for_as_long(
    day: date, slot: int, slots: int, weeks: int, zone: str
) -> None:
    wall = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).replace(hour=slot // 12, minute=slot % 12 * 5)
    if wall.astimezone(UTC).astimezone(wall.tzinfo).replace(tzinfo=None) != wall.replace(tzinfo=None):
        return  # a first occurrence that the clock skips can't be written with its offset
    rule = f"FREQ=WEEKLY;INTERVAL={weeks};BYDAY={DAYS[day.weekday()]}"
    length = timedelta(seconds=slots * SLOT)
    one = Exclusion(
        start=wall, end=wall + length, created_by="ann", reason="x", recurrence=Recurrence(rule, timezone=zone)
    )
    until = wall + timedelta(days=400)
    expected = [
        moment.timestamp()
        for number in range(400)
        if (moment := (wall.replace(tzinfo=None) + timedelta(weeks=weeks * number)).replace(tzinfo=wall.tzinfo))
        <= until
    ]
    found = one.occurrences(until)
    assert [start for start, _ in found] == expected
    assert all(end - start == (wall + length).timestamp() - wall.timestamp() for start, end in found)


def test_each_occurrence_takes_out_whole_slots_up_to_its_end_and_the_next_week() -> None:
    spec = load(
        text("2026-11-01T02:01:00+01:00", "2026-11-01T03:00:00+01:00", "FREQ=WEEKLY;UNTIL=20261115T010100Z", "UTC")
    )
    first = datetime(2026, 11, 1, 1, 0, tzinfo=UTC).timestamp()
    now = first + 5 * 86400
    listed = [one.start for one in of_file(spec, now)]
    assert listed == [first + 60 + 7 * 86400 * number for number in (0, 1)] and max(listed) < now + AHEAD * 86400
    later = of_file(spec, now + 60 * 86400)
    weeks = [first + 7 * 86400 * number for number in range(3)]  # the third begins with UNTIL, the last start
    assert stretches(later, spec.objectives[0]) == tuple((at, at + 3600) for at in weeks)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("FREQ=WEEKLY", "FREQ=HOURLY", "isn't a recurrence rule. Write FREQ=WEEKLY;BYDAY=SU"),
        ("FREQ=WEEKLY", "BYDAY=SU", "isn't a recurrence rule"),
        ("FREQ=WEEKLY", "FREQ=WEEKLY;FREQ=DAILY", "isn't a recurrence rule"),
        ("FREQ=WEEKLY", "FREQ=WEEKLY;INTERVAL=0", "isn't a recurrence rule"),
        ("FREQ=WEEKLY", "FREQ=DAILY;BYHOUR=1,2,3", "isn't a recurrence rule"),
        ("FREQ=WEEKLY", "FREQ=WEEKLY;BYDAY=XX", "isn't a recurrence rule: .*XX"),
        ("FREQ=WEEKLY", "FREQ=WEEKLY;UNTIL=20261301T000000Z", "isn't a recurrence rule"),
        ("FREQ=WEEKLY", "FREQ=WEEKLY;UNTIL=20300101T000000", "isn't a recurrence rule"),
        ("FREQ=WEEKLY", "FREQ=WEEKLY;BYDAY=MO", "isn't an occurrence of the recurrence rule"),
        ("FREQ=WEEKLY", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "isn't an occurrence of the recurrence rule"),
        ("2026-11-01T03", "2026-11-09T03", "occurrences overlap"),
        ("Europe/Berlin", "Mars/Base", "'Mars/Base' isn't an IANA time zone"),
    ],
)
def test_a_mistake_in_a_recurrence_names_its_place_and_the_fix(old: str, new: str, message: str) -> None:
    good = text("2026-11-01T02:00:00+01:00", "2026-11-01T03:00:00+01:00", "FREQ=WEEKLY")
    load(good)
    assert old in good
    with pytest.raises(SpecError, match=rf"exclusions\[0\].*{message}"):
        load(good.replace(old, new))
