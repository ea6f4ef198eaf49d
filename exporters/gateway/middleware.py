"""An ASGI middleware for gateways (FastAPI, Starlette, ...): counts each generation's outcome, tokens and times by tenant.

    app.add_middleware(PlimsollMiddleware, tenant=lambda scope: scope["state"].get("team"))
    app.mount("/metrics", prometheus_client.make_asgi_app())

What streams through is passed on event by event, never held back. A fault in the counting is logged once and costs the
count of that request, never the request. Where opentelemetry-api is installed it opens a span, and puts its traceparent into
the request's headers: an engine to which the app passes them on makes its own span a child of it.
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

with suppress(ModuleNotFoundError):  # most gateways have opentelemetry-api; for the others nothing is traced
    from plimsoll.exporters.gateway import tracing

PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses")
# A request's body beyond this is not read for the model's name.
MAX_BODY = 2**22

Tenant = Callable[[Scope], str | None]


class _RequestBody(msgspec.Struct):
    model: str = "unknown"


def by_header(scope: Scope) -> str | None:
    """The default tenant: what the header X-Tenant says. Where requests are authenticated, name who was."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == b"x-tenant"), None)


class PlimsollMiddleware:
    """Counts POST requests to `paths` under the gateway's name.

    `tenant` is asked when a request has ended, so what the app wrote into `request.state` is there. No more than `most`
    tenants and as many models are told apart; the rest are `other`.
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
        """Pass the request on; count it when it has ended."""
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
        """Do a part of the counting. A fault in it is said once, and ends the counting of this request."""
        if request.failed:
            return
        try:
            action(*arguments)
        except Exception as error:
            request.failed = True
            self._once.failed("gateway", f"a request is not counted: {type(error).__name__}: {error}")

    def _end(self, request: "_Request", reason: str | None) -> None:
        with suppress(msgspec.MsgspecError):
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
    """One request on its way through."""

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
        """Open the span, where spans can be had."""
        if "tracing" in globals():
            self.span, self.scope["headers"] = tracing.open_span(self.scope)

    def on_request(self, message: Message) -> None:
        """See a piece of the request, or that its client has left."""
        if message["type"] == "http.disconnect":
            self._client_closed = True
        elif len(self.body) + len(message.get("body", b"")) <= MAX_BODY:
            self.body += message.get("body", b"")

    def on_response(self, message: Message) -> None:
        """See a piece of the answer."""
        if message["type"] == "http.response.start":
            self.response.start(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self._whole = not message.get("more_body", False)
            self.response.feed(message.get("body", b""), time.monotonic() - self.started)

    def reason(self, raised: str | None) -> str | None:
        """Return why the request ended badly, or None; `raised` is what the app's exception says."""
        if self._client_closed and not self._whole:
            return "client_closed"
        if raised is None and self.response.status >= 400:
            return f"{self.response.status // 100}xx"
        return raised or (None if self._whole and not self.response.has_error else "stream_interrupted")
