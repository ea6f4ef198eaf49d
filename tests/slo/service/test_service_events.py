"""Announced events through the API: recorded with who and why, on the pages, and without effect once canceled."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from plimsoll.slo.calendar import rfc3339, week_of
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.objectives import load
from service_world import NOW, world
from world import SPEC_TEXT

HOUR = 3600.0
FILE_EVENT = f"events: [{{name: sale, from: {rfc3339(NOW - HOUR)!r}, to: {rfc3339(NOW + HOUR)!r}, factor: 2}}]"


@pytest.fixture
def client(database: str, open_ledger: Callable[[str], Ledger]) -> TestClient:
    service = Service(load(SPEC_TEXT + FILE_EVENT), world(), open_ledger(database), clock=lambda: NOW)
    service.ingest()
    return TestClient(create_app(service))


def body(**changed: object) -> dict[str, object]:
    times = {"from": rfc3339(NOW + HOUR), "to": rfc3339(NOW + 3 * HOUR)}
    return {"name": "launch", "actor": "ann", "reason": "new model", "factor": 2.5, "pool": "pool", **times, **changed}


def test_an_event_is_announced_shown_and_canceled(client: TestClient) -> None:
    made = client.post("/api/v1/events", json=body())
    assert made.status_code == 201
    event = made.json()
    assert (event["origin"], event["factor"], event["created_by"], event["from"]) == (
        "api",
        2.5,
        "ann",
        rfc3339(NOW + HOUR),
    )
    listed = client.get("/api/v1/events").json()["events"]
    assert [(one["name"], one["origin"]) for one in listed] == [("sale", "file"), ("launch", "api")]
    page = client.get("/pools/pool").text
    assert "Announced events" in page and "launch" in page and "2.5x demand" in page
    cancel = f"/api/v1/events/{event['id']}/cancel"
    canceled = client.post(cancel, json={"actor": "bob", "reason": "postponed"})
    assert canceled.json()["canceled_at"] == rfc3339(NOW)
    assert "launch" not in client.get("/pools/pool").text
    assert client.post(cancel, json={"actor": "bob", "reason": "x"}).status_code == 409
    audit = client.get("/api/v1/audit").json()["events"]
    assert [(one["action"], one["actor"]) for one in audit] == [("event canceled", "bob"), ("event announced", "ann")]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"factor": None}, "invalid_event"),
        ({"requests_per_second": 5}, "invalid_event"),
        ({"to": rfc3339(NOW + 40 * 24 * HOUR)}, "invalid_event"),
        ({"to": rfc3339(NOW)}, "invalid_event"),
        ({"pool": "other"}, "unknown_pool"),
        ({"actor": None}, "missing_actor"),
    ],
)
def test_what_is_not_an_event_is_rejected(client: TestClient, changed: dict[str, object], code: str) -> None:
    response = client.post("/api/v1/events", json=body(**changed))
    assert (response.status_code, response.json()["code"]) == (422, code)


def test_an_unknown_event_is_not_found(client: TestClient) -> None:
    path = "/api/v1/events/00000000-0000-4000-8000-000000000000/cancel"
    assert client.post(path, json={"actor": "bob", "reason": "x"}).status_code == 404


def test_the_review_shows_the_event_of_its_week(client: TestClient) -> None:
    (pool,) = client.get(f"/api/v1/reviews/{week_of(NOW)}").json()["pools"]
    assert [(one["name"], one["factor"]) for one in pool["events"]] == [("sale", 2.0)]
    csv = client.get(f"/api/v1/reviews/{week_of(NOW)}/csv").text
    assert "/sale/seen_factor," in csv
    assert "Announced events of pool" in client.get(f"/reviews/{week_of(NOW)}").text
