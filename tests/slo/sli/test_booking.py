"""Counting requests from raw samples: exact through resets, restarts, births and gaps, and silent about what nobody saw.

The first six tests are rows of the comparison in which other tools were seen to go wrong; their numbers stand in comments.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.slo import metrics
from plimsoll.slo.calendar import SLOT, slot_of
from plimsoll.slo.sli.evidence import countings
from plimsoll.slo.sli.increments import MAX_GAP, SlotCount, pad
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import load
from world import SPEC_TEXT, Process, World, spec

SPEC = spec()
WAYS = countings(SPEC.objective("fast"), SPEC.pool("pool"))
T0 = 1_700_000_100.0  # a slot's start


def count(world: World, *slots: float) -> list[SlotCount]:
    chosen = [int(slot) for slot in slots]
    low, high = pad(chosen)
    series = [
        Series(name, labels, [(at, v) for at, v in samples if low < at <= high])
        for name, labels, samples in world.all_series()
    ]
    return Observed(series, chosen).count(WAYS)


def every(start: float, end: float, step: float = 15.0) -> list[float]:
    return [start + step * i for i in range(int((end - start) / step) + 1)]


def old(requests: list[tuple[float, bool]], start: float = T0 - 86400) -> list[Process]:
    return [Process(start, requests)]


def test_a_steady_replica_is_counted_to_the_request_with_the_whole_slot_covered() -> None:
    requests = [(T0 + 0.7 * i, i % 10 != 0) for i in range(1, 400)]
    world = World({"a": old(requests)}, {"a": every(T0 - 60, T0 + 360)})
    (slot,) = count(world, T0)
    seen = [good for at, good in requests if at <= T0 + SLOT]
    assert (slot.good, slot.total, slot.covered_seconds, slot.source) == (sum(seen), len(seen), 300.0, "per_request")


def test_an_idle_slot_is_zero_of_zero_and_covered() -> None:
    # Sloth's 30 day ratio is NaN for 30 days after one idle hour.
    (slot,) = count(World({"a": old([])}, {"a": every(T0 - 60, T0 + 360)}), T0)
    assert (slot.good, slot.total, slot.covered_seconds) == (0, 0, 300.0)


def test_a_new_pod_with_immediate_errors_is_counted_from_birth() -> None:
    # increase() = 0: a series born with the value 7 shows no growth to Prometheus' functions.
    world = World({"a": [Process(T0 + 100, [(T0 + 101, False)] * 7)]}, {"a": every(T0 + 105, T0 + 360)})
    (slot,) = count(world, T0)
    assert (slot.good, slot.total, slot.covered_seconds) == (0, 7, 200.0)


def test_an_old_replica_seen_for_the_first_time_only_sets_the_baseline() -> None:
    requests = [(T0 - 5000, True)] * 1000 + [(T0 + 120, True)]
    world = World({"a": old(requests)}, {"a": every(T0 + 100, T0 + 360)})
    (slot,) = count(world, T0)
    assert (slot.total, slot.covered_seconds) == (1, 200.0)


def test_a_restart_counts_the_new_process_in_full_and_does_not_cover_what_died_with_the_old_one() -> None:
    first = Process(T0 - 86400, [(T0 - 100, True)] * 50 + [(T0 + 95, True)] * 3, end=T0 + 97)
    second = Process(T0 + 140, [(T0 + 145, True)] * 60)
    world = World({"a": [first, second]}, {"a": every(T0 - 60, T0 + 360)})
    (slot,) = count(world, T0)
    # The three requests after the last scrape at T0 + 90 died uncounted; their 50 seconds until the new start are unknown.
    assert (slot.good, slot.total, slot.covered_seconds) == (60, 60, 250.0)


def test_a_counter_that_falls_without_a_new_start_time_counts_its_new_value() -> None:
    labels = {"replica": "a", "model": "m", "instance": "n"}
    watch = Series(metrics.REPLICA_START.name, labels, [(T0 + 15 * i, 5.0) for i in range(-1, 22)])
    values = [100.0 if i < 5 else 4.0 for i in range(-1, 22)]
    good = {**labels, "objective": "fast", "outcome": "good"}
    series = [
        watch,
        Series(metrics.OBJECTIVE_REQUESTS.name, good, [(T0 + 15 * (i - 1), v) for i, v in enumerate(values)]),
    ]
    (slot,) = Observed(series, [int(T0)]).count(WAYS)
    assert slot.total == 4


@pytest.mark.parametrize(
    ("began", "hidden", "total"),
    [
        (-86400.0, 4, 3),  # withheld for a minute: what was shown before is not counted again
        (-86400.0, 100, 0),  # for as long as anybody looks back: no more is known than where it stands
        (90.0, 100, 53),  # of an engine that has just begun all of it is new
    ],
)
def test_a_derived_counter_that_was_withheld_is_not_counted_twice(began: float, hidden: int, total: int) -> None:
    labels = {"replica": "a", "model": "m", "instance": "n"}
    times = every(T0 - 285, T0 + 600)
    watch = Series(metrics.REPLICA_START.name, labels, [(at, T0 + began) for at in times if at >= T0 + began])
    values = [(at, 50.0 if at <= T0 + 60 else 53.0) for at in times if at >= T0 + began]
    shown = [(at, v) for at, v in values if not T0 + 105 - 15 * hidden < at <= T0 + 105]
    for name, more in ((metrics.ABANDONED.name, {"stage": "queued"}), (metrics.REJECTED.name, {"reason": "5xx"})):
        objective = load(AVAILABILITY).objectives[0]
        series = [watch, Series(name, labels | more, shown), *born(labels, times)]
        slot = Observed(series, [int(T0)]).count(countings(objective, SPEC.pool("pool")))[0]
        assert (slot.total - slot.good) == total


def born(labels: dict[str, str], times: list[float]) -> list[Series]:
    """An engine's own count of finished requests, with none."""
    return [Series(metrics.FINISHED.name, {**labels, "reason": "stop"}, [(at, 0.0) for at in times])]


AVAILABILITY = SPEC_TEXT.replace("{time_to_first_token: 600ms}", "availability")


@pytest.mark.parametrize(("gap", "total", "covered"), [(MAX_GAP, 5, 300.0), (MAX_GAP + 1, 0, 0.0)])
def test_a_gap_is_bridged_up_to_its_limit_and_unknown_beyond(gap: float, total: int, covered: float) -> None:
    world = World({"a": old([(T0 + 10, True)] * 5)}, {"a": [T0 - 1, T0 - 1 + gap, T0 + SLOT + 20]})
    slot = count(world, T0)[0]
    assert (slot.total, slot.covered_seconds) == (total, covered if gap <= MAX_GAP else pytest.approx(0.0, abs=20))


def test_half_the_replicas_unwatched_is_half_covered() -> None:
    lives = {"a": old([]), "b": old([])}
    world = World(lives, {"a": every(T0 - 60, T0 + 360), "b": [*every(T0 - 60, T0 + 150), *every(T0 + 500, T0 + 590)]})
    # b is silent for 350 s, longer than a gap may be: it is no longer known, so a alone is the pool.
    assert count(world, T0)[0].covered_seconds == 300.0
    blind = World({"a": lives["a"]}, {"a": every(T0 - 60, T0 + 360)})
    series = blind.all_series()
    other = {"replica": "b", "model": "m", "instance": "n"}
    series.append(Series(metrics.REPLICA_START.name, other, [(at, T0 - 86400) for at in every(T0 - 60, T0 + 360)]))
    assert Observed(series, [int(T0)]).count(WAYS)[0].covered_seconds == 150.0


def test_a_slot_with_simulated_requests_is_labelled_for_good() -> None:
    world = World({"a": old([(T0 + 5, True)] * 3)}, {"a": every(T0 - 60, T0 + 360)})
    info = {"replica": "a", "model": "m", "instance": "node:9800", "simulated": "true", "version": "0.32.0"}
    series = [*world.all_series(), Series(metrics.REPLICA_INFO.name, info, [(T0 + 5, 1.0)])]
    (slot,) = Observed(series, [int(T0)]).count(WAYS)
    assert (slot.total, slot.source) == (3, "per_request+simulated")


@pytest.mark.parametrize(("later", "more"), [(0.01, 0), (0.0, 1)], ids=["other start", "other counts"])
def test_two_nodes_that_call_their_engine_alike_are_two_replicas(later: float, more: int) -> None:
    times, name = every(T0 - 60, T0 + 360), "127.0.0.1:8000"
    one, two = (
        World({name: old([(T0 + 5, True)] * number, T0 - 86400 + start)}, {name: times}).all_series()
        for number, start in ((3, 0.0), (3 + more, later))
    )
    other = [Series(name, {**labels, "instance": "other:9800"}, samples) for name, labels, samples in two]
    observed = Observed([*one, *other], [int(T0)])
    (slot,) = observed.count(WAYS)
    assert (slot.total, slot.covered_seconds) == (6 + more, 300.0)
    assert observed.problems == []


def bucket_series(le: str | None, single: float) -> list[Series]:
    labels = {"replica": "a", "model": "m", "instance": "n"}
    times = every(T0 - 60, T0 + 360)

    def grow(by: float) -> list[tuple[float, float]]:
        return [(at, by if at > T0 + 100 else 0.0) for at in times]

    found = [
        Series(metrics.REPLICA_START.name, labels, [(at, T0 - 86400) for at in times]),
        Series(metrics.TTFT.count, labels, grow(20)),
        Series(metrics.TTFT.bucket, {**labels, "le": "0.5"}, grow(12)),
        Series(metrics.TPOT.count, labels, grow(20)),
        Series(metrics.TPOT.bucket, {**labels, "le": "0.04"}, grow(15)),
        Series(metrics.GENERATION_LENGTH.bucket, {**labels, "le": "1.0"}, grow(single)),
    ]
    return [*found, Series(metrics.TTFT.bucket, {**labels, "le": le}, grow(17))] if le else found


def test_a_limit_on_a_bucket_bound_is_exact() -> None:
    series = bucket_series("0.6", 0)
    (slot,) = Observed(series, [int(T0)]).count(WAYS)
    assert (slot.good, slot.total, slot.source) == (17, 20, "exact_bucket")


def test_a_limit_off_every_bucket_bound_is_unknown_and_never_guessed() -> None:
    # Sloth: silent; Pyrra: tile 100 %, graph -9900 %; slo-generator: 0 % and a false alert.
    series = bucket_series(None, 0)
    (slot,) = Observed(series, [int(T0)]).count(WAYS)
    assert (slot.good, slot.total, slot.covered_seconds) == (0, 0, 0.0)


def test_single_token_requests_have_no_time_per_output_token() -> None:
    text = SPEC_TEXT.replace("time_to_first_token: 600ms", "time_per_output_token: 40ms")
    objective = load(text).objective("fast")
    series = bucket_series(None, 5)
    (slot,) = Observed(series, [int(T0)]).count(countings(objective, SPEC.pool("pool")))
    assert (slot.good, slot.total) == (10, 15)


def test_requests_judged_one_by_one_are_preferred_to_buckets_replica_by_replica() -> None:
    evaluated = World(
        {"b": old([(T0 + 5, True)] * 4 + [(T0 + 6, False)])}, {"b": every(T0 - 60, T0 + 360)}
    ).all_series()
    series = bucket_series("0.6", 0) + evaluated
    (slot,) = Observed(series, [int(T0)]).count(WAYS)
    assert (slot.good, slot.total, slot.source) == (17 + 4, 20 + 5, "exact_bucket+per_request")


# Processes of one replica begin more than a second apart, or they could not be told from one.
restart_times = st.integers(0, 180).map(lambda i: T0 + 0.5 + 10 * i)
times = st.floats(0, 1800, allow_nan=False).map(lambda x: T0 + round(x, 2))


def processes(requests: list[tuple[float, bool]], restarts: list[float]) -> list[Process]:
    """One replica's lives: an old process, then one from each restart, each with the requests of its time."""
    births = [T0 - 86400, *sorted(restarts)]
    return [
        Process(start, [(at, good) for at, good in requests if start < at < end], end)
        for start, end in zip(births, [*births[1:], float("inf")], strict=True)
    ]


@given(
    requests=st.lists(st.tuples(times, st.booleans()), max_size=60),
    scrapes=st.lists(times, min_size=2, max_size=80, unique=True),
    restarts=st.lists(restart_times, max_size=3, unique=True),
)
def test_what_is_booked_is_what_was_seen_whatever_happens(
    requests: list[tuple[float, bool]], scrapes: list[float], restarts: list[float]
) -> None:
    lives = processes(requests, restarts)
    world = World({"a": lives}, {"a": sorted(scrapes)})
    expected: dict[int, list[int]] = {}
    covered: dict[int, float] = {}
    pages = world.pages()
    for index, (at, _, start, _) in enumerate(pages):
        before = pages[index - 1][0] if index else None
        bridged = before is not None and at - before <= MAX_GAP
        born = at - start <= MAX_GAP
        since = max(start, before) if before is not None and bridged else start if born else None
        if since is None:
            continue
        life = next(life for life in lives if life.start == start)
        known_before = before if before is not None and bridged and before >= start else start
        fresh = [good for when, good in life.requests if known_before < when <= at]
        sums = expected.setdefault(slot_of(at), [0, 0])
        sums[0], sums[1] = sums[0] + sum(fresh), sums[1] + len(fresh)
        for slot in range(slot_of(since), slot_of(at) + SLOT, SLOT):
            covered[slot] = covered.get(slot, 0) + max(0.0, min(at, slot + SLOT) - max(since, slot))
    for slot in range(int(T0) - SLOT, int(T0) + 2100, SLOT):
        (found,) = count(world, slot)
        assert [found.good, found.total] == expected.get(slot, [0, 0])
        assert found.covered_seconds == pytest.approx(covered.get(slot, 0.0), abs=0.01)
        assert 0 <= found.good <= found.total
        assert found.covered_seconds <= SLOT


@given(
    requests=st.lists(st.tuples(times, st.booleans()), max_size=40),
    scrapes=st.lists(times, min_size=2, max_size=60, unique=True),
    restarts=st.lists(restart_times, max_size=3, unique=True),
)
def test_slots_counted_alone_or_together_are_the_same(
    requests: list[tuple[float, bool]], scrapes: list[float], restarts: list[float]
) -> None:
    lives = processes(requests, restarts)
    world = World({"a": lives}, {"a": sorted(scrapes)})
    slots = list(range(int(T0) - SLOT, int(T0) + 2100, SLOT))
    assert count(world, *slots) == [count(world, slot)[0] for slot in slots]
