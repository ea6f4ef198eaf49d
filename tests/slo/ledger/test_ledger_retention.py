"""Old slots are pruned out, and no answer changes by it."""

from collections.abc import Callable
from random import Random

import pytest
from fastapi.testclient import TestClient

from plimsoll.slo.calendar import SLOT, rfc3339
from plimsoll.slo.ledger.evaluation import evaluate
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.spec.objectives import load
from recorded import Recorded
from world import SPEC_TEXT

Opener = Callable[[str], Ledger]
HOUR, DAY = 3600, 86400
BEGIN = 1_699_920_000
END = BEGIN + 40 * DAY
WEEK = "  - {id: week, pool: pool, indicator: availability, target: 99%, window: {calendar: week, timezone: UTC}}\n"
SPEC = load(SPEC_TEXT.replace("28d", "7d") + WEEK)


@pytest.fixture
def service(database: str, open_ledger: Opener) -> Service:
    service = Service(SPEC, Recorded([]), open_ledger(database), clock=lambda: float(END))
    random = Random(3)  # noqa: S311 - a fixed sequence
    counts = []
    for slot in range(BEGIN, END, SLOT):
        total = random.randrange(0, 90)
        counts.append(SlotCount(slot, random.randint(0, total), total, round(random.random() * 300, 3), "per_request"))
    service.ledger.record({(item.id, item.spec_hash): counts for item in SPEC.objectives}, END - 1200)
    service.keep_slots = 20.0 * DAY
    return service


def test_no_window_changes_when_old_slots_go(service: Service) -> None:
    moments = [*range(END - 5 * DAY, END, 7 * HOUR + 1234), *range(END - 16 * DAY, END, 31 * HOUR)]
    before = [evaluate(service.ledger, SPEC.objectives, [], moment) for moment in moments]
    service.prune()
    assert service.runs.errors == {}
    limit = service.records.pruned_until
    assert limit == (END - SLOT - 20 * DAY) // DAY * DAY
    assert service.ledger.slots("fast", 0, limit) == []
    assert len(service.ledger.slots("fast", limit, END)) == (END - limit) // SLOT
    # A window may begin where only hours are left, if it begins with one.
    assert moments[-1] - 7 * DAY > limit > min(moments) - 7 * DAY
    assert [evaluate(service.ledger, SPEC.objectives, [], moment) for moment in moments] == before
    service.prune()
    assert service.records.pruned_until == limit


def test_what_can_no_longer_be_answered_exactly_is_refused(service: Service) -> None:
    client = TestClient(create_app(service))
    old = f"/api/v1/slos/fast?at={rfc3339(BEGIN + 10 * DAY + 60)}"
    assert client.get(old).status_code == 200
    service.prune()
    rejected = client.get(old)
    assert rejected.status_code == 422
    assert (rejected.json()["code"], "are pruned" in rejected.json()["detail"]) == ("data_pruned", True)
    assert client.get(f"/api/v1/slos/fast?at={rfc3339(END - 16 * DAY)}").status_code == 200
    assert client.get(f"/api/v1/slos/fast?at={rfc3339(END - 16 * DAY + 600)}").status_code == 422
    correction = {
        "start": rfc3339(BEGIN + DAY),
        "good": 1,
        "total": 1,
        "covered_seconds": 300,
        "actor": "a",
        "reason": "b",
    }
    assert client.post("/api/v1/slos/fast/corrections", json=correction).status_code == 422
    (row,) = client.get("/api/v1/audit").json()["events"]
    assert (row["actor"], row["action"]) == ("plimsoll", "slots pruned")


def test_a_clock_that_runs_ahead_does_not_empty_the_ledger(service: Service) -> None:
    service.clock = lambda: END + 3650.0 * DAY
    service.prune()
    assert service.records.pruned_until < END - 20 * DAY


def test_history_is_the_same_by_hours_as_by_slots(service: Service) -> None:
    client = TestClient(create_app(service))
    service.evaluate()
    points = client.get("/api/v1/slos/fast/budget").json()["points"]
    assert 100 < len(points) <= 288
    for point in (points[0], points[57], points[-1]):
        at = client.get("/api/v1/slos/fast", params={"at": point["at"]}).json()
        assert (point["total"], point["bad"]) == (at["total"], at["total"] - at["good"])
        assert point["budget_remaining"] == pytest.approx(at["budget_remaining"])
