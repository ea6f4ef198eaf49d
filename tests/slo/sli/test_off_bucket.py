"""Counting where the limit is no bucket bound: the truth lies between good and good + indeterminate, and is both where a bound holds it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bounds_world import spec
from histogram_world import Life, scraped
from plimsoll.slo import metrics as c
from plimsoll.slo.checks.offline import findings
from plimsoll.slo.metrics import Metric
from plimsoll.slo.sli.evidence import countings
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.spec.objectives import load
from world import SPEC_TEXT

T0 = 1_700_000_100  # a slot's start
OLD = T0 - 86400.0
TIMES = [T0 - 285 + 15.0 * index for index in range(60)]


def count(bucket_mismatch: str, fleet: dict[str, list[Life]], metric: Metric = c.TTFT) -> SlotCount:
    indicator = "time_per_output_token: 40ms" if metric is c.TPOT else "time_to_first_token: 600ms"
    chosen = spec(bucket_mismatch, indicator)
    ways = countings(chosen.objective("fast"), chosen.pool("pool"))
    (slot,) = Observed(scraped(fleet, TIMES, metric), [T0]).count(ways)
    return slot


def spread(number: int) -> list[tuple[float, float | None]]:
    """Requests of 10 ms, 20 ms, ... `number` x 10 ms, one a second from the slot's beginning on."""
    return [(T0 + index, index / 100) for index in range(1, number + 1)]


@pytest.mark.parametrize(
    ("bounds", "good", "indeterminate", "source"),
    [
        ((0.25, 0.5, 0.75, 1.0), 50, 25, "bounds"),
        ((0.25, 0.5, 0.6, 0.75), 60, 0, "exact_bucket"),
        ((0.75, 1.0), 0, 75, "bounds"),
        ((0.25, 0.5), 50, 50, "bounds"),
    ],
)
def test_a_bracket_holds_what_the_bounds_around_the_limit_hold(
    bounds: tuple[float, ...], good: int, indeterminate: int, source: str
) -> None:
    slot = count("bounds", {"a": [Life(OLD, bounds, spread(100))]})
    assert (slot.good, slot.indeterminate, slot.total, slot.source) == (good, indeterminate, 100, source)
    assert slot.covered_seconds == 300.0


def test_conservative_counts_at_the_next_lower_bound_and_refuse_counts_nothing() -> None:
    fleet = {"a": [Life(OLD, (0.25, 0.5, 0.75), spread(100))]}
    slot = count("lower_bound", fleet)
    assert (slot.good, slot.indeterminate, slot.total, slot.source) == (50, 0, 100, "lower_bound")
    none = count("unknown", fleet)
    assert (none.good, none.indeterminate, none.total, none.covered_seconds, none.source) == (0, 0, 0, 0.0, "")


@pytest.mark.parametrize(
    ("bucket_mismatch", "bounds"), [("lower_bound", (0.75, 1.0)), ("bounds", ()), ("lower_bound", ())]
)
def test_bounds_that_tell_nothing_leave_it_unknown(bucket_mismatch: str, bounds: tuple[float, ...]) -> None:
    slot = count(bucket_mismatch, {"a": [Life(OLD, bounds, spread(100))]})
    assert (slot.total, slot.covered_seconds) == (0, 0.0)


def test_each_replica_is_counted_by_its_own_bounds_and_the_plugin_wins() -> None:
    fleet = {
        "around": [Life(OLD, (0.5, 0.75), spread(100))],
        "exact": [Life(OLD, (0.1, 0.6, 2.5), spread(100))],
        "evaluated": [Life(OLD, (0.5, 0.75), spread(100), evaluated=0.6)],
    }
    slot = count("bounds", fleet)
    assert (slot.good, slot.indeterminate, slot.total) == (50 + 60 + 60, 25, 300)
    assert slot.source == "bounds+exact_bucket+per_request"


@pytest.mark.parametrize("bucket_mismatch", ["unknown", "lower_bound", "bounds"])
def test_a_replica_that_restarts_with_other_bounds_is_counted_by_those_that_each_process_had(
    bucket_mismatch: str,
) -> None:
    """The bound of the second process says nothing of the requests of the first: they must not be taken for bad."""
    restart = T0 + 120.0
    lives = [
        Life(OLD, (0.5, 0.75), spread(100)),
        Life(restart, (0.5, 0.6, 0.75), [(restart + index, index / 100) for index in range(1, 101)]),
    ]
    slot = count(bucket_mismatch, {"a": lives})
    first = {"unknown": (0, 0, 0), "lower_bound": (50, 0, 100), "bounds": (50, 25, 100)}[bucket_mismatch]
    assert (slot.good, slot.indeterminate, slot.total) == (first[0] + 60, first[1], first[2] + 100)
    # The last 15 seconds of the first process died with it. Under `refuse` nobody counts any of it.
    assert slot.covered_seconds == (180.0 if bucket_mismatch == "unknown" else 285.0)


def test_requests_of_a_single_token_are_in_neither_edge() -> None:
    requests: list[tuple[float, float | None]] = [(T0 + 1.0 + i, i / 1000) for i in range(1, 101)]
    requests += [(T0 + 1.5 + i, None) for i in range(30)]
    for bounds, good, indeterminate in (
        ((0.025, 0.05), 25, 25),
        ((0.05,), 0, 50),
        ((0.025,), 25, 75),
        ((0.025, 0.04), 40, 0),
    ):
        slot = count("bounds", {"a": [Life(OLD, bounds, requests)]}, c.TPOT)
        assert (slot.good, slot.indeterminate, slot.total) == (good, indeterminate, 100)


moments = st.floats(T0 + 0.001, T0 + 299.9).map(lambda at: round(at, 3))
latencies = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.55, 0.6, 0.61, 0.75, 0.8, 1.0, 3.0]) | st.floats(0.001, 4)
processes = st.tuples(
    st.sets(st.sampled_from([0.1, 0.25, 0.5, 0.55, 0.6, 0.75, 1.0, 2.5])),
    st.lists(st.tuples(moments, latencies), max_size=30),
    st.booleans(),
)


@given(st.dictionaries(st.sampled_from("abc"), st.tuples(processes, processes, moments), min_size=1))
def test_the_truth_lies_between_good_and_good_and_unclear(fleet: dict[str, tuple]) -> None:  # type: ignore[type-arg]
    """Of any fleet: replicas with bounds of their own, each restarted once with others, some with the plugin."""
    lives: dict[str, list[Life]] = {}
    truth, total, clear = 0, 0, True
    for name, (first, second, restart) in fleet.items():
        seen = max(
            (at for at in TIMES if at < restart), default=T0
        )  # what the first did after its last page died with it
        parts = [(OLD, first, T0 - 1, seen), (restart, second, restart, T0 + 600)]
        lives[name] = []
        for start, (bounds, requests, evaluated), low, high in parts:
            mine: list[tuple[float, float | None]] = [(at, took) for at, took in requests if low < at]
            lives[name].append(Life(start, sorted(bounds), mine, 0.6 if evaluated else None))
            if evaluated or bounds:
                told = [took for at, took in mine if at <= high and took is not None]
                truth += sum(took <= 0.6 for took in told)
                total += len(told)
                clear &= evaluated or 0.6 in bounds
    found = count("bounds", lives)
    assert found.total == total
    assert found.good <= truth <= found.good + found.indeterminate <= total
    if clear:
        assert (found.good, found.indeterminate) == (truth, 0)
    assert count("lower_bound", lives).good <= truth


def test_a_mode_without_effect_is_reported() -> None:
    whole = load(SPEC_TEXT.replace("{time_to_first_token: 600ms}", "{goodput: {ttft: 600ms}}, bucket_mismatch: bounds"))
    unused = "bucket-mismatch-unused"
    assert [one.path for one in findings(whole) if one.code == unused] == ["objectives[0].bucket_mismatch"]
    assert not [one for one in findings(spec("bounds")) if one.code == unused]
