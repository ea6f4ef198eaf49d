"""Reads once what a source has now, for `plimsoll check`."""

import time
from contextlib import closing, suppress

from plimsoll.compose.inputs import UserError
from plimsoll.compose.sources import SourceInput, open_source
from plimsoll.slo.checks.finding import Finding
from plimsoll.slo.checks.live import Live, live_findings, selectors
from plimsoll.slo.checks.traffic import LOOKBACK
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.scrape_source import ScrapeSource
from plimsoll.slo.sli.increments import MAX_GAP
from plimsoll.slo.sources import SourceError
from plimsoll.slo.sources.prometheus import PrometheusSource
from plimsoll.slo.spec.objectives import Spec


def check_source(spec: Spec, entered: SourceInput) -> list[Finding]:
    """Return the findings that a source gives; raises UserError where it doesn't respond."""
    engine = open_database("sqlite://")  # in memory: one scrape needs no more
    try:
        with closing(open_source(entered, engine, selectors(spec))) as source:
            return _check(spec, source)
    except SourceError as error:
        raise UserError(f"--source {entered}: {error}") from error
    finally:
        engine.dispose()


def _check(spec: Spec, source: PrometheusSource | ScrapeSource) -> list[Finding]:
    found, retention = [], None
    if isinstance(source, ScrapeSource):
        with suppress(SourceError):  # it has them as problems, one by one
            source.scrape()
        found += [
            Finding("error", "source-unavailable", "source", problem, "Check the address.")
            for problem in source.problems
        ]
    else:
        retention = source.retention()
        if retention is None:
            message, fix = "The source doesn't report its retention.", "Compare it with the windows yourself."
            found.append(Finding("info", "retention-unknown", "source", message, fix))
    now = time.time()
    series = source.series(selectors(spec), now - LOOKBACK - MAX_GAP, now)
    return [*found, *live_findings(spec, Live(series, now, retention))]
