"""One replica that is read more than once counts once; replicas that merely share a name count each."""

import pytest
from msgspec.structs import replace

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.capacity.model import signals
from plimsoll.slo.metrics import REPLICA_START, REQUESTS_WAITING
from plimsoll.slo.sli.duplicates import counted_once
from plimsoll.slo.sli.evidence import countings
from plimsoll.slo.sli.increments import OWN_LABELS, SKEW
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.sources import Series
from plimsoll.slo.usage.slots import count_pool
from pool_slots import BUSY, SLOTS
from pool_world import SPEC as POOL_SPEC
from sample_list import sample_list
from world import MODEL, Process, World, spec

SPEC = spec()
WAYS = countings(SPEC.objective("fast"), SPEC.pool("pool"))
T0 = 1_700_000_100.0
REQUESTS = [(T0 - 600 + 0.9 * i, i % 9 != 0) for i in range(2000)]
SAME_TARGET = {
    "two jobs": {"job": "servicemonitor"},
    "an HA pair": {"prometheus_replica": "b"},
    "federation": {"job": "federate", "instance": "prometheus:9090", "exported_instance": "node:9800"},
}


def every(start: float, end: float, step: float = 15.0) -> list[float]:
    return [start + step * i for i in range(int((end - start) / step) + 1)]


def view(times: list[float], requests: list[tuple[float, bool]] = REQUESTS, **target: str) -> list[Series]:
    found = World({"a": [Process(T0 - 86400, requests)]}, {"a": times}).all_series()
    return [Series(name, {**labels, **target}, samples) for name, labels, samples in found]


ONE = view(every(T0 - 315, T0 + 630), job="podmonitor")


def total(series: list[Series]) -> list[tuple[int, int, float]]:
    slots = [int(T0), int(T0) + SLOT]
    return [(one.good, one.total, one.covered_seconds) for one in Observed(series, slots).count(WAYS)]


def test_no_metric_of_ours_has_a_label_that_prometheus_gives_to_a_target() -> None:
    # Two targets would look like one: their samples would run together, and count twice.
    assert {"job", "instance", "prometheus_replica", "cluster", "region", "node"}.isdisjoint(OWN_LABELS)


@pytest.mark.parametrize("target", SAME_TARGET.values(), ids=SAME_TARGET)
@pytest.mark.parametrize("later", [0.0, 7.0, 14.9])
def test_a_replica_that_is_read_twice_counts_once_whenever_it_is_read(target: dict[str, str], later: float) -> None:
    other = view(every(T0 - 315 + later, T0 + 630), REQUESTS, **target)
    for both in (ONE + other, other + ONE):
        observed = Observed(both, [int(T0), int(T0) + SLOT])
        counted = [(one.good, one.total, one.covered_seconds) for one in observed.count(WAYS)]
        assert counted in (total(ONE), total(other))
        assert [(one.code, one.slot) for one in observed.problems] == [("duplicate_target", None)]
        assert len(observed.fleet) == 1


def test_clocks_of_two_servers_that_differ_by_less_than_the_skew_are_no_restart() -> None:
    times = every(T0 - 315, T0 + 630)
    ahead = [
        Series(name, labels, [(at + SKEW / 2, value) for at, value in samples])
        for name, labels, samples in view(times, prometheus_replica="b")
    ]
    assert total(ONE + ahead) in (total(ONE), total(ahead))


def test_what_is_known_grows_when_another_view_begins_to_count() -> None:
    """The view of fewer scrapes is first by its labels, and counts once it has as many metrics."""
    dense = view(every(T0 - 315, T0 + 60), job="podmonitor")
    early, late = (view([T0 - 130, T0 - 120, T0 - 5, *more], job="a") for more in ([], [T0 + 5]))
    few = [item for item in early if item.name == REPLICA_START.name]
    before, after = (Observed(dense + other, SLOTS) for other in (few, late))
    scrapes = [[slot.scrapes for slot in one.count(WAYS)] for one in (before, after)]
    assert [more - some for some, more in zip(*scrapes, strict=True)][:2] == [1, 1]


def test_one_view_fills_the_gaps_of_the_other() -> None:
    holed = view([at for at in every(T0 - 315, T0 + 630) if not T0 + 20 < at < T0 + 460], job="a")
    other = view([at for at in every(T0 - 315, T0 + 630) if not T0 + 500 < at < T0 + 930], job="b")
    assert sum(seconds for *_, seconds in total(holed)) < 2 * SLOT
    assert [seconds for *_, seconds in total(holed + other)] == [300.0, 300.0]
    served = [good for at, good in REQUESTS if T0 < at <= T0 + 600]
    assert [sum(n) for n in zip(*total(holed + other), strict=True)][:2] == [sum(served), len(served)]


@pytest.mark.parametrize("name", ["a", "z"])  # its labels come before or after those of the other
@pytest.mark.parametrize("last", [T0 + 150, T0 + 180, T0 + 630])
def test_a_job_that_comes_and_goes_takes_nothing_from_the_other(name: str, last: float) -> None:
    always = view(every(T0 - 315, last), job="podmonitor")
    brief = view(every(T0 + 96, T0 + 141), job=name)
    assert total(always + brief) == total(always)


@pytest.mark.parametrize("odd", [T0 - 86400, -5.0, 2.0**53])
@pytest.mark.parametrize("name", ["a", "z"])
def test_a_restart_is_one_replicas_also_where_another_job_read_only_the_new_process(name: str, odd: float) -> None:
    lives = {"a": [Process(T0 - 86400, REQUESTS, end=T0 + 90), Process(T0 + 120.25, [(T0 + 130, True)])]}
    lives["b"] = [Process(T0 - 86400, REQUESTS)]
    jobs = {
        job: [
            Series(item.name, {**item.labels, "job": job}, item.samples)
            for item in World(lives, dict.fromkeys(lives, times)).all_series()
        ]
        for job, times in (("podmonitor", every(T0 - 315, T0 + 630)), (name, every(T0 + 125, T0 + 200)))
    }
    start = next(item for item in jobs["podmonitor"] if item.name == REPLICA_START.name)
    sample_list(start)[5] = (start.samples[5][0], odd)
    (good, requests, seconds), _ = total(jobs["podmonitor"] + jobs[name])
    one = total(jobs["podmonitor"])[0]
    assert (good, requests) == one[:2]
    assert one[2] == 300 - 45.25 / 2  # the old process was last read at 75 s, and the new one began at 120.25 s
    assert seconds == one[2]


@pytest.mark.parametrize("behind", [-SKEW / 2, SKEW / 2])
def test_beyond_the_first_view_a_clock_that_differs_is_no_restart(behind: float) -> None:
    gone = view(every(T0 - 315, T0 + 300), job="a")
    other = [
        Series(name, labels, [(at + behind, value) for at, value in samples])
        for name, labels, samples in view(every(T0 - 315, T0 + 630), job="b")
    ]
    served = [good for at, good in REQUESTS if T0 - 15 < at <= T0 + 630]
    assert 600 < sum(requests for _, requests, _ in total(gone + other)) <= len(served)


def test_a_view_with_fewer_metrics_is_ignored_though_it_comes_first() -> None:
    partial = [item for item in view(every(T0 - 315, T0 + 630), job="a") if item.name == REPLICA_START.name]
    assert total(partial + ONE) == total(ONE)


def test_an_odd_sample_in_one_view_does_not_make_it_another_replica() -> None:
    odd = view(every(T0 - 315, T0 + 630), job="z")
    at, _ = odd[1].samples[20]
    sample_list(odd[1])[20] = (at, 1e300)
    assert total(ONE + odd) == total(ONE)


@pytest.mark.parametrize("behind", [SKEW - 1, SKEW + 30])
def test_replicas_that_share_name_and_start_are_two_once_their_counters_contradict(behind: float) -> None:
    """The same load later: within the skew of clocks it may be one replica, beyond it can't."""
    late = view(every(T0 - 315, T0 + 630), [(at + behind, good) for at, good in REQUESTS], node="other")
    assert len(counted_once(ONE + late).duplicates) == (behind < SKEW)


def test_a_pools_usage_counts_each_replica_and_its_gpus_once() -> None:
    series = BUSY.series()
    both = series + [Series(name, {**labels, "job": "b"}, samples) for name, labels, samples in series]
    pool = POOL_SPEC.pool("pool")
    twice, once = (
        [replace(row, scrapes=0) for row in count_pool(Observed(some, SLOTS), pool, some)] for some in (both, series)
    )
    assert twice == once
    assert count_pool(Observed(series, SLOTS), pool, series)[0].energy_joules


def test_signals_of_a_replica_that_is_read_twice_are_those_of_one() -> None:
    labels = {"replica": "a", "model": MODEL, "engine": "vllm", "rank": "0"}
    times = every(T0 - 315, T0)
    one = [
        Series(
            REPLICA_START.name,
            {"replica": "a", "model": MODEL, "engine": "vllm", "job": "a"},
            [(at, 5.0) for at in times],
        ),
        Series(REQUESTS_WAITING.name, {**labels, "job": "a"}, [(at, 7.0) for at in times]),
    ]
    two = [Series(name, {**found, "job": "b"}, samples) for name, found, samples in one]
    assert signals.read(one + two, T0) == signals.read(one, T0)
    other = [
        Series(name, {**found, "job": "b"}, [(at, v + (name == REPLICA_START.name)) for at, v in samples])
        for name, found, samples in one
    ]
    assert len(signals.read(one + other, T0)) == 2
    assert REPLICA_START.name in {selector.name for selector in signals.selectors(SPEC.pool("pool"))}


def test_replicas_of_one_name_whose_start_is_unknown_are_not_one() -> None:
    def unknown(instance: str) -> list[Series]:
        return [
            Series(name, labels, [(at, 0.0) for at, _ in samples] if name == REPLICA_START.name else samples)
            for name, labels, samples in view(every(T0 - 315, T0 + 630), instance=instance)
        ]

    one, other = unknown(instance="node-a:9800"), unknown(instance="node-b:9800")
    assert counted_once(one + other).duplicates == []
    assert [requests for _, requests, _ in total(one + other)] == [2 * requests for _, requests, _ in total(one)]
