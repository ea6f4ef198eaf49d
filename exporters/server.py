"""The exporter's HTTP server: metrics endpoint, landing page, and health endpoints."""

import base64
import binascii
import logging
import math
import secrets
import signal
import socket
import time
from collections.abc import Callable, Sequence
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

from plimsoll.exporters.connections import server_options
from plimsoll.exporters.exposition import Exposition, Renderer
from plimsoll.exporters.log_once import OnceLogger
from plimsoll.exporters.request_threads import in_thread
from plimsoll.exporters.runner import Runner
from plimsoll.slo.hosts import Hosts

TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
# Prometheus waits 10 s by default. The response needs the rest for writing and transfer.
DEFAULT_TIME_LIMIT = 8.0
MAX_TIME_LIMIT = 60.0
MARGIN = 0.5
LANDING = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Plimsoll exporter</title>
<h1>Plimsoll exporter</h1>
<p>Engine and GPU metrics of this node: <a href="metrics">metrics</a>.</p>
<p>Health: <a href="-/healthy">healthy</a>, <a href="-/ready">ready</a>, <a href="-/gpus">GPUs</a>.</p>
</html>
"""


class Health(NamedTuple):
    """What the health endpoints show: why this process needs a restart (empty: it doesn't), and further pages."""

    trouble: Callable[[], str] = str
    pages: Sequence[Route] = ()


def create_app(
    runner: Runner, token: str | None = None, hosts: Hosts | None = None, health: Health | None = None
) -> Starlette:
    """Return the exporter as an ASGI app. With a token, every path but the health endpoints requires it; without, a known host."""
    health = health or Health()

    async def landing(_: Request) -> Response:
        return HTMLResponse(LANDING)

    async def alive(_: Request) -> Response:
        why = health.trouble()
        return PlainTextResponse(f"{why}\n", 503) if why else PlainTextResponse("ok\n")

    return Starlette(
        routes=[
            Route("/", landing),
            _metrics_route(runner),
            Route("/-/healthy", alive),
            Route("/-/ready", alive),
            *health.pages,
        ],
        middleware=[
            Middleware(ConcurrencyLimit),
            Middleware(TokenAuth, token=token) if token else Middleware(KnownHost, hosts=hosts or Hosts()),
            Middleware(GZipMiddleware, compresslevel=1),
        ],
    )


def _metrics_route(runner: Runner) -> Route:
    once = OnceLogger(logging.getLogger(__name__))
    renderer = Renderer()

    def collect(accept: str, deadline: float) -> Exposition:
        return renderer.render(runner.collect(deadline), accept)

    async def metrics(request: Request) -> Response:
        deadline = time.monotonic() + time_limit(request.headers.get(TIMEOUT_HEADER))
        page = await in_thread(collect, request.headers.get("accept", ""), deadline)
        for problem in page.problems:
            once.failed("metrics endpoint", problem)
        if not page.problems:
            once.recovered("metrics endpoint")
        return Response(page.body, headers={"content-type": page.content_type})

    return Route("/metrics", metrics)


def time_limit(header: str | None) -> float:
    """Return the seconds that a scrape may take: the scraper's timeout minus the time to return the response."""
    try:
        timeout = float(header or "")
    except ValueError:
        return DEFAULT_TIME_LIMIT
    if not (math.isfinite(timeout) and timeout > 0):
        return DEFAULT_TIME_LIMIT
    return min(max(timeout - MARGIN, timeout / 2), MAX_TIME_LIMIT)


class Tls(NamedTuple):
    """Files of the server certificate (with its chain) and its private key, both PEM."""

    certificate: Path
    key: Path


def serve(app: ASGIApp, listening: socket.socket, tls: Tls | None = None) -> None:
    """Serve until SIGINT or SIGTERM, then return."""
    # uvicorn shuts down cleanly, then re-raises the signal for the previous handler: ignore it there.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config_of(app, tls)).run(sockets=[listening])


def config_of(app: ASGIApp, tls: Tls | None = None) -> uvicorn.Config:
    """Return the server settings."""
    return uvicorn.Config(
        app,
        log_config=None,
        lifespan="off",
        **server_options(),
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )


# Concurrent scrapes share one collection, so a few scrapers cost little.
MAX_REQUESTS = 16


class TokenAuth:
    """Returns 401 without the token, which clients send as bearer token or as the password of any user (Basic)."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or reject it."""
        if _is_open(scope) or secrets.compare_digest(_secret(HTTPConnection(scope)), self._token):
            await self._app(scope, receive, send)
            return
        challenge = {"WWW-Authenticate": 'Bearer, Basic realm="Plimsoll exporter"'}
        rejection = PlainTextResponse(
            "Authentication required. Send the token as bearer token or as password.\n", 401, challenge
        )
        await rejection(scope, receive, send)


class KnownHost:
    """Returns 421 to requests by a name that isn't the server's: a page of another site may have made it point here."""

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or reject it."""
        if _is_open(scope) or self._hosts.knows(HTTPConnection(scope).headers.get("host")):
            await self._app(scope, receive, send)
            return
        rejection = PlainTextResponse("Unknown host. Use 127.0.0.1, or start the exporter with --allowed-host.\n", 421)
        await rejection(scope, receive, send)


class ConcurrencyLimit:
    """Returns 503 to requests beyond MAX_REQUESTS concurrent ones."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or reject it. All run on one event loop, so no lock is needed."""
        if _is_open(scope):
            await self._app(scope, receive, send)
            return
        if self._inside >= MAX_REQUESTS:
            rejection = PlainTextResponse("Too many concurrent requests. Retry in 1 s.\n", 503, {"Retry-After": "1"})
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
