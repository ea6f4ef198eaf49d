"""Announced events: nodes for them a cold start ahead, none fewer until they end, and hours of the past that show the usual load."""

from dataclasses import replace

import msgspec
import numpy as np
import pandas as pd
import pytest

from plimsoll.slo.capacity.forecast import draws, forecast
from plimsoll.slo.capacity.model.signals import read
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.recommendation.error_budget.attained_hours import HOUR, WEEK, AttainedHour
from plimsoll.slo.capacity.recommendation.error_budget.loop_state import BudgetLoop
from plimsoll.slo.capacity.recommendation.measured_state import MeasuredState
from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.capacity.recommendation.pool_snapshot import look
from plimsoll.slo.capacity.recommendation.recommend import decide
from plimsoll.slo.capacity.special_hours import SpecialHours
from plimsoll.slo.capacity.usual_hours import UnusualHours
from plimsoll.slo.reports.recommendations.events import seen_events
from plimsoll.slo.spec.event import AnnouncedEvent, of_file
from plimsoll.slo.spec.holidays import Holidays
from plimsoll.slo.spec.objectives import SpecError, load
from plimsoll.slo.usage.slots import PoolSlot
from pool_signals import NOW, POOL, TARGET, served

WIDE = msgspec.structs.replace(POOL, nodes=msgspec.structs.replace(POOL.nodes, min=1, max=12, warm_spares=0))
LEAD = WIDE.timing.cold_start + 300
SALE = AnnouncedEvent("sale", NOW, NOW + 7200, factor=3.0)


def advised(
    *events: AnnouncedEvent,
    now: float = NOW,
    nodes: int = 2,
    state: MeasuredState | None = None,
    target: LatencyTarget | None = TARGET,
    full: bool = True,
) -> Recommendation:
    """Recommend for replicas that were full once (45 requests of 1,000 tokens in 15 s) and get 20 since."""
    arriving = [*([92, 0] if full else [20, 20]), *([20] * 100)]
    series = [item for name in "abcdefgh"[:nodes] for item in served(name, arriving, ago=NOW - now)]
    case = look(WIDE, read(series, now), now, target, state=state)
    return decide(replace(case, special=SpecialHours(events=events)), None, state).recommendation


def begins(seconds: float, **changed: object) -> AnnouncedEvent:
    return replace(SALE, start=NOW + seconds, end=NOW + seconds + 7200, **changed)  # type: ignore[arg-type]


def test_nodes_are_added_a_cold_start_before_an_event() -> None:
    # Two replicas get 40 requests in 15 s, 2,667 tokens/s; three times that needs 8,000 / (0.9 * 3,000) = 2.96 nodes.
    early, due = advised(begins(LEAD + 60)), advised(begins(LEAD - 60))
    assert early.action != "scale_out"
    assert (due.action, due.recommended_nodes, due.rule) == ("scale_out", 3, "event")
    assert "event_announced" in due.reason_codes
    assert "sale" in due.reasons[due.reason_codes.index("event_announced")]


def test_a_rate_is_turned_into_tokens_and_the_limits_of_the_pool_hold() -> None:
    rate = begins(60, factor=None, requests_per_second=10.0)
    assert advised(rate).recommended_nodes == 4, "10,000 tokens/s at 2,700 a node"
    most = advised(begins(60, factor=None, requests_per_second=1000.0))
    assert (most.recommended_nodes, most.rule) == (12, "max_nodes")


def test_no_node_is_removed_that_an_event_requires() -> None:
    quiet = advised(nodes=4, full=True)
    assert quiet.action == "scale_in"
    during = advised(begins(60, factor=None, requests_per_second=10.0), nodes=4)
    assert (during.action, during.recommended_nodes) == ("hold", 4)
    assert "scale_in_blocked_event" in during.reason_codes
    over = advised(replace(begins(-7300), requests_per_second=10.0, factor=None), nodes=4)
    assert over.action == "scale_in", "an event that has ended holds nothing"


def test_an_event_in_progress_is_a_multiple_of_past_hours_not_of_itself() -> None:
    hour = int(NOW // HOUR)
    running = begins(-600)
    unknown = advised(running)
    assert "event_not_sized" in unknown.reason_codes, "what is usual at this time isn't known"
    assert unknown.action != "scale_out"
    week_before = AttainedHour(hour - WEEK, HOUR, 3600.0, 3600.0 * 5000, 0.0, 0.0)
    state = MeasuredState(NOW - 10, 2, None, BudgetLoop(NOW, 2, (week_before,)))
    assert advised(running, state=state).recommended_nodes == 6, "3 x 5,000 tokens/s at 2,700 a node"


def test_without_a_measured_throughput_an_event_is_not_sized() -> None:
    found = advised(begins(60), full=False)
    assert "event_not_sized" in found.reason_codes
    assert found.action != "scale_out"


MONDAY = 4 * 24 + 10  # hours since 1970: the first Monday, 10:00


@pytest.mark.parametrize(
    ("unusual", "hour", "expected"),
    [
        (UnusualHours(), MONDAY + WEEK, MONDAY),
        (UnusualHours(events=frozenset({MONDAY})), MONDAY + WEEK, MONDAY + 4 * 24),  # Friday
        (UnusualHours(holidays=frozenset({MONDAY})), MONDAY + WEEK, MONDAY + 4 * 24),
        (UnusualHours(holidays=frozenset({MONDAY + WEEK})), MONDAY + WEEK, MONDAY + 6 * 24),  # Sunday
    ],
)
def test_the_usual_load_is_that_of_a_day_of_the_same_kind(unusual: UnusualHours, hour: int, expected: int) -> None:
    loads = {MONDAY + 24 * day: float(day) for day in range(7)}
    assert unusual.usual(loads, hour) == loads[expected]


def weeks(count: int, event: AnnouncedEvent | None = None) -> "pd.Series[float]":
    index = pd.date_range("2026-07-06", periods=count * 2016, freq="300s", tz="UTC")
    rate = 1 + 0.6 * np.sin(2 * np.pi * (index.hour.to_numpy() - 8) / 24)
    rate *= np.exp(np.random.default_rng(3).normal(0, 0.03, len(index)))
    if event is not None and event.factor is not None:
        rate[(index.asi8 >= event.start * 1e6) & (index.asi8 < event.end * 1e6)] *= event.factor
    return pd.Series(600_000 * rate, index)


def at(text: str) -> float:
    return pd.Timestamp(text, tz="UTC").timestamp()


def test_the_forecast_multiplies_in_the_hours_of_an_event_and_forgets_past_ones() -> None:
    known = weeks(6)
    hours = pd.date_range("2026-08-17", periods=48, freq="h", tz="UTC")
    coming = AnnouncedEvent("launch", at("2026-08-18 09:00"), at("2026-08-18 12:00"), factor=2.5)
    plain = draws(known.resample("h").max() / 300, hours, "logarithmic", SpecialHours())
    announced = draws(known.resample("h").max() / 300, hours, "logarithmic", SpecialHours(events=(coming,)))
    ratio = np.median(announced, axis=1) / np.median(plain, axis=1)
    assert [index for index, value in enumerate(ratio) if value > 1] == [33, 34, 35]
    assert ratio[33:36] == pytest.approx(2.5)
    rate = replace(coming, factor=None, requests_per_second=40.0)
    found = draws(known.resample("h").max() / 300, hours, "logarithmic", SpecialHours(None, (rate,), 1000.0))
    assert np.median(found, axis=1)[33:36] == pytest.approx(40_000)
    assert [one.name for one in forecast(known, 1, None, SpecialHours(events=(coming,))).events] == ["launch"]
    past = AnnouncedEvent("sale", at("2026-08-11 09:00"), at("2026-08-11 12:00"), factor=3.0)
    after = draws(weeks(6, past).resample("h").max() / 300, hours, "logarithmic", SpecialHours(events=(past,)))
    assert np.median(after, axis=1) == pytest.approx(np.median(plain, axis=1), rel=0.02)


def test_what_was_expected_stands_beside_what_was_seen() -> None:
    start, week = 1_000_000 // 300 * 300, 7 * 86400
    event = AnnouncedEvent("sale", start, start + 1200, factor=3.0)
    rows = [PoolSlot(start - week + 300 * slot, 300.0, arrivals=300) for slot in range(3)]
    rows += [PoolSlot(start + 300 * slot, 300.0, arrivals=count) for slot, count in enumerate((600, 900, None))]
    (found,) = seen_events([event], rows, (start - 3600, start + 86400))
    assert (found.factor, found.seen_factor, found.seen_requests_per_second) == (3.0, 2.5, 3.0)
    assert found.coverage == 0.5, "two of four slots have data"
    (unseen,) = seen_events([event], rows[:3], (start - 3600, start + 86400))
    assert (unseen.seen_factor, unseen.seen_requests_per_second, unseen.coverage) == (None, None, 0.0)
    assert seen_events([event], rows, (start + 1200, start + 86400)) == []


SPEC = "version: plimsoll/v1\npools: [{name: a, model: m}]\nobjectives: []\nevents: [{name: sale, from: 2026-11-27T00:00:00Z, %s}]"


def test_the_objectives_file_has_events_and_rejects_those_without_an_expectation_or_end() -> None:
    spec = load(SPEC % "to: 2026-11-28T00:00:00Z, factor: 2.5")
    (found,) = of_file(spec.events)
    assert (found.name, found.end - found.start, found.factor, found.covers("a")) == ("sale", 86400, 2.5, True)
    for wrong in (
        "to: 2026-11-28T00:00:00Z",
        "to: 2026-11-28T00:00:00Z, factor: 2, requests_per_second: 5, pool: a",
        "to: 2026-11-28T00:00:00Z, requests_per_second: 5",
        "to: 2026-11-26T00:00:00Z, factor: 2",
        "to: 2027-11-28T00:00:00Z, factor: 2",
        "to: 2026-11-28T00:00:00Z, factor: 2, pool: b",
    ):
        with pytest.raises(SpecError, match=r"^events\[0\]|^events"):
            load(SPEC % wrong)


def test_hours_are_unusual_in_the_pools_time_zone() -> None:
    special = SpecialHours(Holidays(dates=(pd.Timestamp("2026-12-25").date(),), timezone="Asia/Tokyo"), (SALE,))
    first = int(at("2026-12-24 12:00") // HOUR)
    assert special.unusual(first, first + 48).holidays == frozenset(range(first + 3, first + 27))
    assert special.unusual(int(NOW // HOUR) - 3, int(NOW // HOUR) + 3).events == {2, 3, 4}
