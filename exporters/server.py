"""The exporter's HTTP side: the metrics page, a landing page and two probes."""

import logging
import math
import secrets
import signal
import socket
import time

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from exporters.exposition import Renderer
from exporters.journal import Journal
from exporters.runner import Runner

TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
# Prometheus waits 10 s unless told otherwise; the answer needs time to be written and to travel.
DEFAULT_PATIENCE = 8.0
LONGEST_PATIENCE = 60.0
MARGIN = 0.5
LANDING = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Plimsoll exporter</title>
<h1>Plimsoll exporter</h1>
<p>Engine and GPU numbers of this node: <a href="metrics">metrics</a>.</p>
<p>Probes: <a href="-/healthy">healthy</a>, <a href="-/ready">ready</a>.</p>
</html>
"""


def create_app(runner: Runner, token: str | None = None) -> Starlette:
    """The exporter as an ASGI app. With a token, all but the probes ask for it as a bearer token."""
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
            *([Middleware(BearerGate, token=token)] if token else []),
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


class BearerGate:
    """Answers 401 to whoever lacks the token. The probes stay open: they tell nothing, and kubelets carry no secrets."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or scope["path"].startswith("/-/") or self._admits(HTTPConnection(scope)):
            await self._app(scope, receive, send)
            return
        refusal = PlainTextResponse("a bearer token is needed\n", 401, {"WWW-Authenticate": "Bearer"})
        await refusal(scope, receive, send)

    def _admits(self, connection: HTTPConnection) -> bool:
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and secrets.compare_digest(token.encode(), self._token)


def serve(app: ASGIApp, listening: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, then return."""
    # uvicorn ends cleanly and then raises the signal again for whoever handled it before: here, nobody needs it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False)
    uvicorn.Server(config).run(sockets=[listening])
