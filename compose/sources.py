"""Where counters are read from, as a user writes it: a Prometheus, or exporters that are scraped directly."""

import time
from collections.abc import Callable, Sequence

from sqlalchemy import Engine

from plimsoll.compose.inputs import read_source
from plimsoll.slo.ledger.scrape_source import ScrapeSource
from plimsoll.slo.sources.prometheus import PrometheusSource
from plimsoll.slo.sources.selector import Selector


def open_source(
    text: str, engine: Engine, wanted: Sequence[Selector], clock: Callable[[], float] = time.time
) -> PrometheusSource | ScrapeSource:
    """Open `prometheus:URL` or `scrape:URL[,URL...]`. Scrapes store the `wanted` series in a database at the time of `clock` (Unix
    seconds). Raises UserError."""
    kind, rest = read_source(text)
    return PrometheusSource(rest) if kind == "prometheus" else ScrapeSource(rest.split(","), engine, wanted, clock)
