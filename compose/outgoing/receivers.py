"""Options of `plimsoll serve` that name receivers: of recommendations, weekly reviews, and change events."""

import argparse
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from plimsoll.compose.inputs import UserError
from plimsoll.compose.listen import WEBHOOK_TOKEN, read_token
from plimsoll.compose.outgoing import pagerduty
from plimsoll.compose.outgoing.urls import checked
from plimsoll.slo import links

if TYPE_CHECKING:
    from plimsoll.slo.service.delivery.reviews import ReviewDeliveries

# Environment variables, or with _FILE appended variables that name a file.
SMTP_PASSWORD = "PLIMSOLL_SMTP_PASSWORD"  # noqa: S105
SLACK_URL = "PLIMSOLL_SLACK_URL"
REVIEW_TOKEN = "PLIMSOLL_REVIEW_TOKEN"  # noqa: S105
EMAIL, SLACK = "email:", "slack"
Encryption = Literal["starttls", "tls", "none"]
_ADDRESS = re.compile(r"[^@\s<>,]+@[A-Za-z0-9.-]+")


@dataclass(frozen=True)
class Outgoing:
    """Receivers as they were given. `webhook` gets recommendations (URL, token), `pagerduty` change events (key, URL), all others
    weekly reviews."""

    webhook: tuple[str, str | None] | None = None
    pagerduty: tuple[str, str] | None = field(default=None, repr=False)
    service_url: str = links.SERVICE_URL
    recipients: list[str] = field(default_factory=list)
    sender: str = ""
    relay: tuple[str, int] = ("", 0)
    encryption: Encryption = "starttls"
    login: tuple[str, str] | None = field(default=None, repr=False)
    slack_url: str | None = field(default=None, repr=False)
    posts: list[tuple[str, str | None]] = field(default_factory=list, repr=False)

    def review_deliveries(self) -> "ReviewDeliveries | None":
        """Return what sends weekly reviews; None without a receiver."""
        from plimsoll.slo.service.delivery import receivers  # noqa: PLC0415 - 100 MiB; input errors come before
        from plimsoll.slo.service.delivery.reviews import ReviewDeliveries  # noqa: PLC0415

        found: list[receivers.Receiver] = []
        if self.recipients:
            relay = receivers.SmtpRelay(*self.relay, self.encryption, *(self.login or (None, None)))
            found.append(receivers.Mail(relay, self.sender, self.recipients))
        if self.slack_url:
            found.append(receivers.to_slack(self.slack_url))
        found += [receivers.Post(f"webhook {urlsplit(url).hostname}", url, token=token) for url, token in self.posts]
        return ReviewDeliveries(found, self.service_url) if found else None


def add_receivers(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--webhook-url",
        metavar="URL",
        help=f"POST every new recommendation there. {WEBHOOK_TOKEN} or {WEBHOOK_TOKEN}_FILE may hold a bearer token.",
    )
    pagerduty.add_options(parser)
    group = parser.add_argument_group("receivers of the weekly review (each gets it once, when it is saved)")
    group.add_argument(
        "--review-receiver",
        action="append",
        default=[],
        metavar="RECEIVER",
        help=f"email:ADDRESS, slack ({SLACK_URL}_FILE names a file with its incoming webhook's URL), or a webhook URL ({REVIEW_TOKEN}_FILE may "
        "name a file with a bearer token). Repeatable.",
    )
    group.add_argument("--smtp-relay", metavar="HOST:PORT", default="", help="Mail server of email:ADDRESS")
    group.add_argument(
        "--smtp-encryption",
        choices=("starttls", "tls", "none"),
        default="starttls",
        help="Encryption of the mail server: required by STARTTLS, from the start, or none (default: %(default)s)",
    )
    group.add_argument(
        "--smtp-user",
        metavar="NAME",
        help=f"User of the mail server. {SMTP_PASSWORD}_FILE names a file with the password.",
    )
    group.add_argument("--email-from", metavar="ADDRESS", default="", help="Sender of email:ADDRESS")
    group.add_argument(
        "--service-url",
        metavar="URL",
        default=links.SERVICE_URL,
        help="URL of this service for links (default: %(default)s)",
    )


def read_outgoing(args: argparse.Namespace) -> Outgoing:
    """Return the receivers; raises UserError."""
    names: list[str] = list(dict.fromkeys(args.review_receiver))
    mails = [name.removeprefix(EMAIL) for name in names if name.startswith(EMAIL)]
    urls = [name for name in names if not name.startswith(EMAIL) and name != SLACK]
    posts = [_url("--review-receiver", url, REVIEW_TOKEN) for url in urls]
    hosts = [urlsplit(url).hostname for url, _ in posts]
    if len(set(hosts)) < len(hosts):
        raise UserError("--review-receiver: two webhooks have the same host. Name one URL per host.")
    webhook = None if args.webhook_url is None else _url("--webhook-url", args.webhook_url, WEBHOOK_TOKEN)
    return Outgoing(
        webhook,
        pagerduty.read(args),
        args.service_url.rstrip("/"),
        [_mail_address("--review-receiver", name) for name in mails],
        _mail_address("--email-from", args.email_from) if mails else "",
        _relay(args.smtp_relay) if mails else ("", 0),
        args.smtp_encryption,
        _login(args),
        _slack_url() if SLACK in names else None,
        posts,
    )


def _url(option: str, url: str, token: str) -> tuple[str, str | None]:
    """Return a receiver's URL and its token."""
    expected = f"an address such as https://ops.example/plimsoll{_others(option)}"
    return checked(option, url, expected, f"Put it into {token} instead"), read_token(os.environ, token)


def _others(option: str) -> str:
    return ", email:ADDRESS, or slack" if option == "--review-receiver" else ""


def _mail_address(option: str, text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise UserError(f"{option}: expected a mail address such as slo@ops.example, got {text[:100]!r}.")
    return text


def _relay(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(f"--smtp-relay: expected HOST:PORT, such as mail.example:587, got {text[:100]!r}.")
    return host.strip("[]"), int(port)


def _login(args: argparse.Namespace) -> tuple[str, str] | None:
    if args.smtp_user is None:
        return None
    if args.smtp_encryption == "none":
        raise UserError(
            "--smtp-user: its password would be sent without encryption. Use --smtp-encryption starttls or tls."
        )
    password = read_token(os.environ, SMTP_PASSWORD)
    if password is None:
        raise UserError(f"--smtp-user: no password. Write it into a file and name that by {SMTP_PASSWORD}_FILE.")
    return args.smtp_user, password


def _slack_url() -> str:
    url = read_token(os.environ, SLACK_URL)
    if url is None or not url.startswith(("https://", "http://")):
        raise UserError(
            f"--review-receiver slack: no URL. Write the incoming webhook's into a file and name that by {SLACK_URL}_FILE."
        )
    return url
