"""Announced rollouts: who, why, and until when is in the audit; the metric that lowers alerts ends by itself."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.metrics import ROLLOUT_ANNOUNCED, ROLLOUT_UNAVAILABLE
from plimsoll.slo.service.access import Access
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.service.tokens import new_token
from service_world import NOW, world
from world import spec

PATH = "/api/v1/pools/pool/rollout"
HOUR = 3600


def body(hours: float, **changed: object) -> dict[str, object]:
    return {"actor": "ann", "reason": "fixes", "version": "0.32.0", "to": rfc3339(NOW + hours * HOUR), **changed}


class Running:
    """A service with a clock that tests set."""

    def __init__(self, ledger: Ledger, access: Access | None = None) -> None:
        self.now = NOW
        self.service = Service(spec(), world(), ledger, clock=lambda: self.now)
        self.service.ingest()
        self.client = TestClient(create_app(self.service, access))

    def shown(self) -> tuple[float, float]:
        """The pool's metrics: whether a rollout is announced, and how many replicas it may take down."""
        text = self.client.get("/metrics").text
        values = [
            line.rpartition(" ")[2]
            for metric in (ROLLOUT_ANNOUNCED, ROLLOUT_UNAVAILABLE)
            for line in text.splitlines()
            if line.startswith(f'{metric}{{pool="pool"}}')
        ]
        announced, unavailable = map(float, values)
        return announced, unavailable


@pytest.fixture
def running(database: str, open_ledger: Callable[[str], Ledger]) -> Running:
    return Running(open_ledger(database))


def test_an_announced_rollout_is_shown_until_its_end_and_stays_in_the_audit(running: Running) -> None:
    client = running.client
    assert (client.get(PATH).json()["announced"], running.shown()) == (None, (0, 0))
    made = client.post(PATH, json=body(2, max_unavailable=3))
    assert made.status_code == 201
    assert client.get(PATH).json()["announced"] == made.json()
    assert made.json() == {
        "version": "0.32.0",
        "from": rfc3339(NOW),
        "to": rfc3339(NOW + 2 * HOUR),
        "max_unavailable": 3,
        "created_by": "ann",
        "reason": "fixes",
    }
    assert running.shown() == (1, 3)
    running.now = NOW + 2 * HOUR - 1
    assert running.shown() == (1, 3)
    running.now += 1
    assert (client.get(PATH).json()["announced"], running.shown()) == (None, (0, 0))
    (event,) = client.get("/api/v1/audit").json()["events"]
    assert (event["actor"], event["reason"], event["action"], event["subject"]) == (
        "ann",
        "fixes",
        "rollout announced",
        "pool",
    )


def test_the_newest_announcement_takes_the_place_of_the_one_before(running: Running) -> None:
    for hours, version in ((4, "0.32.0"), (1, "0.32.1")):
        assert running.client.post(PATH, json=body(hours, version=version)).status_code == 201
    assert (running.client.get(PATH).json()["announced"]["version"], running.shown()) == ("0.32.1", (1, 1))
    running.now = NOW + HOUR  # the first one would last longer
    assert running.shown() == (0, 0)


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"to": rfc3339(NOW)}, 422, "invalid_time_range"),
        ({"to": rfc3339(NOW + 12 * HOUR + 1)}, 422, "invalid_time_range"),
        ({"reason": ""}, 422, "invalid_request"),
        ({"version": "a\nb"}, 422, "invalid_request"),
        ({"max_unavailable": -1}, 422, "invalid_request"),
        ({"actor": None}, 422, "missing_actor"),
        ({"color": "red"}, 422, "invalid_request"),
    ],
)
def test_a_wrong_announcement_is_rejected(running: Running, changed: dict[str, object], status: int, code: str) -> None:
    response = running.client.post(PATH, json=body(1, **changed))
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert running.shown() == (0, 0)
    assert running.client.get("/api/v1/audit").json()["events"] == []


def test_an_unknown_pool_is_not_found(running: Running) -> None:
    assert running.client.post("/api/v1/pools/nope/rollout", json=body(1)).status_code == 404


def test_it_takes_a_write_token_and_records_the_tokens_name(
    database: str, open_ledger: Callable[[str], Ledger]
) -> None:
    (read, reader), (write, writer) = new_token("ben", "read"), new_token("ci", "write")
    running = Running(open_ledger(database), Access((reader, writer)))
    headers = [{"Authorization": f"Bearer {secret}"} for secret in (read, write)]
    assert [running.client.post(PATH, json=body(1), headers=one).status_code for one in headers] == [403, 201]
    assert running.client.get(PATH, headers=headers[0]).json()["announced"]["created_by"] == "ci"
