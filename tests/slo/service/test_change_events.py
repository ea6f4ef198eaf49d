"""Change events to PagerDuty: one for each change, by the leader alone; one that isn't accepted is dropped after some attempts."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pagerduty import PagerDuty
from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.metrics import CHANGE_EVENTS
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.change_events import MOST_ATTEMPTS, OUTCOMES, ChangeEvents
from plimsoll.slo.service.jobs import scheduler, send_changes
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.rollouts import Rollout, Standing
from plimsoll.slo.spec.objectives import load
from process import environment, rejected
from service_world import NOW, world
from world import SPEC_TEXT, spec

KEY = "k" * 32
HOUR = 3600.0


class Running:
    """A service with change events and a clock that tests set."""

    def __init__(self, ledger: Ledger, pagerduty: PagerDuty, text: str = "") -> None:
        self.now, self.pagerduty = NOW, pagerduty
        self.service = Service(load(text) if text else spec(), world(), ledger, clock=lambda: self.now)
        self.service.change_events = self.events = ChangeEvents(KEY, pagerduty.change_url)
        self.service.ingest()
        self.client = TestClient(create_app(self.service))
        self.look()

    def look(self, seconds: float = 0.0) -> list[str]:
        """Let time pass, run the job, and return the summaries that came."""
        self.now += seconds
        before = len(self.pagerduty.changes)
        send_changes(self.service, self.events)
        return [event["payload"]["summary"] for event in self.pagerduty.changes[before:]]

    def counted(self) -> dict[str, float]:
        text = self.client.get("/metrics").text
        return {
            name: float(line.rpartition(" ")[2])
            for name in OUTCOMES
            for line in text.splitlines()
            if line.startswith(f'{CHANGE_EVENTS}{{outcome="{name}"}}')
        }

    def announce(self, version: str = "0.32.0") -> None:
        body = {"actor": "ann", "reason": "fixes", "version": version, "to": rfc3339(self.now + HOUR)}
        assert self.client.post("/api/v1/pools/pool/rollout", json=body).status_code == 201

    def exclude(self, begin: float, end: float, **more: str) -> str:
        body = {"from": rfc3339(begin), "to": rfc3339(end), "created_by": "bob", "reason": "load test", **more}
        made = self.client.post("/api/v1/exclusions", json=body)
        assert made.status_code == 201
        return str(made.json()["id"])


@pytest.fixture
def pagerduty() -> Iterator[PagerDuty]:
    with PagerDuty() as found:
        yield found
        assert found.rejected == []


@pytest.fixture
def running(database: str, open_ledger: Callable[[str], Ledger], pagerduty: PagerDuty) -> Running:
    return Running(open_ledger(database), pagerduty)


def test_an_announced_rollout_is_sent_once_with_author_reason_and_end(running: Running) -> None:
    running.announce()
    assert running.look(30) == ["pool: rollout of 0.32.0 began: fixes"]
    (event,) = running.pagerduty.changes
    details: dict[str, Any] = event["payload"]["custom_details"]
    assert (event["routing_key"], event["payload"]["timestamp"]) == (KEY, rfc3339(NOW))
    assert details == {
        "pool": "pool",
        "version": "0.32.0",
        "created_by": "ann",
        "reason": "fixes",
        "max_unavailable": 1,
        "to": rfc3339(NOW + HOUR),
    }
    assert running.look(30) == running.look(30) == []
    assert running.counted() == {"sent": 1, "failed": 0, "dropped": 0}


def test_an_exclusion_is_sent_when_it_begins(running: Running) -> None:
    running.exclude(NOW - 5 * HOUR, NOW - 4 * HOUR)  # of the past: nothing changes now
    running.exclude(NOW - 60, NOW + HOUR, pool="pool")
    canceled = running.exclude(NOW + 100, NOW + HOUR)
    running.exclude(NOW + 100, NOW + HOUR, slo_id="fast")
    assert running.look(30) == ["Exclusion of pool began: load test"]
    running.client.post(f"/api/v1/exclusions/{canceled}/cancel", json={"actor": "bob", "reason": "x"})
    assert running.look(30) == []
    assert running.look(60) == ["Exclusion of fast began: load test"]
    assert running.look(30) == []


def test_each_occurrence_of_a_recurring_exclusion_is_sent(
    database: str, open_ledger: Callable[[str], Ledger], pagerduty: PagerDuty
) -> None:
    first, last = rfc3339(NOW + 100), rfc3339(NOW + 700)
    line = f"{{from: {first}, to: {last}, created_by: ann, reason: updates, recurrence: {{rule: FREQ=DAILY}}}}"
    running = Running(open_ledger(database), pagerduty, f"{SPEC_TEXT}exclusions:\n  - {line}\n")
    assert running.look(30) == []
    for seconds in (80, 86400):
        assert running.look(seconds) == ["Exclusion of all SLOs began: updates"]
        assert running.look(30) == []
        running.now -= 30


def test_a_new_engine_version_is_sent_once_and_an_old_one_never(running: Running) -> None:
    watch = running.service.rollouts["pool"]
    watch.current = Standing(Rollout("pool", "0.30.0", "0.31.0", NOW - 5 * HOUR), [])
    assert running.look(30) == []
    watch.current = Standing(Rollout("pool", "0.31.0", "0.32.0", NOW + 20), [])
    assert running.look(30) == ["pool: 0.32.0 serves beside 0.31.0"]
    watch.current = None
    assert running.look(30) == []


def test_new_recommendations_and_numbers_of_nodes_that_hold_are_sent(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decided(nodes: int | None, recommended: int | None) -> list[str]:
        found = SimpleNamespace(current_nodes=nodes, recommended_nodes=recommended, action="of the test")
        monkeypatch.setattr(running.service, "recommendation", lambda _: found)
        return running.look(30)

    assert decided(2, 2) == []
    assert decided(2, 3) == ["pool: 3 nodes recommended, 2 serve"]
    assert decided(None, None) == decided(2, 3) == []
    assert decided(3, 3) == []  # a number that is seen once may be a replica that restarts
    assert decided(3, 3) == ["pool: 3 nodes serve, 2 before"]
    assert decided(2, 3) == decided(3, 3) == decided(3, 3) == []


def test_what_is_not_accepted_is_tried_again_then_dropped_and_counted(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    running.pagerduty.status = 503
    running.announce("0.32.0")
    with caplog.at_level(logging.INFO):
        for _ in range(MOST_ATTEMPTS - 1):
            running.look(30)
        assert running.counted() == {"sent": 0, "failed": MOST_ATTEMPTS - 1, "dropped": 0}
        running.announce("0.32.1")
        running.look(30)
    assert running.counted() == {"sent": 0, "failed": MOST_ATTEMPTS, "dropped": 1}
    running.pagerduty.status = None
    assert running.look(30) == ["pool: rollout of 0.32.1 began: fixes"]
    assert running.counted() == {"sent": 1, "failed": MOST_ATTEMPTS, "dropped": 1}
    (logged,) = [one.getMessage() for one in caplog.records if "change event" in one.getMessage()]
    assert logged == "change event to 127.0.0.1 failed: it returned 503"
    assert KEY not in caplog.text + running.client.get("/metrics").text
    assert running.service.runs.errors == {}, "a PagerDuty that is away is no failure of the service's own work"


def test_an_event_that_pagerduty_calls_invalid_is_not_tried_again(running: Running) -> None:
    running.pagerduty.status = 400
    running.announce("0.32.0")
    running.announce("0.32.1")
    running.look(30)
    assert running.counted() == {"sent": 0, "failed": 2, "dropped": 2}


def test_a_pagerduty_that_is_not_there_stops_nothing(running: Running) -> None:
    running.service.change_events = running.events = ChangeEvents(KEY, "http://127.0.0.1:9/")
    running.look()
    running.announce()
    running.look(30)
    assert running.counted() == {"sent": 0, "failed": 1, "dropped": 0}
    assert running.service.not_ready_reasons() == []


def test_a_service_that_follows_sends_nothing_even_when_it_leads_later(running: Running) -> None:
    running.service.leading = False
    running.announce()
    assert running.look(30) == []
    running.service.leading = True
    assert running.look(30) == []
    running.announce("0.32.1")
    assert running.look(30) == ["pool: rollout of 0.32.1 began: fixes"]


def test_the_job_is_planned_where_there_is_a_key(running: Running) -> None:
    assert "change events" in [job.id for job in scheduler(running.service).get_jobs()]
    running.service.change_events = None
    assert "change events" not in [job.id for job in scheduler(running.service).get_jobs()]


@pytest.mark.parametrize(
    ("key", "mode", "line"),
    [
        ("k" * 31, 0o600, "--pagerduty-key-file: {path} has no integration key of 32 characters"),
        (KEY, 0o644, "--pagerduty-key-file: {path} can be read by other users"),
        (None, 0o600, "--pagerduty-key-file: {path} is not readable"),
    ],
)
def test_a_wrong_key_file_is_one_line_without_the_key(tmp_path: Path, key: str | None, mode: int, line: str) -> None:
    path = tmp_path / "key"
    if key is not None:
        path.write_text(key)
        path.chmod(mode)
    options = ["serve", "--source", "scrape:http://127.0.0.1:9", "--pagerduty-key-file", str(path)]
    printed = rejected(options, environment())
    assert line.format(path=path) in printed and "kkkk" not in printed
