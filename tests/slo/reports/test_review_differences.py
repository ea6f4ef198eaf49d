"""What the review says has changed since the week before: verdicts that turned, definitions, and what was done by hand; nothing else."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from plimsoll.slo.calendar import WEEK, start_of
from plimsoll.slo.ledger.retention import prune
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount
from pool_signals import state
from review_world import slot
from world import World, spec

START = start_of("2023-W47")
NOW = START + WEEK + 3600.0


@pytest.fixture
def ledger(database: str, open_ledger: Callable[[str], Ledger]) -> Ledger:
    return open_ledger(database)


def asked(ledger: Ledger, now: float = NOW) -> TestClient:
    return TestClient(create_app(Service(spec(), World({}, {}), ledger, clock=lambda: now)))


def told(ledger: Ledger) -> list[dict[str, Any]]:
    found = asked(ledger).get("/api/v1/reviews/2023-W47").json()["changes"]
    return [{key: value for key, value in item.items() if value is not None} for item in found]


def book(ledger: Ledger, *slots: tuple[float, int, str]) -> None:
    """Slots of 100 requests: start, good ones, and by what definition."""
    for start, good, definition in slots:
        counts = [SlotCount(int(start), good, 100, 300.0, "request")]
        ledger.record({("fast", definition): counts}, int(NOW))


@pytest.mark.parametrize(
    ("before", "now", "turned"),
    [(95, 94, [(True, False)]), (94, 95, [(False, True)]), (95, 100, []), (94, 0, [])],
)
def test_a_target_that_was_kept_and_is_no_more_and_the_opposite(
    ledger: Ledger, before: int, now: int, turned: list[tuple[bool, bool]]
) -> None:
    book(ledger, (START - 600, before, "a"), (START, now, "a"))
    assert [(item["previous"], item["current"]) for item in told(ledger)] == turned


def test_a_week_of_which_nothing_is_known_is_no_change(ledger: Ledger) -> None:
    book(ledger, (START, 0, "a"))
    assert told(ledger) == []
    assert "No changes." in asked(ledger).get("/reviews/2023-W47").text


def test_definitions_are_told_from_the_slot_on_that_was_counted_by_the_new_one(ledger: Ledger) -> None:
    book(ledger, (START - WEEK, 99, "z"), (START - 300, 99, "a"), (START, 99, "a"), (START + 300, 99, "b"))
    book(ledger, (START + 600, 99, "b"), (START + 900, 99, "a"))
    changes = [(item["kind"], item["subject"], item["previous"], item["current"], item["at"]) for item in told(ledger)]
    assert changes == [
        ("definition", "fast", "a", "b", "2023-11-20T00:05:00Z"),
        ("definition", "fast", "b", "a", "2023-11-20T00:15:00Z"),
    ]


def test_what_was_done_by_hand_that_week_is_told_with_who_and_why(ledger: Ledger) -> None:
    client = asked(ledger, START + 5000.0)
    book(ledger, (START - 300, 99, "a"), (START, 99, "a"), (START + 300, 90, "a"))
    for at, good in ((0, 50), (300, 60), (300, 70)):
        ledger.correct("fast", SlotCount(int(START + at), good, 100, 300.0, "x"), "ann", "a test counted", START + 4000)
    ledger.correct("fast", SlotCount(int(START), 40, 100, 300.0, "x"), "ann", "later", START + WEEK)
    body = {"created_by": "bob", "reason": "load test", "from": "2023-11-21T00:00:00Z", "to": "2023-11-21T01:00:00Z"}
    made = client.post("/api/v1/exclusions", json=body).json()
    client.post(f"/api/v1/exclusions/{made['id']}/cancel", json={"actor": "eve", "reason": "it did not happen"})
    span = "2023-11-21T00:00:00Z to 2023-11-21T01:00:00Z"
    found = [item for item in told(ledger) if item["kind"] != "slo_met"]
    at_once = {"subject": "everything", "at": "2023-11-20T01:23:20Z"}
    assert found == [
        {"kind": "exclusion", **at_once, "current": span, "actor": "bob", "reason": "load test"},
        {"kind": "exclusion", **at_once, "previous": span, "actor": "eve", "reason": "it did not happen"},
        {
            **{"kind": "correction", "subject": "fast", "at": "2023-11-20T01:06:40Z", "actor": "ann"},
            **{"previous": "189 good of 200", "current": "120 good of 200", "reason": "a test counted"},
        },
    ]
    page = asked(ledger).get("/reviews/2023-W47").text
    assert "bob: load test" in page
    assert "189 good of 200" in page


@pytest.mark.parametrize(("capacity", "noticed"), [(3650.0, False), (3590.0, True)])
def test_a_pool_whose_peak_outgrew_its_nodes_and_whose_replicas_do_less(
    ledger: Ledger, capacity: float, noticed: bool
) -> None:
    for at, nodes, each in ((START - WEEK + 60, 2, 4000.0), (START + 60, 3, capacity)):
        measured = state(nodes, each, at)
        ledger.save_recommendation(
            "pool",
            at,
            {"action": "scale_out", "recommended_nodes": nodes, "reasons": [], "at": at},
            measured.to_json(),
        )
    ledger.record({}, int(NOW), {"pool": [slot(START - WEEK, 300), slot(START, 1500)]})  # 1,000 and 5,000 tokens/s
    found = [(item["kind"], item["previous"], item["current"]) for item in told(ledger)]
    assert found[:2] == [("survives_node_loss", True, False), ("recommended_nodes", 2, 3)]
    assert found[2:] == ([("saturation_tokens_per_second_per_replica", 4000.0, capacity)] if noticed else [])


def test_slots_that_are_thinned_out_cannot_tell(ledger: Ledger) -> None:
    book(ledger, (START - 300, 99, "a"), (START, 40, "b"))
    prune(ledger.engine, START, NOW)
    review = asked(ledger).get("/api/v1/reviews/2023-W47").json()
    assert review["changes"] is None
    assert "Changes since previous week" not in asked(ledger).get("/reviews/2023-W47").text
