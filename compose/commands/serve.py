"""`plimsoll serve`: the SLO service."""

import argparse
import logging
import os
from collections.abc import Callable
from pathlib import Path

import httpx
import uvicorn
from fastapi.telemetry import TelemetryConfig

import alerts
from compose.databases import open_ledger
from compose.inputs import UserError, read_address, read_objectives
from compose.listen import SERVICE_TOKEN, WEBHOOK_TOKEN, open_socket, read_token
from compose.sources import open_source
from exporters.footprint import settle
from slo import catalogue, gateway
from slo.capacity import signals
from slo.indicators import Selector, countings
from slo.ledger import pool_booking
from slo.ledger.store import Ledger
from slo.service.app import create_app
from slo.service.state import Service
from slo.service.tokens import Token, read_tokens, token
from slo.service.webhook import Webhook
from slo.spec import Spec

# OpenTelemetry's variables that name a receiver (specification, OTLP exporter); without one there is no telemetry.
OTLP = [f"OTEL_EXPORTER_OTLP_{signal}ENDPOINT" for signal in ("", "TRACES_", "METRICS_")]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("serve", help="run the SLO service", description=__doc__)
    parser.add_argument("--objectives", metavar="FILE", help="objectives file (default: the packaged one)")
    parser.add_argument(
        "--source",
        required=True,
        metavar="SOURCE",
        help="prometheus:URL to read a Prometheus, or scrape:URL[,URL...] to scrape exporters directly",
    )
    parser.add_argument(
        "--db",
        default="sqlite:///plimsoll.db",
        metavar="URL",
        help="SQLAlchemy URL of the ledger (default: %(default)s)",
    )
    parser.add_argument(
        "--listen",
        default="127.0.0.1:8080",
        metavar="HOST:PORT",
        help=f"address (default: %(default)s); beyond loopback {SERVICE_TOKEN} or {SERVICE_TOKEN}_FILE must give a bearer token",
    )
    parser.add_argument(
        "--tokens", metavar="FILE", help="file of tokens that may read or write, as `plimsoll token` prints them"
    )
    parser.add_argument(
        "--webhook",
        metavar="URL",
        help=f"POST every new recommendation there; {WEBHOOK_TOKEN} or {WEBHOOK_TOKEN}_FILE may give a bearer token",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    spec, (host, port) = read_objectives(args.objectives), read_address(args.listen)
    tokens, webhook = _tokens(args.tokens), _webhook(args.webhook)
    engine = open_ledger(args.db)
    source = open_source(args.source, engine, wanted(spec))
    listening = open_socket(host, port, tokens[0].name if tokens else None, SERVICE_TOKEN)
    runbooks = (Path(alerts.__file__).parent / "runbooks.md").read_text(encoding="utf-8")
    service = Service(spec, source, Ledger(engine))
    service.webhook = webhook
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
    return 0


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


def _webhook(url: str | None) -> Webhook | None:
    if url is None:
        return None
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UserError(f"--webhook {url!r}: write an address such as https://ops.example/plimsoll")
    if parsed.userinfo:
        raise UserError(f"--webhook: put the password into {WEBHOOK_TOKEN}, not into the address")
    return Webhook(url, read_token(os.environ, WEBHOOK_TOKEN))


def _tokens(file: str | None) -> list[Token]:
    """Return the tokens of the file, and the one of the environment, which may do everything."""
    text = read_token(os.environ, SERVICE_TOKEN)
    found = [token("environment", "write", text)] if text else []
    if file is None:
        return found
    try:
        listed = read_tokens(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"--tokens {file}: {error}") from error
    if not listed:
        raise UserError(f"--tokens {file}: has no token; make one with `plimsoll token NAME read`")
    return found + listed


def wanted(spec: Spec) -> list[Selector]:
    """Return every selector that ledger and recommender read: what the embedded source keeps of a page."""
    fleet = (catalogue.REPLICA_START, catalogue.REPLICA_INFO, catalogue.GPU_ENERGY, catalogue.GPU_ASSIGNMENT)
    found = [Selector(metric.name, ()) for metric in fleet]
    for pool in spec.pools:
        found += [*signals.selectors(pool), *pool_booking.selectors(pool)]
    for objective in spec.objectives:
        pool = spec.pool(objective.pool)
        for counting in countings(objective, pool):
            found += counting.selectors
        found += gateway.selectors(objective, pool) if objective.per else []
    return list(dict.fromkeys(found))
