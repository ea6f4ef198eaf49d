"""A pool that serves with two versions: found by what replicas report, and judged by requests whose version and latency are known."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from plimsoll.slo import metrics as c
from plimsoll.slo.calendar import DAY
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.rollouts import RolloutWatch
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import load
from recorded import Recorded
from versions_world import END, T0, UPGRADE, engine, requests
from world import SPEC_TEXT

SPEC = load(SPEC_TEXT)
POOL, FAST = SPEC.pools[0], [one for one in SPEC.objectives if one.id == "fast"]
OLD, WORSE, SAME = requests(1, 0.02), requests(2, 0.12), requests(3, 0.02)


def world(served: list[tuple[float, float]], begin: float = UPGRADE, end: float = 9e12) -> list[Series]:
    """The old version all the time, and a new one for a part of it."""
    return [*engine("a", "1", OLD, T0 - 9e4, 9e12), *engine("b", "2", served, begin, end)]


def looked(series: Sequence[Series], times: Sequence[float]) -> RolloutWatch:
    """A watch that looked at each of these times."""
    watch = RolloutWatch(POOL)
    for at in times:
        watch.look(Recorded([item for item in series]), FAST, at)
    return watch


def every(minutes: int, since: float = UPGRADE, until: float = END) -> list[float]:
    return [float(at) for at in range(int(since), int(until) + 1, minutes * 60)]


def test_a_worse_version_is_told_and_reading_it_each_minute_counts_as_reading_it_once() -> None:
    often, once = looked(world(WORSE), every(1)), looked(world(WORSE), [every(1)[-1]])
    assert often.current is not None
    rollout, judged = often.current.rollout, often.current.judged
    assert (rollout.baseline, rollout.candidate, rollout.since) == ("1", "2", UPGRADE)
    assert once.current == often.current
    (one,) = judged
    assert one.found is not None and one.found.verdict == "worse" and one.found.low > 0
    assert one.candidate[0] / one.candidate[1] - one.baseline[0] / one.baseline[1] > 0.05


def test_a_version_that_is_as_good_is_not_told_to_be_worse() -> None:
    found = looked(world(SAME), every(5)).current
    assert found is not None
    (one,) = found.judged
    assert one.found is not None and one.found.verdict != "worse"


def test_one_version_is_no_rollout_nor_one_whose_replicas_have_left() -> None:
    alone = [item for item in world(WORSE) if item.labels["replica"] == "a"]
    assert looked(alone, every(10)).current is None
    left = UPGRADE + 1800
    assert looked(world(WORSE, end=left), every(5, until=left)).current is not None
    assert looked(world(WORSE, end=left), every(5)).current is None


def test_two_versions_that_have_served_together_for_a_day_are_no_rollout() -> None:
    def series(since: float) -> list[Series]:
        labels = {"replica": "b", "model": "m", "version": "2", "instance": "b:9800"}
        times = [float(at) for at in range(int(since), int(END), 60)]
        old = {**labels, "replica": "a", "version": "1", "instance": "a:9800"}
        return [
            Series(c.REPLICA_INFO.name, labels, [(at, 1.0) for at in times]),
            Series(c.REPLICA_INFO.name, old, [(float(at), 1.0) for at in range(int(END - 2 * DAY), int(END), 60)]),
        ]

    assert looked(series(END - DAY - 3600), [END]).current is None
    found = looked(series(END - DAY + 3600), [END]).current
    assert found is not None and found.rollout.candidate == "2"


@pytest.mark.parametrize(("served", "verdict"), [(WORSE, "worse"), (SAME, "undecided")], ids=["worse", "same"])
def test_api_metrics_and_page_show_the_verdict(served: list[tuple[float, float]], verdict: str, tmp_path: Path) -> None:
    service = Service(SPEC, Recorded(world(served)), Ledger(open_database(f"sqlite:///{tmp_path}/l.db")), lambda: END)
    client = TestClient(create_app(service))
    assert client.get("/api/v1/pools/pool/rollout").json() == {"pool": "pool", "announced": None, "rollout": None}
    service.watch_rollouts()
    found = client.get("/api/v1/pools/pool/rollout").json()["rollout"]
    assert (found["baseline"], found["candidate"]) == ("1", "2")
    one = next(slo for slo in found["slos"] if slo["id"] == "fast")
    assert one["verdict"] == verdict
    assert one["ci_lower"] < one["bad_ratio_difference"] < one["ci_upper"]
    page = client.get("/metrics").text
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    verdicts = {
        sample.labels["verdict"]: sample.value
        for sample in samples
        if sample.name == c.ROLLOUT_VERDICT.name and sample.labels["objective"] == "fast"
    }
    assert verdicts == {name: float(name == verdict) for name in ("worse", "not_worse", "undecided")}
    assert one["summary"].split(".")[0] in client.get("/pools/pool").text
    service.ledger.engine.dispose()
