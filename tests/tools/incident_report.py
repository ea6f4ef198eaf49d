"""Outcomes of an incident replay as docs/evidence/alert-validation.md: a table, then each incident with its pages."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING

from paths import ROOT

if TYPE_CHECKING:
    from incident_replay import Outcome, Page

DOCUMENT = ROOT / "docs" / "evidence" / "alert-validation.md"
HEAD = """# Alert validation

<!-- Written by `python tests/tools/incident_replay.py --write`; edit tests/tools/incident_report.py instead. -->

For engineers who decide whether to rely on the alerts: which of {count} simulated incidents page, when, and with which text.

The incidents run through a real Prometheus ({prometheus}) and a real Alertmanager to a local server that implements PagerDuty's
Events API. The data is simulated: every replica's counters and gauges follow a file in `tests/fixtures/incidents/`; add a file to
add an incident. `tests/alerts/test_incident_replay.py` runs them and asserts exactly one page for each incident that requires one,
and none for the others.

Measured on {date} on 2 shared cores of an AMD EPYC, Debian 12, Python 3.11, with `python tests/tools/incident_replay.py --write`.

## Detection time

Minutes from the start of the incident to the first page. *Theory* is the time at which a page is due without delays of scrapes,
rule intervals, and routing: for burn rates as computed by `slo/error_budget/burn_rate.py` from the incident's requests, for other
alerts from their definition. *Sloth* and *Pyrra* are rules as these tools generate them (`tests/tools/slo_shapes.py`) for the same
SLOs, evaluated by the same Prometheus over the same samples. In parentheses: how many pages fired, without grouping or inhibition,
which neither tool generates.

| Incident | Expected | Pages | After (min) | Theory (min) | Sloth (min) | Pyrra (min) |
|---|---|---|---|---|---|---|
"""
METHOD = """
## Effects of accelerated time

A run is accelerated {speeds} times: {minutes} minutes take {wall:.1f}, after three days of normal traffic that `promtool` backfills.
`tests/tools/time_compression.py` rewrites the rendered rules and routes. Thresholds don't change.

- Every duration is divided by the speed: ranges, offsets, `for`, intervals, group and repeat waits, the lookback of 5 minutes, and
  the resend delay of 1 minute. `rate` and `deriv` are divided too, so that a second is a simulated second, and `time()` is the
  simulated time.
- Delays of the machine aren't divided: HTTP requests, late scrapes, and late evaluations. 0.1 s of real time is 3 to 7 simulated
  seconds, so times are accurate to about 30 s, and late rather than early.
- Scrapes are {scrape:.0f} simulated seconds apart, and rules run every 30 s (health) and 60 s (SLOs) instead of every 15 s and 30 s.
  Detection is up to 30 s later than in production.
- A run that misses more than {missed:.0%} of its scrapes or evaluations is rejected.
- Pages may fire up to two minutes before theory: a burn rate sums 5-minute rates over its window, so the window's ends aren't sharp.
"""


def write(outcomes: Sequence["Outcome"], prometheus: str, wall: float, scrape: float, missed: float) -> None:
    """Write the document. `wall` is in seconds, `scrape` in simulated seconds, `missed` a ratio."""
    lengths = sorted({one.incident.until for one in outcomes})
    speeds = " or ".join(f"{ceil(60 * length / wall)}" for length in lengths)
    minutes = " or ".join(map(str, lengths))
    text = HEAD.format(count=len(outcomes), prometheus=prometheus, date=f"{datetime.now(UTC):%Y-%m-%d}")
    text += "".join(map(_row, outcomes))
    text += METHOD.format(speeds=speeds, minutes=minutes, wall=wall / 60, scrape=scrape, missed=missed)
    text += "\n## Notifications\n" + "".join(line for outcome in outcomes for line in _section(outcome))
    DOCUMENT.write_text(text)


def _row(outcome: "Outcome") -> str:
    one = outcome.incident
    others = [_other([at - one.begins for at in fired]) for fired in outcome.others.values()]
    ours = [_after(page.opened - one.begins) for page in outcome.pages]
    cells = [one.title, one.expected, str(len(ours)), ", ".join(ours) or "-", _after(outcome.theory), *others]
    return f"| {' | '.join(cells)} |\n"


def _after(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds / 60:.1f}"


def _other(fired: Sequence[float]) -> str:
    return f"{fired[0] / 60:.1f} ({len(fired)})" if fired else "-"


def _section(outcome: "Outcome") -> Iterator[str]:
    one = outcome.incident
    yield f"\n### {one.title}\n\n{one.story}\n\n"
    for page in outcome.pages:
        yield from _page(outcome, page)
    if not outcome.pages:
        yield "No page.\n"
    if outcome.raised:
        end = "grouped into one page" if outcome.pages else "muted by the exclusion"
        yield f"\nFired in Prometheus, {end}: {', '.join(sorted(outcome.raised))}.\n"
    if outcome.tickets:
        yield f"\nTickets: {', '.join(sorted(outcome.tickets))}.\n"


def _page(outcome: "Outcome", page: "Page") -> Iterator[str]:
    begins = outcome.incident.begins
    end = "open at the end of the run" if page.resolved is None else f"resolved at {_after(page.resolved - begins)} min"
    yield f"**{page.summary}**\n\n"
    yield f"Opened at {_after(page.opened - begins)} min, {end}, {page.events} event{'s' * (page.events > 1)} under one key. First event:\n\n"
    yield "".join(f"> {line}\n" if line else ">\n" for line in page.details.strip().splitlines())
    if outcome.reason:
        yield f"\nTheory: {_after(outcome.theory)} min ({outcome.reason}).\n"
