"""Limits of what a request may bring and of how many are handled at once."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plimsoll.slo.service.access import is_public
from plimsoll.slo.service.http.problems import problem

MAX_BODY = 2**16  # bytes: the longest valid body of the API has some hundred
MAX_REQUESTS = 32  # fewer than Starlette has threads (40): some are left for `/-/ready`


class RequestLimit:
    """ASGI middleware: takes a request's body whole, up to MAX_BODY, then passes at most MAX_REQUESTS on at once.

    So a client that sends its body slowly waits outside. Paths that need no authentication always have a place, and take none.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or reject it. All run on one event loop, so no lock is needed."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, headers = scope["path"], Headers(scope=scope)
        if "content-length" in headers or "transfer-encoding" in headers:
            body = await _body(headers, receive)
            if body is None:
                detail = f"The body has more than {MAX_BODY} bytes. Send less."
                await problem(path, 413, detail)(scope, receive, send)
                return
            receive = _replay(body, receive)
        if is_public(path):
            await self._app(scope, receive, send)
            return
        if self._inside >= MAX_REQUESTS:
            rejection = problem(path, 503, "Too many concurrent requests. Retry in 1 s.", headers={"Retry-After": "1"})
            await rejection(scope, receive, send)
            return
        self._inside += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._inside -= 1


async def _body(headers: Headers, receive: Receive) -> bytes | None:
    """Return the body; None where it is too long, or the client left before its end."""
    declared = headers.get("content-length", "0")
    body = bytearray()
    while declared.isdecimal() and int(declared) <= MAX_BODY and len(body) <= MAX_BODY:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] == "http.disconnect":
            return None
        if not message.get("more_body"):
            return bytes(body) if len(body) <= MAX_BODY else None
    return None


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a receive function that gives the body first."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed
