"""The exporter's HTTP side: the metrics page, a landing page and two probes."""

import logging
import math
import signal
import socket
import time
from pathlib import Path
from typing import NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from exporters.exposition import Renderer
from exporters.gates import TokenGate, Turnstile
from exporters.journal import Journal
from exporters.runner import Runner

TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
# Prometheus waits 10 s unless told otherwise; the answer needs time to be written and to travel.
DEFAULT_PATIENCE = 8.0
LONGEST_PATIENCE = 60.0
MARGIN = 0.5
MOST_CONNECTIONS = 500
LANDING = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Plimsoll exporter</title>
<h1>Plimsoll exporter</h1>
<p>Engine and GPU numbers of this node: <a href="metrics">metrics</a>.</p>
<p>Probes: <a href="-/healthy">healthy</a>, <a href="-/ready">ready</a>.</p>
</html>
"""


def create_app(runner: Runner, token: str | None = None) -> Starlette:
    """The exporter as an ASGI app. With a token, all but the probes ask for it. No other paths exist."""
    journal = Journal(logging.getLogger(__name__))
    renderer = Renderer()

    # Plain functions: Starlette runs them in its thread pool, off the event loop.
    def metrics(request: Request) -> Response:
        points = runner.collect(time.monotonic() + patience(request.headers.get(TIMEOUT_HEADER)))
        page = renderer.render(points, request.headers.get("accept", ""))
        for problem in page.problems:
            journal.failed("metrics page", problem)
        if not page.problems:
            journal.well("metrics page")
        return Response(page.body, headers={"content-type": page.content_type})

    async def landing(_: Request) -> Response:
        return HTMLResponse(LANDING)

    async def alive(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    return Starlette(
        routes=[
            Route("/", landing),
            Route("/metrics", metrics),
            Route("/-/healthy", alive),
            Route("/-/ready", alive),
        ],
        middleware=[
            Middleware(Turnstile),
            *([Middleware(TokenGate, token=token)] if token else []),
            Middleware(GZipMiddleware, compresslevel=1),
        ],
    )


def patience(header: str | None) -> float:
    """Seconds that a scrape may take: the scraper's own timeout less what the answer's way back needs."""
    try:
        timeout = float(header or "")
    except ValueError:
        return DEFAULT_PATIENCE
    if not (math.isfinite(timeout) and timeout > 0):
        return DEFAULT_PATIENCE
    return min(max(timeout - MARGIN, timeout / 2), LONGEST_PATIENCE)


class Tls(NamedTuple):
    """Files of the server's certificate (with its chain) and its private key, both PEM."""

    certificate: Path
    key: Path


def serve(app: ASGIApp, listening: socket.socket, tls: Tls | None = None) -> None:
    """Serve until SIGINT or SIGTERM, then return."""
    # uvicorn ends cleanly and then raises the signal again for whoever handled it before: here, nobody needs it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config_of(app, tls)).run(sockets=[listening])


def config_of(app: ASGIApp, tls: Tls | None = None) -> uvicorn.Config:
    """The server's settings. Beyond MOST_CONNECTIONS it answers 503: whoever holds so many open wants no metrics."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
