"""What the theatre saw, as docs/incident-theatre.md: a table, then each incident as the person on call met it."""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import TYPE_CHECKING

from paths import ROOT

if TYPE_CHECKING:
    from theatre import Act, Page

DOCUMENT = ROOT / "docs" / "incident-theatre.md"
HEAD = """# The incident theatre

<!-- Written by `python tests/tools/theatre.py --write`; edit tests/tools/playbill.py, not this. -->

{count} incidents, played at once, one pool each, through a real Prometheus ({prometheus}) and a real Alertmanager to a local
server that plays PagerDuty's Events API. The numbers are simulated: every replica's counters and gauges follow a file in
`tests/fixtures/theatre/`, and another file is another incident. `tests/test_theatre.py` plays it and asserts: exactly one
page per incident that deserves one, none for the others.

Played on 2026-11-21 on 2 shared cores of an AMD EPYC, Debian 12, Python 3.11, by `python tests/tools/theatre.py --write`.

## Who was paged, and when

Minutes from the beginning of the incident to the first page. *In theory* is the moment at which a page is due without scrapes,
rule intervals and waiting: for burn rates computed by `slo/error_budget/burn_rate.py` from the incident's own requests, else from what the
alert says of itself. *Sloth* and *Pyrra* are rules of their shape (`tests/tools/slo_shapes.py`) for the same objectives, evaluated by
the same Prometheus over the same samples; in brackets how many separate pages they raised, without grouping or inhibition,
which neither brings.

| incident | deserves | ours: pages | after (min) | in theory | Sloth | Pyrra |
|---|---|---|---|---|---|---|
"""
CLOCK = """
## What compressed time changes

A play runs {speeds} times as fast: {minutes} minutes in {wall:.1f}, after three days of calm that `promtool` backfills.
`tests/tools/compressed.py` rewrites the rendered rules and routes; no threshold is touched.

- Every duration is divided by the speed: ranges, offsets, `for`, intervals, group and repeat waits, the 5 minutes for which a
  sample counts, the minute after which Prometheus sends a firing alert again. `rate` and `deriv` are divided too, so that a
  second is a played second, and `time()` is the played time.
- What cannot be compressed counts as much more: HTTP between the parts, a scrape or an evaluation that comes late. A tenth of a
  second of the machine's is 3 to 7 seconds of the play, so times here are good to about half a minute, and late rather than early.
- Scrapes are {scrape:.0f} played seconds apart, and rules run every 30 (health) and 60 (objectives) instead of every 15 and 30:
  detection is up to 30 seconds later than in production.
- A play in which more than {late:.0%} of the scrapes or evaluations came too late is rejected, not reported.
- Ours may page up to two minutes before theory: a burn rate adds up 5-minute rates over its window, so the window's ends are blunt.
"""


def write(acts: Sequence["Act"], prometheus: str, wall: float, scrape: float, late: float) -> None:
    """Write the document. `wall` in seconds, `scrape` in seconds of the play, `late` a share."""
    lengths = sorted({act.incident.until for act in acts})
    speeds = " or ".join(f"{ceil(60 * length / wall)}" for length in lengths)
    minutes = " or ".join(map(str, lengths))
    text = HEAD.format(count=len(acts), prometheus=prometheus) + "".join(map(_row, acts))
    text += CLOCK.format(speeds=speeds, minutes=minutes, wall=wall / 60, scrape=scrape, late=late)
    text += "\n## As it reaches the phone\n" + "".join(line for act in acts for line in _section(act))
    DOCUMENT.write_text(text)


def _row(act: "Act") -> str:
    one = act.incident
    rivals = [_rival([at - one.begins for at in fired]) for fired in act.rivals.values()]
    ours = [_after(page.opened - one.begins) for page in act.pages]
    cells = [one.title, one.deserves, str(len(ours)), ", ".join(ours) or "-", _after(act.theory), *rivals]
    return f"| {' | '.join(cells)} |\n"


def _after(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds / 60:.1f}"


def _rival(fired: Sequence[float]) -> str:
    return f"{fired[0] / 60:.1f} ({len(fired)})" if fired else "-"


def _section(act: "Act") -> Iterator[str]:
    one = act.incident
    yield f"\n### {one.title}\n\n{one.story}\n\n"
    for page in act.pages:
        yield from _page(act, page)
    if not act.pages:
        yield "No page.\n"
    if act.raised:
        end = "one page stands for all" if act.pages else "the exclusion mutes them all"
        yield f"\nFiring in Prometheus meanwhile: {', '.join(sorted(act.raised))}; {end}.\n"
    if act.tickets:
        yield f"\nTickets: {', '.join(sorted(act.tickets))}.\n"


def _page(act: "Act", page: "Page") -> Iterator[str]:
    begins = act.incident.begins
    end = "was still open at the curtain" if page.resolved is None else f"closed at {_after(page.resolved - begins)}"
    yield f"**{page.summary}**\n\n"
    yield f"Opened after {_after(page.opened - begins)} minutes, {end}, {page.events} message{'s' * (page.events > 1)} under one key. It began with:\n\n"
    yield "".join(f"> {line}\n" if line else ">\n" for line in page.details.strip().splitlines())
    if act.why:
        yield f"\nIn theory {_after(act.theory)} minutes: {act.why}.\n"
