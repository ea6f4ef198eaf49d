"""The SLO service with its parts, until it is interrupted."""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn
from fastapi.telemetry import TelemetryConfig

import alerts
from compose.databases import open_ledger
from compose.inputs import UserError
from compose.listen import SERVICE_TOKEN, open_socket
from compose.sources import open_source
from exporters.footprint import settle
from slo import catalogue, gateway
from slo.capacity import intervals, signals
from slo.capacity.prices import Prices
from slo.indicators import Selector, countings
from slo.ledger import pool_booking
from slo.ledger.store import Ledger
from slo.service.app import create_app
from slo.service.state import Service
from slo.service.tokens import Token
from slo.service.webhook import Webhook
from slo.spec import Spec

# OpenTelemetry's variables that name a receiver (specification, OTLP exporter); without one there is no telemetry.
OTLP = [f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT" for signal in ("", "TRACES_", "METRICS_")]


def serve(
    spec: Spec,
    places: tuple[str, str, tuple[str, int]],
    tokens: Sequence[Token],
    webhook: tuple[str, str | None] | None,
    prices: Prices,
) -> None:
    """Serve until interrupted; `places` are source, database and (host, port), `webhook` an address and its token. Raises UserError."""
    where, database, (host, port) = places
    engine = open_ledger(database)
    source = open_source(where, engine, wanted(spec))
    listening = open_socket(host, port, tokens[0].name if tokens else None, SERVICE_TOKEN)
    runbooks = (Path(alerts.__file__).parent / "runbooks.md").read_text(encoding="utf-8")
    service = Service(spec, source, Ledger(engine))
    service.prices = prices
    service.webhook = None if webhook is None else Webhook(*webhook)
    telemetry, end_telemetry = _telemetry(service)
    app = create_app(service, tokens, runbooks, telemetry=telemetry)
    address = ":".join(map(str, listening.getsockname()[:2]))
    logging.getLogger("plimsoll").info("SLO service on http://%s, counting from %s", address, source.name)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=3, server_header=False)
    settle()  # a search of all that was imported for garbage would hold an answer up by a tenth of a second
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        end_telemetry()


def _telemetry(service: Service) -> tuple[TelemetryConfig | None, Callable[[], object]]:
    """Push the service's own traces and metrics where the standard variables say so; returns what the application needs, and what ends it."""
    named = [name for name in OTLP if os.environ.get(name)]
    if not named:
        return None, bool
    try:
        from slo.service.telemetry import observe  # noqa: PLC0415 - needs the extra, and costs nothing without a receiver
    except ModuleNotFoundError as error:
        raise UserError(f"{named[0]}: needs the package {error.name!r}: pip install 'plimsoll-slo[otel]'") from error
    return observe(service, os.environ)


def wanted(spec: Spec) -> list[Selector]:
    """Return every selector that ledger, recommender and calibration read: what the embedded source keeps of a page."""
    fleet = (catalogue.REPLICA_START, catalogue.REPLICA_INFO, catalogue.GPU_ENERGY, catalogue.GPU_ASSIGNMENT)
    found = [Selector(metric.name, ()) for metric in fleet]
    for pool in spec.pools:
        found += [*signals.selectors(pool), *pool_booking.selectors(pool), *intervals.selectors(pool)]
    for objective in spec.objectives:
        pool = spec.pool(objective.pool)
        for counting in countings(objective, pool):
            found += counting.selectors
        found += gateway.selectors(objective, pool) if objective.per else []
    return list(dict.fromkeys(found))
