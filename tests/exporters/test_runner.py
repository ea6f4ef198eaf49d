"""Collectors side by side: what fails, hangs or dies costs its own points and nothing else."""

import logging
import threading
import time
from collections.abc import Callable, Iterable

import pytest

from plimsoll.exporters.collector import CollectorError, Point
from plimsoll.exporters.deadline import SingleFlight
from plimsoll.exporters.runner import Runner
from plimsoll.slo import metrics
from stack import wait_for

UP, DOWN = Point(metrics.GPU_UP, {"uuid": "a"}, 1), Point(metrics.GPU_UP, {"uuid": "a"}, 0)


class Told:
    """A collector that does what the test tells it."""

    fallback = (DOWN,)

    def __init__(self, name: str, act: Callable[[], Iterable[Point]] = lambda: [UP]) -> None:
        self.name = name
        self.act = act
        self.runs = 0

    def collect(self, _deadline: float) -> Iterable[Point]:
        self.runs += 1
        return self.act()


def fail(error: BaseException) -> Callable[[], Iterable[Point]]:
    def act() -> Iterable[Point]:
        raise error

    return act


def scrape(runner: Runner, time_limit: float = 5.0) -> list[Point]:
    return runner.collect(time.monotonic() + time_limit)


def own(points: list[Point], metric: metrics.Metric) -> dict[str, float]:
    return {point.labels["collector"]: point.value for point in points if point.metric is metric}


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_collector_that_answers_shows_its_points_and_its_success() -> None:
    points = scrape(Runner([Told("one")]))
    assert UP in points
    assert DOWN not in points
    assert own(points, metrics.COLLECTOR_SUCCESS) == {"one": 1}
    assert 0 <= own(points, metrics.COLLECTOR_DURATION)["one"] < 5
    assert 0 <= own(points, metrics.COLLECTOR_AGE)["one"] < 5


@pytest.mark.parametrize("error", [CollectorError("gone"), KeyError("bug"), SystemExit(3)])
def test_a_collector_that_raises_anything_shows_its_fallback_and_the_others_go_on(error: BaseException) -> None:
    points = scrape(Runner([Told("bad", fail(error)), Told("good")]))
    assert points.count(UP) == 1
    assert points.count(DOWN) == 1
    assert own(points, metrics.COLLECTOR_SUCCESS) == {"bad": 0, "good": 1}


def test_a_generator_that_fails_half_way_shows_none_of_its_points() -> None:
    def half() -> Iterable[Point]:
        yield UP
        raise CollectorError("torn")

    points = scrape(Runner([Told("half", half)]))
    assert UP not in points
    assert DOWN in points


def test_age_is_absent_before_the_first_answer_and_grows_while_it_fails() -> None:
    collector = Told("one", fail(CollectorError("not yet")))
    runner = Runner([collector])
    assert own(scrape(runner), metrics.COLLECTOR_AGE) == {}
    collector.act = lambda: [UP]
    young = own(scrape(runner), metrics.COLLECTOR_AGE)["one"]
    collector.act = fail(CollectorError("again"))
    assert own(scrape(runner), metrics.COLLECTOR_AGE)["one"] > young


def test_a_wedged_collector_is_waited_for_once_and_comes_back_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    release = threading.Event()
    wedged = Told("wedged", lambda: [UP] if release.wait(60) else [])
    runner = Runner([wedged, Told("good")])

    first = scrape(runner, time_limit=0.2)
    assert own(first, metrics.COLLECTOR_SUCCESS) == {"wedged": 0, "good": 1}
    assert own(first, metrics.COLLECTOR_DURATION)["wedged"] >= 0.2

    # With an hour's patience this would run into the test's timeout if the scrape waited for the wedged one again.
    second = scrape(runner, time_limit=3600)
    assert own(second, metrics.COLLECTOR_SUCCESS) == {"wedged": 0, "good": 1}
    assert wedged.runs == 1
    assert sum("no response by the scrape's deadline" in line for line in lines(caplog)) == 1

    release.set()
    wait_for(lambda: own(scrape(runner), metrics.COLLECTOR_SUCCESS)["wedged"] == 1, "the collector to come back")
    assert "collector wedged: recovered" in lines(caplog)


def test_calls_at_the_same_time_share_one_run() -> None:
    release, runs = threading.Event(), []

    def work(deadline: float) -> int:
        runs.append(deadline)
        release.wait(60)
        return len(runs)

    single, deadline = SingleFlight("work", work), time.monotonic() + 30
    first, second = single.join(deadline), single.join(deadline)
    release.set()
    assert (first.result(deadline), second.result(deadline)) == (1, 1)
    assert single.join(deadline).result(deadline) == 2


def test_an_impatient_scrape_neither_disturbs_nor_repeats_the_run_of_a_patient_one() -> None:
    begun, release = threading.Event(), threading.Event()

    def act() -> Iterable[Point]:
        begun.set()
        release.wait(60)
        return [UP]

    collector = Told("slow", act)
    runner = Runner([collector])
    answers: list[list[Point]] = []
    patient = threading.Thread(target=lambda: answers.append(scrape(runner, time_limit=60)))
    patient.start()
    assert begun.wait(10)
    assert own(scrape(runner, time_limit=0.1), metrics.COLLECTOR_SUCCESS) == {"slow": 0}
    release.set()
    patient.join(30)
    assert UP in answers[0]
    assert collector.runs == 1


def test_collectors_run_side_by_side() -> None:
    meeting = threading.Barrier(2)

    def act() -> Iterable[Point]:
        meeting.wait(5)  # breaks unless both are here at the same time
        return [UP]

    assert own(scrape(Runner([Told("a", act), Told("b", act)])), metrics.COLLECTOR_SUCCESS) == {"a": 1, "b": 1}


def test_a_failure_is_logged_once_per_message_in_one_line_and_its_recovery_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    collector = Told("one", fail(CollectorError("first\n  line and second")))
    runner = Runner([collector])
    scrape(runner)
    scrape(runner)
    assert lines(caplog) == ["collector one: first line and second"]
    collector.act = fail(CollectorError("another"))
    scrape(runner)
    collector.act = lambda: [UP]
    scrape(runner)
    scrape(runner)
    assert lines(caplog)[1:] == ["collector one: another", "collector one: recovered"]
    collector.act = fail(CollectorError("another"))
    scrape(runner)
    assert lines(caplog)[3:] == ["collector one: another"]


def test_messages_that_never_repeat_do_not_flood_the_log(caplog: pytest.LogCaptureFixture) -> None:
    collector = Told("one")
    runner = Runner([collector])
    for number in range(200):
        collector.act = fail(CollectorError(f"broken at byte {number}"))
        scrape(runner)
    assert 1 < len(lines(caplog)) <= 20


def test_an_unforeseen_error_is_named_by_its_type(caplog: pytest.LogCaptureFixture) -> None:
    scrape(Runner([Told("one", fail(KeyError("le")))]))
    assert lines(caplog) == ["collector one: KeyError: 'le'"]


def test_a_system_out_of_threads_costs_the_collectors_and_not_the_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    runner = Runner([Told("one")])
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert own(scrape(runner), metrics.COLLECTOR_SUCCESS) == {"one": 0}
    assert own(scrape(runner), metrics.COLLECTOR_SUCCESS) == {"one": 1}
