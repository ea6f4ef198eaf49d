"""Every generated page of docs/reference, by file name."""

from plimsoll.compose.inputs import read_objectives
from plimsoll.compose.reference.api import api_page
from plimsoll.compose.reference.cli import cli_page
from plimsoll.compose.reference.engines import engines_page
from plimsoll.compose.reference.metrics import metrics_page, recorded_page
from plimsoll.compose.reference.objectives import objectives_page
from plimsoll.compose.reference.rules import alerts_page
from plimsoll.dashboards.reference import reference as dashboards_page
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sources.prometheus import PrometheusSource


def pages() -> dict[str, str]:
    """Return file name -> text, for the packaged objectives."""
    spec = read_objectives(None)
    service = Service(spec, PrometheusSource("http://127.0.0.1:9090"), Ledger(open_database("sqlite://")))
    return {
        "metrics.md": metrics_page(),
        "recorded-series.md": recorded_page(spec),
        "alerts.md": alerts_page(spec),
        "api.md": api_page(create_app(service).openapi()),
        "cli.md": cli_page(),
        "engines.md": engines_page(),
        "dashboards.md": dashboards_page(spec),
        "objectives-file.md": objectives_page(),
    }
