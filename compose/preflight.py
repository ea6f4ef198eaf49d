"""One look at a source's live data, for `plimsoll check`."""

import time
from contextlib import closing

from plimsoll.compose.inputs import UserError
from plimsoll.compose.sources import open_source
from plimsoll.slo.checks.live import LOOK, Live, live_findings, selectors
from plimsoll.slo.checks.offline import Finding
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.scrape_source import ScrapeSource
from plimsoll.slo.sli.increments import MAX_GAP
from plimsoll.slo.sources import SourceError
from plimsoll.slo.sources.prometheus import PrometheusSource
from plimsoll.slo.spec.objectives import Spec


def look(spec: Spec, text: str) -> list[Finding]:
    """Return the findings that a source gives; raises UserError where it doesn't respond at all."""
    engine = open_database("sqlite://")  # in memory: one scrape needs no more
    try:
        with closing(open_source(text, engine, selectors(spec))) as source:
            return _look(spec, source)
    except SourceError as error:
        raise UserError(f"--source {text}: {error}") from error
    finally:
        engine.dispose()


def _look(spec: Spec, source: PrometheusSource | ScrapeSource) -> list[Finding]:
    found, retention = [], None
    if isinstance(source, ScrapeSource):
        try:
            source.scrape()
        except SourceError as error:  # some pages may have answered
            found.append(Finding("error", "source", str(error)))
    else:
        retention = source.retention()
        if retention is None:
            why = "retention is unknown. Compare it with the SLO windows by hand."
            found.append(Finding("info", "source", why))
    now = time.time()
    series = source.series(selectors(spec), now - LOOK - MAX_GAP, now)
    return [*found, *live_findings(spec, Live(series, now, retention))]
