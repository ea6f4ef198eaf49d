"""What of the objectives file doesn't fit the live engines: shown on the pages where its numbers would be, with the line to paste."""

import re
from collections.abc import Iterator, Sequence
from shlex import quote
from typing import Protocol

from plimsoll.slo.checks.finding import Finding
from plimsoll.slo.checks.live import FILE, Live, live_findings, selectors
from plimsoll.slo.ledger.scrape_source import ScrapeSource
from plimsoll.slo.sli.data_problem import DataProblem
from plimsoll.slo.sli.increments import MAX_GAP
from plimsoll.slo.sources import Source
from plimsoll.slo.spec.objectives import Spec

# Findings that leave a number out. The rest is for `plimsoll check`, which reads an hour of traffic.
SHOWN = ("model-without-pool", "pool-not-live", "threshold-not-a-bound", "evidence-missing")
_PLACE = re.compile(r"(pools|objectives)\[(\d+)\]")


class Reloads(Protocol):
    """The objectives file (its path; None: the bundled one), and how reading it again went: at the last attempt, and when it last succeeded (Unix seconds)."""

    path: str | None
    successful: bool
    succeeded_at: float


def configuration_problems(spec: Spec, source: Source, now: float, reloads: Reloads | None = None) -> list[DataProblem]:
    """Compare the objectives, which `reloads` reads again, with what is live at `now` (Unix seconds); raises SourceError."""
    wanted, file = selectors(spec), (reloads and reloads.path) or FILE
    # The embedded source stores only what is counted, and not the bounds beside a threshold.
    series = source.now(wanted) if isinstance(source, ScrapeSource) else source.series(wanted, now - MAX_GAP, now)
    return list(_problems(spec, live_findings(spec, Live(series, now, source=quote(source.name), file=quote(file)))))


def _problems(spec: Spec, found: Sequence[Finding]) -> Iterator[DataProblem]:
    for one in found:
        if one.code in SHOWN:
            place = _PLACE.match(one.path)
            index = int(place[2]) if place else 0
            objective = spec.objectives[index] if place and place[1] == "objectives" else None
            pool = objective.pool if objective else spec.pools[index].name if place else ""
            where = f"Line `{one.path}` of the objectives file"
            yield DataProblem(one.code, where, one.message, one.fix, None, pool, objective.id if objective else "")
