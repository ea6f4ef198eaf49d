"""The SLO service with its parts, until it is interrupted."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import uvicorn
from fastapi.telemetry import TelemetryConfig

from plimsoll import alerts
from plimsoll.compose.databases import open_ledger
from plimsoll.compose.inputs import UserError
from plimsoll.compose.listen import SERVICE_TOKEN, open_socket
from plimsoll.compose.outgoing.receivers import Outgoing
from plimsoll.compose.reload import ObjectivesFile
from plimsoll.compose.sources import SourceInput, open_source
from plimsoll.exporters.connections import server_options
from plimsoll.exporters.gc_tuning import freeze_objects
from plimsoll.slo import metrics
from plimsoll.slo.capacity.calibration import intervals
from plimsoll.slo.capacity.model import signals
from plimsoll.slo.capacity.model.prices import Prices
from plimsoll.slo.ledger.scrape_source import ScrapeSource
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.access import Access
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.change_events import ChangeEvents
from plimsoll.slo.service.state import Service
from plimsoll.slo.service.system_clock import SystemClock
from plimsoll.slo.service.webhook import Webhook
from plimsoll.slo.sli import gateway_counts
from plimsoll.slo.sli.evidence import countings
from plimsoll.slo.sources.prometheus import PrometheusSource
from plimsoll.slo.sources.recent import RecentSource
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Spec
from plimsoll.slo.usage import slots

# OpenTelemetry's variables for the endpoint (specification, OTLP exporter). Telemetry is off without one.
OTLP = [f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT" for signal in ("", "TRACES_", "METRICS_")]


def serve(
    spec: Spec,
    places: tuple[SourceInput, str, tuple[str, int]],
    access: Access,
    outgoing: Outgoing,
    prices: Prices,
    around: tuple[str | None, str],
) -> None:
    """Serve until interrupted. `places`: source, database, and (host, port); `around`: path of the file that
    `spec` was read from (None: the bundled file), and Grafana's URL. Raises UserError.
    """
    objectives, grafana = around
    where, database, (host, port) = places
    engine = open_ledger(database)
    clock = SystemClock()
    opened = open_source(where, engine, wanted(spec), clock)
    source = RecentSource(opened) if isinstance(opened, PrometheusSource) else opened
    listening = open_socket(host, port, None if access.is_open else "required", SERVICE_TOKEN)
    runbooks = (Path(alerts.__file__).parent / "runbooks.md").read_text(encoding="utf-8")
    service = Service(spec, source, Ledger(engine), clock)
    service.records.prices = prices
    service.webhook = None if outgoing.webhook is None else Webhook(*outgoing.webhook)
    service.change_events = None if outgoing.pagerduty is None else ChangeEvents(*outgoing.pagerduty)
    service.deliveries = outgoing.review_deliveries()
    service.reloads = file = ObjectivesFile(objectives, lambda new: _reload(service, new))
    telemetry, end_telemetry = _telemetry(service)
    app = create_app(service, access, runbooks, telemetry=telemetry, grafana=grafana)
    address = ":".join(map(str, listening.getsockname()[:2]))
    logging.getLogger("plimsoll").info("SLO service on http://%s, source %s", address, source.name)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3, **server_options())
    freeze_objects()  # a garbage collection of all imported objects would delay a response by 0.1 s
    file.start()
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        end_telemetry()


def _reload(service: Service, spec: Spec) -> None:
    """Put other objectives into use."""
    if isinstance(service.source, ScrapeSource):
        service.source.wanted = tuple(wanted(spec))
    service.reload(spec)


def _telemetry(service: Service) -> tuple[TelemetryConfig | None, Callable[[], object]]:
    """Push the service's own traces and metrics to the OTLP endpoint. Return the application's configuration and a stop function."""
    named = [name for name in OTLP if os.environ.get(name)]
    if not named:
        return None, bool
    try:
        from plimsoll.slo.service.telemetry import observe  # noqa: PLC0415 - needs the extra, and costs nothing without a receiver
    except ModuleNotFoundError as error:
        raise UserError(
            f"{named[0]}: the package {error.name!r} isn't installed. Run `pip install 'plimsoll-slo[otel]'`."
        ) from error
    return observe(service, os.environ)


def wanted(spec: Spec) -> list[Selector]:
    """Return every selector that ledger, recommender and calibration read. The embedded source stores only these."""
    fleet = (
        metrics.REPLICA_START,
        metrics.REPLICA_INFO,
        metrics.REPLICA_POD,
        metrics.GPU_ENERGY,
        metrics.GPU_ASSIGNMENT,
    )
    found = [Selector(metric.name, ()) for metric in fleet]
    for pool in spec.pools:
        found += [*signals.selectors(pool), *slots.selectors(pool), *intervals.selectors(pool)]
    for objective in spec.objectives:
        pool = spec.pool(objective.pool)
        for counting in countings(objective, pool):
            found += counting.selectors
        found += gateway_counts.selectors(objective, pool) if gateway_counts.are_read(objective) else []
    return list(dict.fromkeys(found))
