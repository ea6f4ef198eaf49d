"""The exporter's HTTP side: the metrics page, a landing page and two probes."""

import base64
import binascii
import logging
import math
import secrets
import signal
import socket
import time
from pathlib import Path
from typing import NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from plimsoll.exporters.exposition import Renderer
from plimsoll.exporters.log_once import OnceLogger
from plimsoll.exporters.runner import Runner

TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
# Prometheus waits 10 s unless told otherwise; the answer needs time to be written and to travel.
DEFAULT_TIME_LIMIT = 8.0
MAX_TIME_LIMIT = 60.0
MARGIN = 0.5
MAX_CONNECTIONS = 500
LANDING = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Plimsoll exporter</title>
<h1>Plimsoll exporter</h1>
<p>Engine and GPU numbers of this node: <a href="metrics">metrics</a>.</p>
<p>Probes: <a href="-/healthy">healthy</a>, <a href="-/ready">ready</a>.</p>
</html>
"""


def create_app(runner: Runner, token: str | None = None) -> Starlette:
    """The exporter as an ASGI app. With a token, all but the probes ask for it. No other paths exist."""
    once = OnceLogger(logging.getLogger(__name__))
    renderer = Renderer()

    # Plain functions: Starlette runs them in its thread pool, off the event loop.
    def metrics(request: Request) -> Response:
        points = runner.collect(time.monotonic() + time_limit(request.headers.get(TIMEOUT_HEADER)))
        page = renderer.render(points, request.headers.get("accept", ""))
        for problem in page.problems:
            once.failed("metrics page", problem)
        if not page.problems:
            once.recovered("metrics page")
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
            Middleware(ConcurrencyLimit),
            *([Middleware(TokenAuth, token=token)] if token else []),
            Middleware(GZipMiddleware, compresslevel=1),
        ],
    )


def time_limit(header: str | None) -> float:
    """Seconds that a scrape may take: the scraper's own timeout less what the answer's way back needs."""
    try:
        timeout = float(header or "")
    except ValueError:
        return DEFAULT_TIME_LIMIT
    if not (math.isfinite(timeout) and timeout > 0):
        return DEFAULT_TIME_LIMIT
    return min(max(timeout - MARGIN, timeout / 2), MAX_TIME_LIMIT)


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
        limit_concurrency=MAX_CONNECTIONS,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )


# Scrapes at the same time share one reading, so a few scrapers are no load; hundreds of connections are nobody's wish.
MAX_REQUESTS = 16


class TokenAuth:
    """Answers 401 to whoever lacks the token, which may come as a bearer token or as the password of any user (Basic)."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if _is_open(scope) or secrets.compare_digest(_secret(HTTPConnection(scope)), self._token):
            await self._app(scope, receive, send)
            return
        challenge = {"WWW-Authenticate": 'Bearer, Basic realm="Plimsoll exporter"'}
        rejection = PlainTextResponse("a bearer token, or it as a password, is needed\n", 401, challenge)
        await rejection(scope, receive, send)


class ConcurrencyLimit:
    """Answers 503 to requests beyond MOST_REQUESTS at a time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it. All run on one event loop, so a plain number will do."""
        if _is_open(scope):
            await self._app(scope, receive, send)
            return
        if self._inside >= MAX_REQUESTS:
            rejection = PlainTextResponse("too many requests at a time\n", 503, {"Retry-After": "1"})
            await rejection(scope, receive, send)
            return
        self._inside += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._inside -= 1


def _is_open(scope: Scope) -> bool:
    return scope["type"] != "http" or str(scope["path"]).startswith("/-/")


def _secret(connection: HTTPConnection) -> bytes:
    scheme, _, credentials = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(credentials, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return credentials.encode() if scheme.lower() == "bearer" else b""
