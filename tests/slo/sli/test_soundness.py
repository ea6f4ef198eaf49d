"""One impossible number costs what is counted from it, is named, and nothing else."""

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.slo import metrics
from plimsoll.slo.calendar import SLOT
from plimsoll.slo.sli.evidence import countings
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.sli.soundness import AHEAD, FASTEST, MOST, MOST_RATIO, odd_samples
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import load
from plimsoll.slo.usage.slots import count_pool
from pool_slots import BUSY, SLOTS
from pool_world import SPEC as POOL_SPEC
from sample_list import sample_list
from world import SPEC_TEXT, Process, World, spec

SPEC = spec()
POOL = SPEC.pool("pool")
WAYS = countings(SPEC.objective("fast"), POOL)
T0 = 1_700_000_100.0
REQUESTS = [(T0 - 600 + 0.9 * i, i % 9 != 0) for i in range(2000)]
TIMES = [T0 - 315 + 15 * i for i in range(64)]
ODD = (1e300, inf, -inf, nan, -1.0, 17.5, MOST + 2)
TWO = [int(T0), int(T0) + SLOT]


def fleet(*names: str) -> list[Series]:
    lives = {name: [Process(T0 - 86400, REQUESTS)] for name in names}
    return World(lives, dict.fromkeys(names, TIMES)).all_series()


def spoiled(series: list[Series], name: str, times: set[float], value: float, **labels: str) -> list[Series]:
    """The same, with another value at some times of the series with these labels."""

    def one(item: Series) -> Series:
        if item.name != name or any(item.labels.get(label) != wanted for label, wanted in labels.items()):
            return item
        return Series(item.name, item.labels, [(at, value if at in times else v) for at, v in item.samples])

    return [one(item) for item in series]


@pytest.mark.parametrize("value", ODD, ids=str)
@pytest.mark.parametrize("outcome", ["good", "bad"])
def test_one_odd_sample_costs_a_scrape_that_the_next_one_makes_up_for(value: float, outcome: str) -> None:
    series = spoiled(fleet("a", "b"), metrics.OBJECTIVE_REQUESTS.name, {T0 + 105}, value, replica="a", outcome=outcome)
    observed = Observed(series, TWO)
    truth = Observed(fleet("a", "b"), TWO).count(WAYS)
    for found, expected in zip(observed.count(WAYS), truth, strict=True):
        assert (found.good, found.total, found.covered_seconds) == (expected.good, expected.total, 300.0)
    (problem,) = observed.problems
    assert (problem.code, problem.slot) == ("odd_sample", int(T0))
    assert "replica=a" in problem.where


@pytest.mark.parametrize("value", ODD, ids=str)
def test_a_series_of_odd_samples_alone_leaves_its_replica_unknown_and_the_others_counted(value: float) -> None:
    series = spoiled(fleet("a", "b"), metrics.OBJECTIVE_REQUESTS.name, set(TIMES), value, replica="a", outcome="bad")
    alone = Observed(fleet("b"), TWO).count(WAYS)
    for found, expected in zip(Observed(series, TWO).count(WAYS), alone, strict=True):
        assert (found.good, found.total) == (expected.good, expected.total)
        assert found.covered_seconds == 150.0


@pytest.mark.parametrize("value", [inf, nan, -1.0])
def test_an_odd_start_time_costs_that_scrape(value: float) -> None:
    series = spoiled(fleet("a"), metrics.REPLICA_START.name, {T0 + 105}, value)
    observed = Observed(series, TWO)
    assert [one.total for one in observed.count(WAYS)] == [one.total for one in Observed(fleet("a"), TWO).count(WAYS)]
    assert [one.code for one in observed.problems] == ["odd_sample"]


def test_the_bounds_of_a_plausible_sample() -> None:
    def odd(name: str, *samples: tuple[float, float]) -> list[float]:
        return list(odd_samples(Series(name, {}, list(samples))))

    counter, ratio = metrics.FINISHED.name, metrics.KV_CACHE_USAGE.name
    assert odd(counter, (15.0, MOST)) == []
    assert odd(metrics.REPLICA_START.name, (15.0, 15.0 + AHEAD)) == []
    assert odd(metrics.REPLICA_START.name, (15.0, 16.0 + AHEAD)) == [15.0]
    assert odd(counter, (15.0, MOST + 2)) == [15.0]
    assert odd(counter, (0.0, 5.0), (15.0, 5.0 + 15 * FASTEST)) == []
    assert odd(counter, (0.0, 5.0), (15.0, 6.0 + 15 * FASTEST), (30.0, 7.0)) == [15.0]
    assert odd(counter, (0.0, 5.0), (15.0, 0.0)) == []  # a restart
    assert odd(metrics.GPU_ENERGY.name, (0.0, 5.5)) == []
    assert (odd(ratio, (0.0, MOST_RATIO)), odd(ratio, (0.0, MOST_RATIO + 0.01))) == ([], [0.0])
    assert odd(metrics.REQUESTS_WAITING.name, (0.0, 2.0), (1.0, nan)) == [1.0]


@pytest.mark.parametrize("value", [1e300, nan])
def test_an_odd_sample_of_a_pools_series_costs_its_field_in_its_slot(value: float) -> None:
    series = BUSY.series()
    at = SLOTS[1] + 120.0
    times = {one for item in series for one, _ in item.samples if abs(one - at) < 10}
    bad = spoiled(series, metrics.PROMPT_TOKENS.name, times, value, replica="a")
    pool = POOL_SPEC.pool("pool")
    truth, found = (count_pool(Observed(some, SLOTS), pool) for some in (series, bad))
    for before, after in zip(truth, found, strict=True):
        assert after.input_tokens == (None if after.slot == SLOTS[1] else before.input_tokens)
        assert (after.output_tokens, after.finished, after.replicas) == (
            before.output_tokens,
            before.finished,
            before.replicas,
        )


LATENCY = load(SPEC_TEXT.replace("target: 95%", "target: 95%, bucket_mismatch: bounds"))
BY_HISTOGRAM = countings(LATENCY.objective("fast"), POOL)


def histogram(replica: str) -> list[Series]:
    """Of 10 requests per scrape 9 are within the limit."""
    labels = {"replica": replica, "model": "m", "instance": "n"}
    grown = list(enumerate(TIMES))
    return [
        Series(metrics.REPLICA_START.name, labels, [(at, T0 - 86400) for at in TIMES]),
        Series(metrics.TTFT.bucket, {**labels, "le": "0.6"}, [(at, 9.0 * i) for i, at in grown]),
        Series(metrics.TTFT.bucket, {**labels, "le": "+Inf"}, [(at, 10.0 * i) for i, at in grown]),
        Series(metrics.TTFT.count, labels, [(at, 10.0 * i) for i, at in grown]),
    ]


def test_a_histogram_whose_count_is_missing_is_unknown_and_says_why() -> None:
    series = [
        one for one in histogram("a") + histogram("b") if (one.name, one.labels["replica"]) != (metrics.TTFT.count, "a")
    ]
    observed = Observed(series, TWO)
    alone = Observed(histogram("b"), TWO).count(BY_HISTOGRAM)
    for found, expected in zip(observed.count(BY_HISTOGRAM), alone, strict=True):
        assert (found.good, found.total, found.covered_seconds) == (expected.good, expected.total, 150.0)
        assert 0 < found.good <= found.total
    assert [one.code for one in observed.problems] == ["histogram_incomplete"]


def test_a_count_that_is_missing_for_a_while_costs_nothing_once_it_is_back() -> None:
    series = [
        Series(
            one.name,
            one.labels,
            [s for s in one.samples if one.name != metrics.TTFT.count or not T0 + 50 < s[0] < T0 + 200],
        )
        for one in histogram("a")
    ]
    truth, observed = Observed(histogram("a"), TWO).count(BY_HISTOGRAM), Observed(series, TWO)
    found = observed.count(BY_HISTOGRAM)
    assert [(one.good, one.total, one.covered_seconds) for one in found] == [
        (one.good, one.total, one.covered_seconds) for one in truth
    ]
    assert [one.code for one in observed.problems] == ["histogram_incomplete"]


def test_counters_that_contradict_each_other_cost_their_replica_that_slot() -> None:
    series = histogram("a") + histogram("b")
    wrong = T0 + 105
    sample_list(series[1])[:] = [(at, value + (50 if at >= wrong else 0)) for at, value in series[1].samples]
    observed = Observed(series, TWO)
    first, second = observed.count(BY_HISTOGRAM)
    assert (first.good, first.total, first.covered_seconds) == (180, 200, 150.0)
    assert (second.good, second.total, second.covered_seconds) == (360, 400, 300.0)
    assert [(one.code, one.slot) for one in observed.problems] == [("contradictory_counts", int(T0))]


values = st.sampled_from([*ODD, 0.0, 3.0, 1e9])


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(TIMES), values), max_size=30))
def test_whatever_one_replica_says_the_other_is_counted_and_no_count_is_impossible(
    lies: list[tuple[int, float, float]],
) -> None:
    mine = histogram("a")
    for index, at, value in lies:
        mine = [
            Series(one.name, one.labels, [(t, value if t == at else v) for t, v in one.samples]) if i == index else one
            for i, one in enumerate(mine)
        ]
    alone = Observed(histogram("b"), TWO).count(BY_HISTOGRAM)
    for found, other in zip(Observed(mine + histogram("b"), TWO).count(BY_HISTOGRAM), alone, strict=True):
        assert 0 <= found.good <= found.good + found.indeterminate <= found.total
        assert found.good >= other.good
        assert found.total >= other.total
        assert 150.0 <= found.covered_seconds <= 300.0
