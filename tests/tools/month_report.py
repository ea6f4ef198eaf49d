"""Outcome of the simulated month as docs/evidence/alert-month.md."""

from collections.abc import Iterator
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING

from month import LEAD
from month_pool import DAY, WEEK
from paths import ROOT

if TYPE_CHECKING:
    from alert_groups import Notification
    from healthy_month import Played

DOCUMENT = ROOT / "docs" / "evidence" / "alert-month.md"
HEAD = """# A month of alerts

<!-- Written by `python tests/tools/healthy_month.py --write`; edit tests/tools/month_report.py instead. -->

For engineers who decide whether to leave the alerts switched on: what a healthy fleet of 20 replicas sends in a month, and how soon ten
incidents page. SIMULATED: counters and gauges follow the states in `tests/worlds/month.py`, not engines.

The fleet has four pools: chat (11 replicas by day, 8 by night, a warm spare), code, batch (500 requests queued every evening), and one that
scales to zero. Traffic follows day, night, and weekend. In four weeks there are four rollouts, five node reboots of 12 minutes, six spot nodes
lost, and two bursts a day with a tenth of the first tokens late.

`promtool` evaluates the generated rules, with the recorded series that alerts read, over a sample a minute: pages every 2 minutes and tickets every
5, an hour before to three hours after each incident every minute. Production evaluates them every 15 s to 5 min, so detection here is up to a minute
later. Routes, groups, and inhibition of the generated `alertmanager.yml` are applied by `tests/tools/alert_groups.py`, not by
Alertmanager. A page or ticket is one notification: of a group, from its first message until all of it is resolved.

Each incident is played by itself, with eight hours of the healthy month before it. The overload and the slower version were made milder after
earlier plays, in which they sent two and three pages.

Measured on {date} on 2 shared cores of an AMD EPYC, 24 GiB, Debian 12, with `python tests/tools/healthy_month.py --write`.

"""


def tables(healthy: "Played", hit: "Played") -> str:
    """Return both tables as Markdown."""
    return "\n".join([*_healthy(healthy), *_incidents(hit)]) + "\n"


def _healthy(played: "Played") -> Iterator[str]:
    yield "## A healthy month\n"
    yield "| Week | Pages | Tickets | Tickets' alerts |\n|---|---|---|---|"
    for week in range(played.days // 7):
        tickets = played.tickets_in(week)
        pages = [one for one in played.pages if one.opened // (60 * WEEK) == week + 1]
        yield f"| {week + 1} | {len(pages)} | {len(tickets)} | {'; '.join(map(_named, tickets)) or '-'} |"
    yield from (f"\nPage: {_named(one)}, {_when(one.opened)}." for one in played.pages)


def _incidents(played: "Played") -> Iterator[str]:
    yield "\n## The same month with ten incidents\n"
    yield "| Incident | Pool | Begins | Pages | After (min) | First alerts |\n|---|---|---|---|---|---|"
    after = []
    for incident in played.incidents:
        pages = played.pages_of(incident)
        minutes = [(one.opened - 60 * incident.begins) / 60 for one in pages]
        after += minutes[:1]
        shown = ", ".join(f"{one:.1f}" for one in minutes) or "-"
        names = "; ".join(map(_named, pages)) or "-"
        yield f"| {incident.name} | {incident.pool or 'all'} | {_when(60 * incident.begins)} | {len(pages)} | {shown} | {names} |"
    middle = f"{median(after):.1f}" if after else "-"
    yield f"\nPages: {len(played.pages)}. Median from an incident's beginning to its page: {middle} minutes."
    yield from (f"\nPage of no incident: {_named(one)}, {_when(one.opened)}." for one in played.other_pages)


def _named(one: "Notification") -> str:
    where = one.group.get("pool") or one.group.get("instance", "")
    return f"{', '.join(sorted(one.alerts))} ({where})"


def _when(seconds: float) -> str:
    day, rest = divmod(round(seconds / 60) - LEAD, DAY)
    return f"day {day + 1}, {rest // 60:02}:{rest % 60:02}"


def write(text: str) -> None:
    """Write the document."""
    DOCUMENT.write_text(HEAD.format(date=f"{datetime.now(UTC):%Y-%m-%d}") + text)
