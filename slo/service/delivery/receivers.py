"""Receivers of a weekly review: mail by SMTP, a webhook, and Slack's incoming webhook. No secret gets into a message of theirs."""

import smtplib
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import httpx

from plimsoll.slo.reports.summary.digest import Digest
from plimsoll.slo.service.delivery.message import mail, slack
from plimsoll.slo.service.webhook import TIMEOUT_SECONDS, why_failed
from plimsoll.slo.units import printable

SMTP_SECONDS = 15.0  # for each answer of the mail server


class DeliveryError(Exception):
    """A receiver didn't take a review; the message is one line and holds no secret."""


class Receiver(Protocol):
    """What takes a review's digest."""

    @property
    def name(self) -> str:
        """Name in logs, metrics, and the ledger: without a secret, and not another receiver's."""

    def send(self, digest: Digest, at: float) -> None:
        """Send it at a time (Unix seconds); raises DeliveryError."""


@dataclass(frozen=True)
class SmtpRelay:
    """A mail server. `starttls` requires encryption before anything else is sent, `tls` begins with it."""

    host: str
    port: int
    encryption: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def connect(self) -> smtplib.SMTP:
        """Return a session, logged in where there is a user. Raises OSError, smtplib.SMTPException."""
        context = ssl.create_default_context()
        if self.encryption == "tls":
            session: smtplib.SMTP = smtplib.SMTP_SSL(self.host, self.port, timeout=SMTP_SECONDS, context=context)
        else:
            session = smtplib.SMTP(self.host, self.port, timeout=SMTP_SECONDS)
        try:
            if self.encryption == "starttls":
                session.starttls(context=context)
            if self.user is not None:
                session.login(self.user, self.password or "")
        except BaseException:
            session.close()
            raise
        return session


@dataclass(frozen=True)
class Mail:
    """One mail to all recipients. It is delivered once the server took it for any of them."""

    relay: SmtpRelay
    sender: str
    recipients: list[str]
    name: str = "email"

    def send(self, digest: Digest, at: float) -> None:
        """Send the mail; raises DeliveryError."""
        message = mail(digest, self.sender, self.recipients, datetime.fromtimestamp(at, UTC))
        try:
            session = self.relay.connect()
            try:
                session.send_message(message, self.sender, self.recipients)
            finally:
                with suppress(smtplib.SMTPException, OSError):  # it was taken, or the error is raised
                    session.quit()
        except smtplib.SMTPRecipientsRefused as error:
            rejected = ", ".join(f"{address}: {code}" for address, (code, _) in error.recipients.items())
            raise DeliveryError(printable(f"{self._server} rejected every recipient ({rejected})")) from error
        except smtplib.SMTPResponseException as error:
            answer = (
                error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
            )
            raise DeliveryError(printable(f"{self._server} returned {error.smtp_code}: {answer}")) from error
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryError(printable(f"{self._server}: {error}")) from error

    @property
    def _server(self) -> str:
        return f"{self.relay.host}:{self.relay.port}"


def json_body(digest: Digest) -> dict[str, Any]:
    """Return the digest as JSON."""
    return digest.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True)
class Post:
    """A POST of JSON to a URL, which may hold a secret: messages name its host alone."""

    name: str
    url: str = field(repr=False)
    body: Callable[[Digest], dict[str, Any]] = json_body
    token: str | None = field(default=None, repr=False)

    def send(self, digest: Digest, at: float) -> None:
        """POST it; any 2xx accepts it. Raises DeliveryError."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            response = httpx.post(self.url, json=self.body(digest), headers=headers, timeout=TIMEOUT_SECONDS)
            response.raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DeliveryError(printable(f"{httpx.URL(self.url).host}: {why_failed(error)}")) from error


def to_slack(url: str) -> Post:
    """Return the receiver behind a Slack incoming webhook."""
    return Post("slack", url, slack)
