"""Who may come in, and how many at a time: ASGI middleware of the exporter's page.

The probes below /-/ stay open to all: they tell nothing, and kubelets carry no secrets.
"""

import base64
import binascii
import secrets

from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# Scrapes at the same time share one reading, so a few scrapers are no load; hundreds of connections are nobody's wish.
MOST_REQUESTS = 16


class TokenGate:
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
        refusal = PlainTextResponse("a bearer token, or it as a password, is needed\n", 401, challenge)
        await refusal(scope, receive, send)


class Turnstile:
    """Answers 503 to requests beyond MOST_REQUESTS at a time."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it. All run on one event loop, so a plain number will do."""
        if _is_open(scope):
            await self._app(scope, receive, send)
            return
        if self._inside >= MOST_REQUESTS:
            refusal = PlainTextResponse("too many requests at a time\n", 503, {"Retry-After": "1"})
            await refusal(scope, receive, send)
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
