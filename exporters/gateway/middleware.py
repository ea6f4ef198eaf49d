"""An ASGI middleware for gateways (FastAPI, Starlette, ...): counts the outcome, tokens and times of each generation by tenant.

    app.add_middleware(PlimsollMiddleware, tenant=lambda scope: scope["state"].get("team"))
    app.mount("/metrics", prometheus_client.make_asgi_app())

Streams pass through without buffering. A failure while counting is logged once and loses only the count of that request.
With opentelemetry-api installed, it opens a span and sets its traceparent in the request's headers. If the app forwards them,
the engine's span becomes a child of it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import msgspec
from prometheus_client import REGISTRY, CollectorRegistry
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plimsoll.exporters.gateway.metrics import Counts, EndedRequest
from plimsoll.exporters.gateway.response import Response
from plimsoll.exporters.log_once import OnceLogger

with suppress(ModuleNotFoundError):  # without opentelemetry-api nothing is traced
    from plimsoll.exporters.gateway import tracing

PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses")
# Maximum size in bytes of a request body that is parsed for the model's name.
MAX_BODY = 2**22

Tenant = Callable[[Scope], str | None]


class _RequestBody(msgspec.Struct):
    model: str = "unknown"


def by_header(scope: Scope) -> str | None:
    """Return the header X-Tenant, the default tenant. Where requests are authenticated, use the authenticated name instead."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == b"x-tenant"), None)


class PlimsollMiddleware:
    """Counts POST requests to `paths` under the gateway's name.

    It calls `tenant` when a request has ended, so that the app can set `request.state` first. At most `most` tenants and
    `most` models are distinguished; the rest are `other`.
    """

    def __init__(
        self,
        app: ASGIApp,
        name: str = "gateway",
        tenant: Tenant = by_header,
        most: int = 100,
        paths: Iterable[str] = PATHS,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._app = app
        self._paths = frozenset(paths)
        self._tenant = tenant
        self._counts = Counts(name, most, registry)
        self._once = OnceLogger(logging.getLogger(__name__))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count it when it ends."""
        if scope["type"] != "http" or scope["path"] not in self._paths or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        request = _Request(scope)
        self._guard(request, request.open)
        reason: str | None = "5xx"
        try:
            await self._app(request.scope, self._receiving(request, receive), self._sending(request, send))
            reason = None
        except (asyncio.CancelledError, ClientDisconnect):
            reason = "client_closed"
            raise
        finally:
            self._guard(request, self._end, request, reason)

    def _receiving(self, request: "_Request", receive: Receive) -> Receive:
        async def observe() -> Message:
            message = await receive()
            self._guard(request, request.on_request, message)
            return message

        return observe

    def _sending(self, request: "_Request", send: Send) -> Send:
        async def observe(message: Message) -> None:
            self._guard(request, request.on_response, message)
            await send(message)

        return observe

    def _guard(self, request: "_Request", action: Callable[..., None], *arguments: Any) -> None:
        """Run one step of counting. A failure is logged once, and the request isn't counted."""
        if request.failed:
            return
        try:
            action(*arguments)
        except Exception as error:
            request.failed = True
            self._once.failed("gateway", f"request not counted: {type(error).__name__}: {error}")

    def _end(self, request: "_Request", reason: str | None) -> None:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            request.model = msgspec.json.decode(request.body, type=_RequestBody).model
        request.response.finish()
        ended = EndedRequest(
            request.model,
            self._tenant(request.scope) or "none",
            request.reason(reason),
            time.monotonic() - request.started,
            request.response,
        )
        self._counts.add(ended)
        if request.span is not None:
            tracing.describe_span(request.span, ended, request.scope["state"])
            request.span.end()


class _Request:
    """One request in progress."""

    def __init__(self, scope: Scope) -> None:
        self.scope: Scope = {**scope, "state": scope.get("state", {})}
        self.started = time.monotonic()
        self.response = Response()
        self.model = "unknown"
        self.body = bytearray()
        self.span: Any = None
        self.failed = False
        self._client_closed = self._whole = False

    def open(self) -> None:
        """Open the span, if tracing is available."""
        if "tracing" in globals():
            self.span, self.scope["headers"] = tracing.open_span(self.scope)

    def on_request(self, message: Message) -> None:
        """Observe a part of the request, or the client's disconnect."""
        if message["type"] == "http.disconnect":
            self._client_closed = True
        elif len(self.body) + len(message.get("body", b"")) <= MAX_BODY:
            self.body += message.get("body", b"")

    def on_response(self, message: Message) -> None:
        """Observe a part of the response."""
        if message["type"] == "http.response.start":
            self.response.start(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self._whole = not message.get("more_body", False)
            self.response.feed(message.get("body", b""), time.monotonic() - self.started)

    def reason(self, raised: str | None) -> str | None:
        """Return why the request failed, or None; `raised` is the reason by the app's exception."""
        if self._client_closed and not self._whole:
            return "client_closed"
        if raised is None and self.response.status >= 400:
            return f"{self.response.status // 100}xx"
        return raised or (None if self._whole and not self.response.has_error else "stream_interrupted")
