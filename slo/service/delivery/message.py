"""A review's digest as a mail (text and HTML) and as a Slack message."""

from datetime import datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from textwrap import fill

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from plimsoll.slo.reports.summary.digest import Digest
from plimsoll.slo.units import percent_text

WIDTH = 78  # characters of a line of text (RFC 5322, section 2.1.1)


def mail(digest: Digest, sender: str, recipients: list[str], at: datetime) -> EmailMessage:
    """Return the mail. The same review has the same Message-ID, so that a mail program shows one that is sent twice once."""
    found = EmailMessage(policy=SMTP)
    found["From"], found["To"] = sender, ", ".join(recipients)
    found["Subject"] = f"{'SIMULATED: ' if digest.simulated else ''}Weekly review {digest.week}: {digest.headline}"
    found["Date"] = format_datetime(at)
    found["Message-ID"] = f"<plimsoll-review-{digest.week}@{Address(addr_spec=sender).domain}>"
    found["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
    found.set_content(text(digest), cte="quoted-printable")
    found.add_alternative(html(digest), subtype="html", cte="quoted-printable")
    return found


def text(digest: Digest) -> str:
    """Return the digest as plain text."""
    return _rendered("review.txt", digest)


def html(digest: Digest) -> str:
    """Return the digest as HTML: styles inline, no script, nothing from another host."""
    return _rendered("review.html", digest)


def slack(digest: Digest) -> dict[str, str]:
    """Return the body for a Slack incoming webhook, with its text escaped as Slack's mrkdwn wants it."""
    label = "SIMULATED: part of this data comes from a simulated fleet." if digest.simulated else ""
    lines = [f"*<{digest.url}|Weekly review {digest.week}>*", *filter(None, (label, *digest.opening.sentences))]
    lines[1:] = [f"• {_mrkdwn(line)}" for line in lines[1:]]
    return {"text": "\n".join(lines)}


def _mrkdwn(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _rendered(name: str, digest: Digest) -> str:
    first = datetime.fromisoformat(digest.since)
    last = datetime.fromisoformat(digest.until) - timedelta(seconds=1)
    days = f"{first:%a, %b} {first.day} – {last:%a, %b} {last.day}, {last:%Y} (UTC)"
    return _templates().get_template(name).render(digest=digest, days=days)


def _usd(value: float | None, digits: int = 0) -> str:
    return "No data" if value is None else f"${value:,.{digits}f}"


@cache
def _templates() -> Environment:
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "wrapped": lambda one: fill(one, WIDTH, break_long_words=False, break_on_hyphens=False),
        "target": percent_text,
        "ratio": lambda one: "No data" if one is None else f"{one:.2%}",
        "share": lambda one: "No data" if one is None else f"{one:.0%}",
        "usd": _usd,
        "figure": lambda one: "No data" if one is None else f"{one:g}",
    }
    return found
