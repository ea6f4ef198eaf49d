"""What people change by hand: time that is not counted, slots that were wrong; who and why stays on record."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.metrics import EXCLUDED
from plimsoll.slo.service.access import Access
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.service.tokens import new_token
from plimsoll.slo.spec.objectives import SpecError, load
from service_world import INCIDENT, NOW, T0, world
from world import SPEC_TEXT, spec

# The world's requests come every 3.6 s; the incident's are all in the slot from minute 40 to 45, which goes out whole.
TAKEN = [good for i in range(1000) if 2400 < 3.6 * i <= 2700 for good in [not 2400 < 3.6 * i <= 2544]]


@pytest.fixture
def service(database: str, open_ledger: Callable[[str], Ledger]) -> Service:
    service = Service(spec(), world(), open_ledger(database), clock=lambda: NOW)
    service.ingest()
    return service


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    yield TestClient(create_app(service))


def assert_excluded(slo: dict[str, object], seconds: int = 300) -> None:
    assert (slo["good"], slo["total"]) == (960 - sum(TAKEN), 1000 - len(TAKEN))
    assert (slo["excluded_good"], slo["excluded_total"], slo["excluded_seconds"]) == (sum(TAKEN), len(TAKEN), seconds)
    assert slo["budget_remaining"] == 1.0
    assert slo["budget_remaining_without_exclusions"] == pytest.approx(1 - 40 / (0.05 * 1000))
    # The world was watched for 3,660 s: coverage is of the time that is left.
    assert slo["coverage"] == pytest.approx((3660 - 300) / (28 * 86400 - seconds), rel=1e-9)


def test_an_excluded_slot_burns_nothing_and_is_shown_until_it_is_withdrawn(client: TestClient) -> None:
    before = client.get("/api/v1/slos/fast").json()
    assert (before["excluded_total"], before["budget_remaining"]) == (0, before["budget_remaining_without_exclusions"])
    made = client.post("/api/v1/exclusions", json=INCIDENT)
    assert made.status_code == 201
    exclusion = made.json()
    assert exclusion | INCIDENT == exclusion | {"origin": "api", "canceled_at": None, "slo_id": None}
    assert client.get(made.headers["location"]).json() == exclusion
    assert client.get("/api/v1/exclusions").json() == {"exclusions": [exclusion]}

    assert_excluded(client.get("/api/v1/slos/fast").json())
    (listed,) = client.get("/api/v1/slos").json()["slos"]
    assert client.get("/api/v1/slos/fast").json().items() >= listed.items()
    slots = client.get("/api/v1/slos/fast/slots", params={"from": rfc3339(T0)}).json()["slots"]
    assert [slot["start"] for slot in slots if slot["excluded"]] == [rfc3339(T0 + 2400)]
    history = client.get("/api/v1/slos/fast/budget").json()["points"]
    assert {point["budget_remaining"] for point in history} <= {None, 1.0}
    assert (history[-1]["total"], history[-1]["bad"]) == (1000 - len(TAKEN), 0)

    assert "Remaining without exclusions: 20.0%" in client.get("/").text

    cancellation = f"/api/v1/exclusions/{exclusion['id']}/cancel"
    assert client.post(cancellation, json={"actor": "bob", "reason": "was no test"}).json()["canceled_at"] == rfc3339(
        NOW
    )
    assert client.post(cancellation, json={"actor": "bob", "reason": "again"}).status_code == 409
    assert client.get("/api/v1/slos/fast").json() == before
    trail = client.get("/api/v1/audit").json()["events"]
    assert [(row["actor"], row["reason"], row["action"], row["subject"]) for row in trail] == [
        ("bob", "was no test", "exclusion canceled", exclusion["id"]),
        ("ann", "load test", "exclusion added", exclusion["id"]),
    ]
    assert client.get("/api/v1/audit", params={"before": trail[0]["id"], "limit": 1}).json()["events"] == trail[1:]
    # The highest ID that every database takes, and one more.
    assert client.get("/api/v1/audit", params={"before": 2**31 - 1}).json()["events"] == trail
    assert client.get("/api/v1/audit", params={"before": 2**31}).status_code == 422


def test_an_exclusion_in_the_objectives_file_does_the_same(database: str, open_ledger: Callable[[str], Ledger]) -> None:
    line = (
        "  - {from: 2023-11-14T22:55:00Z, to: 2023-11-14T22:57:24Z, created_by: ann, reason: load test, pool: pool}\n"
    )
    service = Service(load(f"{SPEC_TEXT}exclusions:\n{line}"), world(), open_ledger(database), clock=lambda: NOW)
    service.ingest()
    client = TestClient(create_app(service))
    assert_excluded(client.get("/api/v1/slos/fast").json())
    (shown,) = client.get("/api/v1/exclusions").json()["exclusions"]
    assert (shown["origin"], shown["id"], shown["pool"], shown["from"]) == ("file", None, "pool", INCIDENT["from"])
    # The same time excluded once more, from elsewhere, is excluded once.
    assert client.post("/api/v1/exclusions", json=INCIDENT | {"slo_id": "fast"}).status_code == 201
    assert_excluded(client.get("/api/v1/slos/fast").json())


def test_an_occurrence_of_a_recurring_exclusion_does_the_same(
    database: str, open_ledger: Callable[[str], Ledger]
) -> None:
    line = (
        "  - {from: 2023-10-31T23:55:00+01:00, to: 2023-10-31T23:57:24+01:00, created_by: ann, reason: load test,\n"
        "     recurrence: {rule: FREQ=WEEKLY;BYDAY=TU, timezone: Europe/Berlin}}\n"
    )
    clock = [NOW]
    service = Service(load(f"{SPEC_TEXT}exclusions:\n{line}"), world(), open_ledger(database), clock=lambda: clock[0])
    service.ingest()
    client = TestClient(create_app(service))
    assert_excluded(client.get("/api/v1/slos/fast").json(), seconds=3 * 300)
    shown = [one["from"] for one in client.get("/api/v1/exclusions").json()["exclusions"]]
    assert shown == [f"2023-{day}T22:55:00Z" for day in ("10-31", "11-07", "11-14", "11-21")]
    now_excluded = f'{EXCLUDED}{{objective="fast",pool="pool"}} '
    assert f"{now_excluded}0.0" in client.get("/metrics").text
    clock[0] = NOW - 1200 + 7 * 86400  # within next week's occurrence, from 22:55:00 to 22:57:24
    assert f"{now_excluded}1.0" in client.get("/metrics").text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{from: 2023-11-14T22:55:00Z, to: 2023-11-14T22:50:00Z, created_by: a, reason: b}", "isn't after from"),
        ("{from: 2023-11-14T22:55:00, to: 2023-11-14T22:57:00, created_by: a, reason: b}", "timezone"),
        ("{from: 2023-11-14T22:55:00Z, to: 2023-11-14T22:57:00Z, created_by: a, reason: ''}", "exclusions[0].reason"),
        (
            "{from: 2023-11-14T22:55:00Z, to: 2023-11-14T22:57:00Z, created_by: a, reason: b, pool: x}",
            "unknown pool 'x'",
        ),
    ],
)
def test_a_wrong_exclusion_in_the_file_is_refused_by_path(line: str, message: str) -> None:
    with pytest.raises(SpecError) as rejected:
        load(f"{SPEC_TEXT}exclusions:\n  - {line}\n")
    assert "exclusions[0]" in str(rejected.value)
    assert message in str(rejected.value)


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"to": INCIDENT["from"]}, "invalid_time_range", "to"),
        ({"from": "2023-11-14T22:55:00"}, "invalid_request", "body.from"),
        ({"from": 1700000000}, "invalid_request", "body.from"),
        ({"slo_id": "nope"}, "unknown_slo", "slo_id"),
        ({"pool": "nope"}, "unknown_pool", "pool"),
        ({"slo_id": "fast", "pool": "pool"}, "ambiguous_scope", "slo_id"),
        ({"reason": ""}, "invalid_request", "body.reason"),
        ({"created_by": "a\x00b"}, "invalid_request", "body.created_by"),
        ({"color": "red"}, "invalid_request", "body.color"),
    ],
)
def test_a_wrong_exclusion_is_rejected_with_what_is_wrong_and_leaves_no_trace(
    client: TestClient, change: dict[str, object], code: str, field: str
) -> None:
    rejected = client.post("/api/v1/exclusions", json={**INCIDENT, **change})
    assert (rejected.status_code, rejected.headers["content-type"]) == (422, "application/problem+json")
    assert rejected.json()["code"] == code
    assert field in rejected.json()["detail"]
    assert client.get("/api/v1/audit").json() == {"events": []}


def test_a_correction_stands_against_every_source_and_keeps_what_it_replaced(
    service: Service, client: TestClient
) -> None:
    (slot,) = service.ledger.slots("fast", T0 + 2400, T0 + 2401)
    counts = {"good": slot.total - 3, "total": slot.total, "covered_seconds": 300}
    body = {"start": rfc3339(T0 + 2400), "actor": "ann", "reason": "see log", **counts}
    made = client.post("/api/v1/slos/fast/corrections", json=body)
    assert (made.status_code, made.json()["source"]) == (201, "manual")
    for _ in range(2):
        slo = client.get("/api/v1/slos/fast").json()
        assert (slo["total"] - slo["good"], slo["total"]) == (3, 1000)
        service.ingest()
    (row,) = client.get("/api/v1/audit").json()["events"]
    assert (row["actor"], row["reason"], row["action"]) == ("ann", "see log", "slot corrected")
    assert f'"good": {slot.good},' in row["before"]
    assert f'"good": {slot.total - 3},' in row["after"]
    for wrong in (
        {"good": slot.total + 1},
        {"start": rfc3339(T0 + 2401)},
        {"start": rfc3339(NOW + 300)},
        {"covered_seconds": 301},
    ):
        assert client.post("/api/v1/slos/fast/corrections", json=body | wrong).status_code == 422
    assert client.post("/api/v1/slos/nope/corrections", json=body).status_code == 404


def test_the_audit_names_the_token_that_was_used(service: Service) -> None:
    text, kept = new_token("ci", "write")
    guarded = TestClient(create_app(service, Access([kept])), headers={"Authorization": f"Bearer {text}"})
    assert guarded.post("/api/v1/exclusions", json=INCIDENT).status_code == 201
    assert guarded.get("/api/v1/audit").json()["events"][0]["actor"] == "ci"


def test_a_calendar_month_begins_with_its_first_slot_and_not_with_the_last_one_before(
    database: str, open_ledger: Callable[[str], Ledger]
) -> None:
    month = load(SPEC_TEXT.replace("window: 28d", "window: {calendar: month, timezone: Europe/Berlin}"))
    began = datetime(2023, 11, 30, 23, tzinfo=UTC).timestamp()
    source = world()
    source.lives["a"][0] = replace(
        source.lives["a"][0], requests=[(began - 1, False), (began, False), (began + 1, True), (began + 2, False)]
    )
    source.scrapes["a"] = [began - 600 + 15 * i for i in range(100)]
    service = Service(month, source, open_ledger(database), clock=lambda: began + 600)
    service.ingest()
    (found,) = service.evaluated().budgets.values()
    assert (found.counted.good, found.counted.total, found.elapsed_seconds, found.coverage) == (1, 2, 600, 1.0)


def test_alert_rules_learn_what_is_excluded_at_this_moment(client: TestClient) -> None:
    def told() -> str:
        return next(line for line in client.get("/metrics").text.splitlines() if line.startswith(f"{EXCLUDED}{{"))

    assert told() == f'{EXCLUDED}{{objective="fast",pool="pool"}} 0.0'
    now = {**INCIDENT, "from": rfc3339(NOW - 60), "to": rfc3339(NOW + 600)}
    made = client.post("/api/v1/exclusions", json=now).json()
    assert told().endswith(" 1.0")
    client.post(f"/api/v1/exclusions/{made['id']}/cancel", json={"actor": "ann", "reason": "done early"})
    assert told().endswith(" 0.0")
