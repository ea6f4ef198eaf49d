"""A saved review is sent once: by mail through a real SMTP server, to a webhook and to Slack, again until taken, and each receiver alone."""

import email
import json
import logging
import ssl
import threading
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from prometheus_client import generate_latest

from plimsoll.slo.calendar import WEEK, start_of
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service import metrics
from plimsoll.slo.service.delivery.receivers import Mail, Post, Receiver, SmtpRelay, to_slack
from plimsoll.slo.service.delivery.reviews import ATTEMPTS, ReviewDeliveries
from plimsoll.slo.service.jobs import deliver_reviews, save_reviews, scheduler
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount
from private_ca import PrivateCa
from review_world import slot
from stack import free_port
from world import World, spec

MONDAY = start_of("2023-W47")
HOUR = 3600.0
PASSWORD = "word-of-the-relay"


class Inbox:
    """An SMTP server's handler: what it took, and which recipients it rejects."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.rejects: set[str] = set()

    async def handle_RCPT(self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if address in self.rejects:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:
        self.envelopes.append(envelope)
        return "250 taken"

    @property
    def mails(self) -> list[EmailMessage]:
        return [email.message_from_bytes(one.content or b"", policy=default) for one in self.envelopes]  # type: ignore[arg-type]


class Hook(HTTPServer):
    """Stores what is posted; answers `status`."""

    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HookHandler)
        self.posts: list[tuple[str, dict[str, Any], str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class HookHandler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posts.append((self.path, body, self.headers["Authorization"]))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be silent."""


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield found
        found.shutdown()
        thread.join(10)


def listening(inbox: Inbox, **options: Any) -> Controller:
    found = Controller(inbox, hostname="127.0.0.1", port=free_port(), **options)
    found.start()
    return found


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def relay(inbox: Inbox) -> Iterator[SmtpRelay]:
    server = listening(inbox)
    yield SmtpRelay("127.0.0.1", server.port, "none")
    server.stop()


@pytest.fixture
def ledger(database: str, open_ledger: Callable[[str], Ledger]) -> Ledger:
    """A day of one SLO and pool, and its week's saved review."""
    found = open_ledger(database)
    starts = [MONDAY - WEEK + HOUR * hour for hour in range(24)] + [MONDAY]
    counts = [SlotCount(int(start), 90, 100, 300.0, "request") for start in starts]
    found.record({("fast", "hash"): counts}, int(MONDAY + 300), {"pool": [slot(start, 300) for start in starts]})
    first = service_at(found, MONDAY + HOUR)
    save_reviews(first)
    first.leader.resign()
    return found


def service_at(ledger: Ledger, now: float, *receivers: Receiver) -> Service:
    """A service that takes the lead."""
    found = Service(spec(), World({}, {}), ledger, clock=lambda: now)
    found.deliveries = ReviewDeliveries(receivers, "https://slo.example") if receivers else None
    return found


def at(ledger: Ledger, now: float, *receivers: Receiver) -> Service:
    """What a service does that runs at a moment."""
    found = service_at(ledger, now, *receivers)
    deliver_reviews(found)
    assert not found.runs.errors
    found.leader.resign()
    return found


def sample(service: Service, name: str, receiver: str) -> float | None:
    for line in generate_latest(metrics.registry(service)).decode().splitlines():
        if line.startswith(f'{name}{{receiver="{receiver}"}}'):
            return float(line.split()[-1])
    return None


def test_the_mail_has_text_and_html_and_comes_once_whatever_restarts(
    ledger: Ledger, relay: SmtpRelay, inbox: Inbox
) -> None:
    mail = Mail(relay, "slo@ops.example", ["ann@ops.example", "bob@ops.example"])
    assert sample(service_at(ledger, MONDAY + HOUR, mail), "plimsoll_review_delivered", "email") == 0.0
    at(ledger, MONDAY + HOUR, mail)
    served = at(ledger, MONDAY + 2 * HOUR, mail)
    (message,), (envelope,) = inbox.mails, inbox.envelopes
    assert sample(served, "plimsoll_review_delivered", "email") == 1.0
    assert (envelope.mail_from, envelope.rcpt_tos) == ("slo@ops.example", ["ann@ops.example", "bob@ops.example"])
    assert message["Subject"].startswith("Weekly review 2023-W46: 0 of 1 SLO")
    assert message["Message-ID"] == "<plimsoll-review-2023-W46@ops.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None and html is not None
    for one in (text.get_content(), html.get_content()):
        assert "https://slo.example/reviews/2023-W46" in one
        assert "Can't be judged: fast" in one.replace("&#39;", "'") and "240 bad of 2,400" in one
    assert max(map(len, text.get_content().splitlines())) <= 100
    assert not any(word in html.get_content() for word in ("<script", "<style", "<img", "class=", "http://"))


def test_a_relay_with_starttls_and_a_login_gets_the_password_only_when_encrypted(
    ledger: Ledger, inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ca = PrivateCa(tmp_path / "ca")
    logins: list[tuple[bytes, bytes, bool]] = []

    def check(server: SMTP, session: Session, _: Envelope, __: str, given: LoginPassword) -> AuthResult:
        logins.append((given.login, given.password, session.ssl is not None))
        return AuthResult(success=given.password == PASSWORD.encode(), handled=False)

    server = listening(inbox, tls_context=ca.server(), authenticator=check, auth_required=True)
    try:
        mail, wrong = (
            Mail(SmtpRelay("127.0.0.1", server.port, "starttls", "plimsoll", text), "a@b.example", ["c@d.example"])
            for text in (PASSWORD, "other-secret")
        )
        with caplog.at_level(logging.ERROR):
            at(ledger, MONDAY + HOUR, mail)
            assert "CERTIFICATE_VERIFY_FAILED" in caplog.text and not logins, "the CA isn't known"
            monkeypatch.setenv("SSL_CERT_FILE", str(ca.file))
            at(ledger, MONDAY + 2 * HOUR, wrong)
            assert "535" in caplog.text and not inbox.envelopes
            at(ledger, MONDAY + 3 * HOUR, mail)
        assert logins[-1] == (b"plimsoll", PASSWORD.encode(), True)
        assert len(inbox.envelopes) == 1
        assert PASSWORD not in caplog.text + repr(mail) and "other-secret" not in caplog.text
    finally:
        server.stop()


def test_a_relay_that_begins_with_tls_is_reached_by_tls(
    ledger: Ledger, inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = PrivateCa(tmp_path / "ca")
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.file))
    context: ssl.SSLContext = ca.server()
    server = Controller(inbox, hostname="127.0.0.1", port=free_port(), ssl_context=context)
    server.start()
    try:
        at(ledger, MONDAY + HOUR, Mail(SmtpRelay("127.0.0.1", server.port, "tls"), "a@b.example", ["c@d.example"]))
    finally:
        server.stop()
    assert len(inbox.mails) == 1


def test_starttls_is_not_left_out_where_the_relay_does_not_offer_it(
    ledger: Ledger, relay: SmtpRelay, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    plain = SmtpRelay(relay.host, relay.port, "starttls")
    at(ledger, MONDAY + HOUR, Mail(plain, "a@b.example", ["c@d.example"]))
    assert not inbox.envelopes and "STARTTLS" in caplog.text


def test_a_webhook_gets_the_digest_and_slack_its_text(ledger: Ledger, hook: Hook) -> None:
    at(ledger, MONDAY + HOUR, Post("webhook", f"{hook.url}/review", token="secret"), to_slack(f"{hook.url}/T0/B0/x"))
    (path, body, token), (slack_path, slack, slack_token) = hook.posts
    assert (path, token, slack_path, slack_token) == ("/review", "Bearer secret", "/T0/B0/x", None)
    assert (body["week"], body["url"]) == ("2023-W46", "https://slo.example/reviews/2023-W46")
    assert (body["opening"]["missed"], body["slos"][0]["bad"], body["slos"][0]["met"]) == (0, 240, None)
    assert all(one in slack["text"] for one in (body["opening"]["slos"], body["opening"]["decision"]))
    assert "<https://slo.example/reviews/2023-W46|" in slack["text"]


def test_a_receiver_that_fails_is_tried_again_with_longer_waits_and_stops_no_other(
    ledger: Ledger, hook: Hook, relay: SmtpRelay, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    hook.status = 503
    receivers = Post("webhook ops", f"{hook.url}/secret-path"), Mail(relay, "a@b.example", ["c@d.example"])
    now, tries = MONDAY + HOUR, []
    with caplog.at_level(logging.ERROR):
        for _ in range(24 * 60):
            before = len(hook.posts)
            served = at(ledger, now, *receivers)
            tries += [now] if len(hook.posts) > before else []
            now += 60
    assert len(tries) == ATTEMPTS, "bounded, although each attempt was another service's"
    waits = [after - before for before, after in pairwise(tries)]
    assert waits == sorted(waits) and waits[0] == 60 and waits[-1] == 7200
    assert len(inbox.envelopes) == 1
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == ATTEMPTS and all("503" in line and "secret-path" not in line for line in lines)
    assert "no other follows" in lines[-1]
    assert sample(served, "plimsoll_review_delivered", "webhook ops") == 0.0
    assert sample(served, "plimsoll_review_delivery_failures_total", "webhook ops") == 0.0, "of this service"


def test_failures_are_counted(ledger: Ledger) -> None:
    served = at(ledger, MONDAY + HOUR, Post("webhook", "http://127.0.0.1:9/"))
    assert sample(served, "plimsoll_review_delivery_failures_total", "webhook") == 1.0
    assert sample(served, "plimsoll_review_delivered", "webhook") == 0.0


def test_one_rejected_recipient_keeps_the_mail_from_no_other(
    ledger: Ledger, relay: SmtpRelay, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.rejects = {"ann@ops.example", "bob@ops.example"}
    at(ledger, MONDAY + HOUR, Mail(relay, "a@b.example", ["ann@ops.example", "bob@ops.example"]))
    assert not inbox.envelopes and "ann@ops.example: 550" in caplog.text
    at(ledger, MONDAY + 2 * HOUR, Mail(relay, "a@b.example", ["ann@ops.example", "bob@ops.example", "c@d.example"]))
    (envelope,) = inbox.envelopes
    assert envelope.rcpt_tos == ["c@d.example"]


def test_an_old_review_is_no_news_and_a_service_that_follows_sends_nothing(ledger: Ledger, hook: Hook) -> None:
    post = Post("webhook", hook.url)
    at(ledger, MONDAY + HOUR + WEEK + 1, post)
    assert not hook.posts
    leader = service_at(ledger, MONDAY + HOUR)
    assert leader.leads()
    follower = service_at(ledger, MONDAY + HOUR, post)
    follower.leader._claims_at_once = False  # as on PostgreSQL: the lease of another is respected
    deliver_reviews(follower)
    assert not hook.posts
    leader.leader.resign()
    deliver_reviews(follower)
    assert len(hook.posts) == 1


def test_the_scheduler_delivers_every_minute_where_there_is_a_receiver(ledger: Ledger, hook: Hook) -> None:
    assert scheduler(service_at(ledger, MONDAY + HOUR)).get_job("deliver") is None
    job = scheduler(service_at(ledger, MONDAY + HOUR, Post("webhook", hook.url))).get_job("deliver")
    assert job.trigger.interval.total_seconds() == 60
    job.func(*job.args)
    assert len(hook.posts) == 1
