"""Recommendations by webhook: one for each that says something new, again until it is taken, and nothing about what is not known."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from fleet_world import Fleet
from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.state import Service
from plimsoll.slo.service.webhook import Webhook
from pool_signals import FULL_ONCE, IDLE, NOW, served
from process import environment, rejected
from world import spec


class Receiver(HTTPServer):
    """Keeps what is posted; answers what `status` says."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[dict[str, Any]] = []
        self.tokens: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.tokens.append(self.headers["Authorization"])
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join(10)


@pytest.fixture
def service(database: str, open_ledger: Callable[[str], Ledger], receiver: Receiver) -> Service:
    fleet = Fleet({}, {})
    fleet.found = (*served("a", FULL_ONCE), *served("b", IDLE))
    found = Service(spec(), fleet, open_ledger(database), clock=lambda: fleet.now)
    found.webhook = Webhook(f"http://127.0.0.1:{receiver.server_port}/hook", "secret")
    return found


def test_what_is_new_is_told_once_with_the_token_as_the_api_answers_it(service: Service, receiver: Receiver) -> None:
    service.recommend()
    service.recommend()
    (body,) = receiver.bodies
    assert (body["pool"], body["action"], body["recommended_nodes"]) == ("pool", "scale_in", 1)
    assert body["at"] == "1970-01-01T02:46:40Z"
    assert Recommendation.model_validate(body).at == NOW
    assert receiver.tokens == ["Bearer secret"]
    assert isinstance(service.source, Fleet)
    service.source.down = True
    service.recommend()
    assert (receiver.bodies[-1]["action"], receiver.bodies[-1]["recommended_nodes"]) == ("insufficient_data", None)
    assert service.clock() == NOW


def test_what_is_not_taken_is_told_again_and_logged_once(
    service: Service, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = 503
    with caplog.at_level(logging.ERROR):
        service.recommend()
        service.recommend()
    assert len(receiver.bodies) == 2
    (said,) = [record.getMessage() for record in caplog.records if "webhook" in record.getMessage()]
    assert said == "webhook to 127.0.0.1 failed: it returned 503", "no path, which may be a secret"
    assert not service.runs.errors, "a receiver that is away is no trouble of the service's own work"
    receiver.status = 204
    service.recommend()
    service.recommend()
    assert len(receiver.bodies) == 3


def test_a_receiver_that_is_not_there_stops_nothing(service: Service, receiver: Receiver) -> None:
    service.webhook = Webhook("http://127.0.0.1:9/")
    service.recommend()
    assert service.recommendation("pool").action == "scale_in"
    assert receiver.bodies == []


@pytest.mark.parametrize(
    ("url", "line"),
    [
        (
            "ops.example/x",
            "--webhook-url: expected an address such as https://ops.example/plimsoll, got 'ops.example/x'",
        ),
        ("ftp://ops.example/x", "--webhook-url: expected an address"),
        (
            "https://me:word@ops.example/x",
            "--webhook-url: contains a password. Put it into PLIMSOLL_WEBHOOK_TOKEN",
        ),
    ],
)
def test_a_wrong_address_is_one_line(url: str, line: str) -> None:
    said = rejected(["serve", "--source", "scrape:http://127.0.0.1:9", "--webhook-url", url], environment())
    assert line in said
    assert "word" not in said.replace("password", "")
