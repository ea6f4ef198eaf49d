"""What is wrong with data that comes in is said by API, pages, metrics and readiness; and everything else goes on being counted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import load
from service_world import NOW, T0, world
from world import SPEC_TEXT, Process, World

Opener = Callable[[str], Ledger]
OTHER = """  - name: other
    model: other
    node: {gpu: H100-80GB, gpus: 1}
    nodes: {min: 1, max: 4, warm_spares: 1}
    timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}
"""
SPEC = load(
    SPEC_TEXT.replace("objectives:\n", f"{OTHER}objectives:\n")
    + "  - {id: up, pool: pool, indicator: availability, target: 99%, window: 28d}\n"
    + "  - {id: elsewhere, pool: other, indicator: availability, target: 99%, window: 28d}\n"
)


@dataclass
class Edited:
    """A source whose answers are changed on their way."""

    inner: World
    edit: Callable[[list[Series]], list[Series]]
    name: str = "edited"

    def series(self, selectors: Sequence[Selector], start: float, end: float) -> list[Series]:
        return self.edit(self.inner.series(selectors, start, end))

    def earliest(self, since: float, now: float) -> float:
        return self.inner.earliest(since, now)


def both_jobs(series: list[Series]) -> list[Series]:
    return [Series(n, {**labels, "job": job}, list(s)) for n, labels, s in series for job in ("a", "b")]


def absurd(series: list[Series]) -> list[Series]:
    """The last sample of one series, whatever is asked for."""
    return [
        Series(n, labels, [*s[:-1], (s[-1][0], 1e300)]) if labels.get("outcome") == "bad" else Series(n, labels, s)
        for n, labels, s in series
    ]


@pytest.fixture
def ledger(tmp_path: Path, open_ledger: Opener) -> Ledger:
    return open_ledger(f"sqlite:///{tmp_path}/ledger.db")


def served(ledger: Ledger, edit: Callable[[list[Series]], list[Series]]) -> tuple[Service, TestClient]:
    service = Service(SPEC, Edited(world(), edit), ledger, clock=lambda: NOW)
    service.ingest()
    return service, TestClient(create_app(service))


def sample(client: TestClient, line: str) -> float | None:
    found = [text for text in client.get("/metrics").text.splitlines() if text.startswith(line)]
    return float(found[0].rsplit(" ", 1)[1]) if found else None


@pytest.mark.parametrize(
    ("edit", "code", "shown", "counted"),
    [
        (both_jobs, "duplicate_target", "job=a", (960, 1000)),
        (absurd, "odd_sample", "outcome=bad", (956, 996)),  # the last scrape isn't known yet
    ],
)
def test_a_problem_is_on_the_page_in_the_api_and_in_the_metrics_and_costs_nothing_else(
    ledger: Ledger, edit: Callable[[list[Series]], list[Series]], code: str, shown: str, counted: tuple[int, int]
) -> None:
    service, client = served(ledger, edit)
    slo = client.get("/api/v1/slos/fast").json()
    assert (slo["good"], slo["total"]) == counted
    assert [problem["code"] for problem in slo["data_problems"]] == [code]
    pools = {pool["name"]: pool["data_problems"] for pool in client.get("/api/v1/pools").json()["pools"]}
    assert ([problem["code"] for problem in pools["pool"]], pools["other"]) == ([code], [])
    assert client.get("/api/v1/slos/elsewhere").json()["data_problems"] == []
    for path in ("/slos/fast", "/pools/pool"):
        page = client.get(path).text
        assert f'data-code="{code}"' in page
        assert shown in page
    assert f'data-code="{code}"' not in client.get("/pools/other").text
    assert sample(client, f'plimsoll_data_problems{{code="{code}",pool="pool"}}') == 1
    assert client.get("/-/ready").status_code == 200
    assert service.recommendation("pool").recommended_nodes is None


def test_a_problem_is_over_when_it_is_over(ledger: Ledger) -> None:
    service, client = served(ledger, both_jobs)
    service.source = world()
    service.ingest()
    assert client.get("/api/v1/slos/fast").json()["data_problems"] == []


def broken(*_: object) -> object:
    raise ZeroDivisionError("division by zero")


def test_an_slo_that_cannot_be_counted_stops_no_other_and_readiness_says_so(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = Observed.count

    def raising(self: Observed, ways: Sequence[object]) -> object:
        return broken() if any(way.source == "counter" for way in ways) else count(self, ways)  # type: ignore[attr-defined, arg-type]

    monkeypatch.setattr(Observed, "count", raising)
    service, client = served(ledger, list)
    assert client.get("/api/v1/slos/fast").json()["total"] == 1000
    up = client.get("/api/v1/slos/up").json()
    assert (up["total"], up["status"], up["coverage"]) == (0, "unknown", 0.0)
    assert [problem["code"] for problem in up["data_problems"]] == ["slo_not_counted"]
    assert client.get("/api/v1/slos/fast").json()["data_problems"] == []
    ready = client.get("/-/ready")
    assert ready.status_code == 503
    assert "SLO up" in ready.json()["detail"]
    monkeypatch.setattr(Observed, "count", count)
    service.ingest()
    assert client.get("/-/ready").status_code == 200


def test_a_pool_whose_data_cannot_be_read_stops_no_other(ledger: Ledger) -> None:
    def reading(series: list[Series]) -> list[Series]:
        return series if all(item.labels.get("model") == "m" for item in series) and series else broken()  # type: ignore[return-value]

    _, client = served(ledger, reading)
    assert client.get("/api/v1/slos/fast").json()["total"] == 1000
    assert [one["code"] for one in client.get("/api/v1/slos/elsewhere").json()["data_problems"]] == ["pool_not_counted"]
    assert "pool other" in client.get("/-/ready").json()["detail"]


def test_slots_that_the_ledger_refused_are_counted_once_by_their_reason(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = Observed.count

    def lying(self: Observed, ways: Sequence[object]) -> object:
        found = count(self, ways)  # type: ignore[arg-type]
        return [type(found[0])(*(found[0].slot, 1620, 900, 300.0, "exact_bucket")), *found[1:]]

    monkeypatch.setattr(Observed, "count", lying)
    service, client = served(ledger, list)
    first = sample(client, 'plimsoll_ledger_rejected_slots_total{code="impossible_counts"}')
    assert first
    assert sample(client, 'plimsoll_ledger_rejected_slots_total{code="slot_off_grid"}') == 0
    assert all(slot.good <= slot.total for slot in ledger.slots("fast", 0, 1e12))
    before = [one for one in service.problems.current]
    service.ingest()
    again = [one for one in service.problems.current if one.identity not in {two.identity for two in before}]
    assert sample(client, 'plimsoll_ledger_rejected_slots_total{code="impossible_counts"}') == first + len(again)


def limit(seconds: str, target: str = "95%") -> str:
    return SPEC_TEXT.replace("600ms", seconds).replace("95%", target)


def steady() -> World:
    requests = [(T0 + 3.6 * i, True) for i in range(2000)]
    return World({"a": [Process(T0 - 86400, requests)]}, {"a": [T0 - 60 + 15 * i for i in range(490)]})


def test_a_changed_limit_is_shown_with_the_slots_that_were_counted_before(ledger: Ledger) -> None:
    source = steady()
    for text, now in ((limit("600ms"), NOW), (limit("600ms", "99%"), NOW + 1800), (limit("601ms"), NOW + 3600)):
        service = Service(load(text), source, ledger, clock=lambda now=now: now)  # type: ignore[misc]
        service.ingest()
    client = TestClient(create_app(service))
    slo, slots = (
        client.get("/api/v1/slos/fast").json(),
        client.get("/api/v1/slos/fast/slots?limit=10000").json()["slots"],
    )
    old, new = (f"time_to_first_token <= {limit}, bucket_mismatch: unknown, pool pool" for limit in ("600ms", "601ms"))
    assert slo["counts"] == new
    (change,) = slo["definition_changes"]  # a target counts nothing otherwise
    assert (change["from"], change["to"]) == (old, new)
    by_old = [slot for slot in slots if slot["counts"] == old]
    assert 0 < len(by_old) < len(slots)
    assert {slot["counts"] for slot in slots} == {old, new}
    assert change["at"] == next(slot["start"] for slot in slots if slot["counts"] == new)
    assert (slo["slots_by_earlier_definition"], slo["slots"]) == (len(by_old), len(slots))
    page = client.get("/slos/fast").text
    assert 'id="definition"' in page
    assert f"{len(by_old)} of {len(slots)} slots" in page
    assert slo["total"] == sum(slot["total"] for slot in slots)


def test_an_unchanged_limit_shows_nothing(ledger: Ledger) -> None:
    for target in ("95%", "99%"):
        service = Service(load(limit("600ms", target)), steady(), ledger, clock=lambda: NOW)
        service.ingest()
    client = TestClient(create_app(service))
    slo = client.get("/api/v1/slos/fast").json()
    assert (slo["definition_changes"], slo["slots_by_earlier_definition"]) == ([], 0)
    assert 'id="definition"' not in client.get("/slos/fast").text


def test_slots_of_a_ledger_that_recorded_no_definition_say_so(ledger: Ledger) -> None:
    first = int(T0) - SLOT * 20
    ledger.record({("fast", "0123456789ab"): [SlotCount(first, 1, 2, 300.0, "per_request")]}, first)
    service = Service(load(SPEC_TEXT), steady(), ledger, clock=lambda: NOW)
    service.ingest()
    slo = TestClient(create_app(service)).get("/api/v1/slos/fast").json()
    assert [change["from"] for change in slo["definition_changes"]] == [None]
    assert slo["slots_by_earlier_definition"] == 1


def test_what_does_not_fit_the_objectives_file_is_where_its_numbers_would_be(ledger: Ledger) -> None:
    """A pool that matches nothing, a model that no pool names: on the pages, with the line to paste; and over once it fits."""
    foreign = [("acme/new", "other")]

    def renamed(series: list[Series]) -> list[Series]:
        more = [
            Series(one.name, {**one.labels, "model": model, "replica": f"of-{model}"}, one.samples)
            for one in series
            for model, _ in foreign
        ]
        return [*series, *more]

    service, client = served(ledger, renamed)
    service.check()
    home, pool = client.get("/").text, client.get("/pools/other").text
    assert 'data-code="model-without-pool"' in home and "name: new, model: &#34;acme/new&#34;" in home
    assert 'data-code="pool-not-live"' in pool and 'data-code="pool-not-live"' in client.get("/slos/elsewhere").text
    assert 'data-code="pool-not-live"' not in client.get("/pools/pool").text
    codes = [one["code"] for one in client.get("/api/v1/slos/elsewhere").json()["data_problems"]]
    assert "pool-not-live" in codes
    foreign[:] = [("other", "other")]
    service.check()
    assert 'data-code="model-without-pool"' not in client.get("/").text
    assert 'data-code="pool-not-live"' not in client.get("/pools/other").text


def test_a_pool_without_its_optional_lines_states_which_number_needs_them(ledger: Ledger) -> None:
    short = load(SPEC_TEXT.partition("pools:")[0] + "proposed: true\npools: [{name: pool, model: m}]\nobjectives: []\n")
    service = Service(short, world(), ledger, clock=lambda: NOW)
    client = TestClient(create_app(service))
    assert 'id="proposed"' in client.get("/").text
    page = client.get("/pools/pool").text
    assert all(f"{name}: {{" in page for name in ("node", "nodes", "timing"))
    assert (
        "unwritten"
        not in TestClient(create_app(Service(SPEC, world(), ledger, clock=lambda: NOW))).get("/pools/pool").text
    )
