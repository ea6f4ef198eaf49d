"""What every request passes first: authentication, known hosts and origins, rate limits. Security headers on every response.

No CORS: other origins get nothing.
"""

from collections.abc import Callable

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plimsoll.slo.hosts import split_host
from plimsoll.slo.service.access import HEALTH, PUBLIC_FOLDER, is_public
from plimsoll.slo.service.auth import Authentication, Caller, TooManyWrongTokensError, client_address
from plimsoll.slo.service.http.problems import problem

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send `Origin: null` from our own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Per caller: a page open on a dozen screens stays far below the first, a person with a form below the second.
READS, WRITES = "100/second", "60/minute"
SAFE = ("GET", "HEAD", "OPTIONS")
LoginPage = Callable[[Scope], Response]


class Guard:
    """ASGI middleware: rejects with a problem document, or passes the request on with its `plimsoll_caller`."""

    def __init__(
        self, app: ASGIApp, auth: Authentication, login: LoginPage, reads: str = READS, writes: str = WRITES
    ) -> None:
        """`login` is the page for browsers without a session. Rates are written like 100/second."""
        self._app, self._auth, self._login = app, auth, login
        self._reads, self._writes = parse(reads), parse(writes)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reject the request, or pass it on."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if not scope["path"].startswith(PUBLIC_FOLDER):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        rejection = self._reject(scope) if scope["type"] == "http" else None
        await (rejection or self._app)(scope, receive, send_with_headers)

    def _reject(self, scope: Scope) -> Response | None:
        path = scope["path"]
        if path in HEALTH:
            return None
        is_open, public = self._auth.access.is_open, is_public(path)
        try:
            caller = None if is_open else self._auth.caller(scope)
        except TooManyWrongTokensError:
            return _too_many(path, self._auth.wrong, "wrong tokens")
        if caller is None and not (is_open or public):
            return self._unauthenticated(scope)
        scope["plimsoll_caller"] = caller
        return self._check(scope, caller, public) or (None if public else self._limit(scope, caller))

    def _check(self, scope: Scope, caller: Caller | None, public: bool) -> Response | None:
        """Reject what another site's page sends, and writes of those who only read."""
        path, headers, access = scope["path"], Headers(scope=scope), self._auth.access
        # Tokens and cookies belong to a host. What needs neither could be sent by a page whose name was made to point here.
        if (access.is_open or (caller and caller.by == "proxy")) and not access.hosts.knows(headers.get("host")):
            name = (split_host(headers.get("host", "")) or ("NAME",))[0]
            detail = f"Unknown host. Use 127.0.0.1, or start the service with `--allowed-host {name}`."
            return problem(path, 421, detail, "unknown_host")
        if scope["method"] in SAFE:
            return None
        if _is_foreign(headers):
            return problem(path, 403, "Pages of another origin can't write.", "cross_origin")
        if caller and not (caller.writes or public):
            user = caller.by == "proxy"
            fix = "Ask for write access." if user else "Use a token with the write scope."
            return problem(path, 403, f"{'User' if user else 'Token'} {caller.name} is read-only. {fix}")
        return None

    def _unauthenticated(self, scope: Scope) -> Response:
        if scope["method"] in ("GET", "HEAD") and "text/html" in Headers(scope=scope).get("accept", ""):
            return self._login(scope)
        detail = "Authentication required. Send `Authorization: Bearer <token>`."
        return problem(scope["path"], 401, detail, headers={"WWW-Authenticate": "Bearer"})

    def _limit(self, scope: Scope, caller: Caller | None) -> Response | None:
        limit, kind = (self._reads, "read") if scope["method"] in SAFE else (self._writes, "write")
        who = (caller.by == "proxy", caller.name) if caller else (False, client_address(scope))
        return None if self._limiter.hit(limit, kind, *map(str, who)) else _too_many(scope["path"], limit, "requests")


def _too_many(path: str, limit: RateLimitItem, what: str) -> Response:
    wait = max(1, limit.get_expiry())
    rate = f"{limit.amount} {what} per {limit.multiples if limit.multiples > 1 else ''}{limit.GRANULARITY.name}"
    detail = f"Rate limit exceeded ({rate}). Retry in {wait} s."
    return problem(path, 429, detail, headers={"Retry-After": str(wait)})


def _is_foreign(headers: Headers) -> bool:
    """Whether a browser sent this for a page of another origin. Pages can set neither header; the first needs HTTPS or localhost."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site not in ("same-origin", "none")
    own = split_host(headers.get("host", ""))
    return origin is not None and (own is None or split_host(origin.partition("://")[2]) != own)
