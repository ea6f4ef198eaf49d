"""Answers to recommendations: who gave which, why, and what the review makes of them."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.ledger.documents import SavedReview, save_review
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.reports.review import review
from plimsoll.slo.reports.review_archive import NOT_SAVED
from plimsoll.slo.service.access import Access
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.service.tokens import new_token
from plimsoll.slo.usage.slots import PoolSlot
from recorded import Recorded
from world import spec

MADE = 1_700_000_400.7
NOW = MADE + 3600
DONE = {"answer": "done", "reason": "two nodes started"}
POOL = "/api/v1/pools/pool"


@pytest.fixture
def service(database: str, open_ledger: Callable[[str], Ledger]) -> Service:
    """Two nodes more were recommended an hour ago, and are up since half an hour."""
    ledger = open_ledger(database)
    body = {"pool": "pool", "action": "scale_out", "nodes": 2, "current_nodes": 2, "recommended_nodes": 4}
    made = Recommendation.model_validate(
        {**body, "reasons": ["84 requests are waiting"], "evidence": {}, "confidence": 1.0, "at": MADE}
    )
    ledger.save_recommendation("pool", MADE, made.model_dump())
    starts = range(int(MADE) // SLOT * SLOT, int(NOW), SLOT)
    rows = [PoolSlot(at, 300.0, nodes=2.0 if at < MADE + 1800 else 4.0) for at in starts]
    ledger.record({}, int(NOW), {"pool": rows})
    return Service(spec(), Recorded([]), ledger, clock=lambda: NOW)


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    yield TestClient(create_app(service))


def history(client: TestClient) -> dict[str, Any]:
    (only,) = client.get(f"{POOL}/recommendation/history").json()["recommendations"]
    return dict(only)


def path_of(made: dict[str, Any]) -> str:
    return f"{POOL}/recommendations/{made['at']}/acknowledgements"


def test_the_newest_answer_holds_and_the_audit_keeps_each(client: TestClient) -> None:
    made = history(client)
    assert made["acknowledgement"] is None
    later = client.post(path_of(made), json={"answer": "later", "reason": "after the release", "actor": "ann"})
    assert later.status_code == 201
    assert (later.json()["answer"], later.json()["actor"]) == ("later", "ann")
    done = client.post(path_of(made), json=DONE | {"actor": "bob"}).json()
    assert history(client)["acknowledgement"] == done == DONE | {"actor": "bob", "at": done["at"]}
    assert datetime.fromisoformat(done["at"]).timestamp() == NOW
    events = client.get("/api/v1/audit").json()["events"]
    assert [(one["actor"], one["reason"], one["action"], one["subject"]) for one in events] == [
        ("bob", DONE["reason"], "recommendation acknowledged", f"pool {round(MADE)}"),
        ("ann", "after the release", "recommendation acknowledged", f"pool {round(MADE)}"),
    ]
    assert events[1]["before"] is None
    assert events[0]["before"] == events[1]["after"]


@pytest.mark.parametrize(
    ("at", "body", "status", "code"),
    [
        (None, DONE, 422, "missing_actor"),
        (None, DONE | {"actor": "a", "answer": "maybe"}, 422, "invalid_request"),
        (None, {"answer": "no", "actor": "a"}, 422, "invalid_request"),
        ("2023-11-14T22:20:02Z", DONE | {"actor": "a"}, 404, "unknown_recommendation"),
        ("0001-01-01T00:00:00Z", DONE | {"actor": "a"}, 404, "unknown_recommendation"),
        ("yesterday", DONE | {"actor": "a"}, 422, "invalid_request"),
    ],
)
def test_an_answer_that_is_none_is_rejected(
    client: TestClient, at: str | None, body: dict[str, str], status: int, code: str
) -> None:
    answer = client.post(path_of({"at": at} if at else history(client)), json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert client.get("/api/v1/audit").json()["events"] == []


def test_an_answer_needs_the_write_scope_and_has_the_tokens_name(service: Service) -> None:
    (reading, reader), (writing, writer) = new_token("screen", "read"), new_token("oncall", "write")
    client = TestClient(create_app(service, Access([reader, writer])))
    headers = [{"Authorization": f"Bearer {text}"} for text in (reading, writing)]
    (made,) = client.get(f"{POOL}/recommendation/history", headers=headers[0]).json()["recommendations"]
    assert client.post(path_of(made), json=DONE, headers=headers[0]).json()["code"] == "insufficient_scope"
    assert client.post(path_of(made), json=DONE | {"actor": "x"}, headers=headers[1]).json()["actor"] == "oncall"
    for header, forms in zip(headers, (0, 1), strict=True):
        assert client.get("/pools/pool", headers=header).text.count("Save answer") == forms


def test_the_review_shows_what_was_followed_and_answered_in_every_format(client: TestClient) -> None:
    client.post(path_of(history(client)), json=DONE | {"actor": "ann"})
    (pool,) = client.get("/api/v1/reviews/2023-W46").json()["pools"]
    found = pool["recommendations"]
    assert (found["made"], found["followed"], found["unknown"], found["answers"]) == (1, 1, 0, {"done": 1})
    (listed,) = found["newest"]
    assert (listed["recommended_nodes"], listed["followed"], listed["answered_by"]) == (4, True, "ann")
    assert "1 made, 1 followed, 1 answered" in client.get("/reviews/2023-W46").text
    figures = client.get("/api/v1/reviews/2023-W46/csv").text.splitlines()
    assert "2023-W46,pool,pool,recommendations/answered/done,1,,recommendations" in figures


def test_an_answer_that_comes_after_the_saved_review_is_shown_and_is_no_revision(
    client: TestClient, service: Service
) -> None:
    body = review(service.records, "2023-W46").model_dump_json(by_alias=True, exclude=NOT_SAVED)
    save_review(service.ledger.engine, SavedReview("2023-W46", round(NOW), body))
    client.post(path_of(history(client)), json=DONE | {"actor": "ann"})
    saved = client.get("/api/v1/reviews/2023-W46").json()
    assert saved["generated_at"] is not None
    assert (saved["pools"][0]["recommendations"]["answers"], saved["revisions"]) == ({"done": 1}, [])
