"""Who may ask: anyone on loopback, the holder of the token elsewhere; and the headers every answer carries."""

import hmac

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN_PATHS = ("/-/healthy", "/-/ready")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """ASGI middleware: bearer token where one is set, security headers always."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        """`token` None leaves the service open: for loopback only."""
        self._app = app
        self._expected = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 or pass the request on."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        if scope["type"] == "http" and not self._allowed(scope):
            detail = "this service needs a token: send the header 'Authorization: Bearer TOKEN'"
            body = {
                "type": "about:blank",
                "title": "Unauthorized",
                "status": 401,
                "detail": detail,
                "instance": scope["path"],
            }
            refuse = JSONResponse(body, 401, {"WWW-Authenticate": "Bearer"}, "application/problem+json")
            await refuse(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _allowed(self, scope: Scope) -> bool:
        if self._expected is None or scope["path"] in OPEN_PATHS:
            return True
        return hmac.compare_digest(Headers(scope=scope).get("authorization", "").encode(), self._expected)
