"""Authentication, rate limits, and the security headers of every response. No CORS: other origins get nothing."""

from collections.abc import Sequence

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plimsoll.slo.service.http.problems import problem
from plimsoll.slo.service.tokens import Token, holder

OPEN_PATHS = ("/-/healthy", "/-/ready")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Per caller: a page open on a dozen screens stays far below the first, a person with a form below the second.
READS, WRITES, BAD_TOKENS = "100/second", "60/minute", "10/minute"
SAFE = ("GET", "HEAD", "OPTIONS")


class Guard:
    """ASGI middleware: bearer tokens where any are set, rate limits, security headers always."""

    def __init__(
        self, app: ASGIApp, tokens: Sequence[Token], reads: str = READS, writes: str = WRITES, bad: str = BAD_TOKENS
    ) -> None:
        """Without `tokens` the service is open: for loopback only. Rates are written like 100/second."""
        self._app = app
        self._tokens = tuple(tokens)
        self._reads, self._writes, self._bad = parse(reads), parse(writes), parse(bad)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject with a problem document, or pass the request on."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        rejection = self._reject(scope) if scope["type"] == "http" else None
        await (rejection or self._app)(scope, receive, send_with_headers)

    def _reject(self, scope: Scope) -> Response | None:
        path, headers = scope["path"], Headers(scope=scope)
        if path in OPEN_PATHS:
            return None
        caller, writes = (scope.get("client") or ("",))[0], scope["method"] not in SAFE
        if self._tokens:
            token = holder(self._tokens, headers.get("authorization", ""))
            if token is None:
                if not self._limiter.hit(self._bad, "bad", caller):
                    return self._too_many(path, self._bad, "bad", caller)
                detail = "Authentication required. Send `Authorization: Bearer <token>`."
                return problem(path, 401, detail, headers={"WWW-Authenticate": "Bearer"})
            if writes and token.scope != "write":
                return problem(path, 403, f"Token {token.name} is read-only. Use a token with the write scope.")
            caller = scope["plimsoll_caller"] = token.name
        if writes and _foreign(headers):
            return problem(path, 403, "Pages of another origin can't write.", "cross_origin")
        limit, kind = (self._writes, "write") if writes else (self._reads, "read")
        return None if self._limiter.hit(limit, kind, caller) else self._too_many(path, limit, kind, caller)

    def _too_many(self, path: str, limit: RateLimitItem, *key: str) -> Response:
        wait = max(1, limit.get_expiry())
        rate = f"{limit.amount} requests per {limit.multiples if limit.multiples > 1 else ''}{limit.GRANULARITY.name}"
        detail = f"Rate limit exceeded ({rate}). Retry in {wait} s."
        return problem(path, 429, detail, headers={"Retry-After": str(wait)})


def _foreign(headers: Headers) -> bool:
    """Whether a browser sent this for a page of another origin."""
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != headers.get("host")
