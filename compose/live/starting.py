"""Starting objectives for what is live: read from engines or from a source, written to a file."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from plimsoll.compose.engine_tokens import engine_collectors
from plimsoll.compose.inputs import UserError, read_objectives, read_text
from plimsoll.compose.sources import SourceInput, open_source
from plimsoll.exporters.collector import CollectorError
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.slo.checks.starting import Proposal, proposals, selectors
from plimsoll.slo.checks.starting_file import new_file, with_added
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.scrape_source import ScrapeSource
from plimsoll.slo.sli.increments import MAX_GAP
from plimsoll.slo.sources import Series, SourceError
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import SpecError

SECONDS = 10.0  # for one engine's page


def from_engines(engines: Sequence[str], tokens: Sequence[str] = (), wait: float = 0.0) -> list[Series]:
    """Read engines until each has responded, for at most `wait` seconds. Raises UserError where none reports a model by then."""
    left, found = dict(zip(engines, engine_collectors(engines, tokens, None), strict=True)), list[Series]()
    deadline, announced = time.monotonic() + wait, False
    while True:
        problems = {}
        for engine, collector in list(left.items()):
            try:
                found += _series(collector)
                del left[engine]
            except CollectorError as error:
                problems[engine] = str(error)
        if not left or time.monotonic() >= deadline:
            break
        if not announced:
            print(f"Waiting up to {wait:.0f} s for {', '.join(left)}", file=sys.stderr, flush=True)
            announced = True
        time.sleep(1)
    if not any(item.labels.get("model") for item in found):
        reason = next(iter(problems.values()), "the engines report no model.")
        raise UserError(f"no starting objectives: {reason} Start the engine, or name an objectives file.")
    for engine, problem in problems.items():
        print(f"{engine}: {problem}", file=sys.stderr, flush=True)
    return found


def _series(collector: EngineCollector) -> Iterator[Series]:
    now = time.time()
    for point in collector.collect(time.monotonic() + SECONDS):
        yield Series(point.metric.name + point.suffix, dict(point.labels), [(now, point.value)])


def from_source(entered: SourceInput, wanted: Sequence[Selector] | None = None) -> list[Series]:
    """Read the `wanted` series (default: what proposals need) of a source once; raises UserError where it doesn't respond."""
    engine, wanted = open_database("sqlite://"), wanted or selectors()  # in memory: one scrape needs no more
    try:
        with closing(open_source(entered, engine, wanted)) as source:
            if isinstance(source, ScrapeSource):
                source.scrape()
            now = time.time()
            return source.series(wanted, now - MAX_GAP, now)
    except SourceError as error:
        raise UserError(f"--source {entered}: {error}") from error
    finally:
        engine.dispose()


def missing_from(file: Path | None, series: Sequence[Series]) -> list[Proposal]:
    """Return a proposal for each live model that no pool of a file names; there need be no file. Raises UserError."""
    if file is None or not file.exists():
        return proposals(series)
    spec = read_objectives(str(file))
    names = {pool.name for pool in spec.pools}
    ids = {objective.id for objective in spec.objectives}
    taken = names | {one.rpartition("-")[0] for one in ids}
    return proposals(series, {pool.model for pool in spec.pools}, taken)


def text_with(file: Path | None, found: Sequence[Proposal]) -> str:
    """Return the text of a file with the proposals added, or of a new one; raises UserError."""
    if file is None or not file.exists():
        return new_file(found)
    try:
        return with_added(read_text(file, str(file)), found)
    except SpecError as error:
        raise UserError(f"{file}: {error}") from error


def write(file: Path, text: str) -> None:
    """Write an objectives file; raises UserError."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file}: can't be written: {error.strerror}. Choose another file.") from error


def summary(found: Sequence[Proposal]) -> Iterator[str]:
    """Yield a line for each pool, and one for each SLO that couldn't be proposed."""
    for one in found:
        slos = ", ".join(slo.id.removeprefix(f"{one.pool}-") for slo in one.slos if slo.indicator)
        yield f"  pool {one.pool}: {one.model} ({one.kind}): {slos or 'no SLO'}"
        yield from (f"    no {slo.id}: {slo.note}" for slo in one.slos if not slo.indicator)
