"""Where counters are read from, as a user writes it: a Prometheus, or exporters that are scraped directly."""

from collections.abc import Sequence

from sqlalchemy import Engine

from compose.inputs import UserError
from slo.indicators import Selector
from slo.sources.prometheus import PrometheusSource
from slo.sources.scrape import ScrapeSource


def open_source(text: str, engine: Engine, wanted: Sequence[Selector]) -> PrometheusSource | ScrapeSource:
    """Read `prometheus:URL` or `scrape:URL[,URL...]`, whose scrapes of what is `wanted` are kept in a database; raises UserError."""
    kind, _, rest = text.partition(":")
    if kind == "prometheus" and rest.startswith("http"):
        return PrometheusSource(rest)
    if kind == "scrape" and rest.startswith("http"):
        return ScrapeSource(rest.split(","), engine, wanted)
    raise UserError(f"--source {text!r}: write prometheus:http://HOST:9090 or scrape:http://HOST:9800[,...]")
