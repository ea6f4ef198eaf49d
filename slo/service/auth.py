"""Who is calling: by bearer token, by the session cookie of a browser, or by the header of a named proxy."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Literal

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.requests import HTTPConnection
from starlette.types import Scope

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.service import sessions
from plimsoll.slo.service.access import Access
from plimsoll.slo.service.tokens import Token, bearer, find

log = logging.getLogger("plimsoll.access")
WRONG_TOKENS = "30/minute"  # from one address
ALL_WRONG_TOKENS = parse("1000/minute")  # from all: what an attacker with many addresses can fill memory and log with


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller: the name of a token or of a proxy's user, what it may do, and how it is known."""

    name: str
    writes: bool
    by: Literal["token", "session", "proxy"]


class TooManyWrongTokensError(Exception):
    """Too many wrong tokens came from the caller's address, or from all addresses."""


class Authentication:
    """Finds the caller of a request, exchanges tokens for sessions, and logs what fails. `clock` gives Unix seconds."""

    def __init__(self, access: Access, clock: Callable[[], float], wrong: str = WRONG_TOKENS) -> None:
        """`wrong` is the rate of wrong tokens after which an address has to wait."""
        self.access, self.clock = access, clock
        self.wrong = parse(wrong)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def caller(self, scope: Scope) -> Caller | None:
        """Return the caller; raises TooManyWrongTokensError."""
        connection = HTTPConnection(scope)
        authorization = connection.headers.get("authorization")
        if authorization is not None and self.access.tokens:
            token = self.check(bearer(authorization), scope, "token_rejected")
            return Caller(token.name, token.scope == "write", "token") if token else None
        cookie = connection.cookies.get(sessions.cookie_name(scope["scheme"]), "")
        if token := sessions.holder(self.access.tokens, cookie, self.clock()):
            return Caller(token.name, token.scope == "write", "session")
        user = self.access.proxy.user(connection.headers) if scope.get("plimsoll_proxy") else None
        return Caller(user, self.access.proxy.writes(connection.headers), "proxy") if user else None

    def check(self, text: str, scope: Scope, event: str) -> Token | None:
        """Return the token with this text. A wrong one is logged as `event` and counted.

        An address with too many of them can't find out whether a further one is right: TooManyWrongTokensError.
        """
        address = client_address(scope)
        if not self._limiter.test(self.wrong, "wrong", _network(address)):
            raise TooManyWrongTokensError
        token = find(self.access.tokens, text)
        if token is None:
            # First the count of all: what it rejects adds no key to the memory and no line to the log.
            if not self._limiter.hit(ALL_WRONG_TOKENS, "wrong"):
                raise TooManyWrongTokensError
            self._limiter.hit(self.wrong, "wrong", _network(address))
            self.record(event, scope)
        return token

    def record(self, event: str, scope: Scope, name: str | None = None) -> None:
        """Log a line of JSON. It holds no token."""
        line = {"event": event, "at": rfc3339(self.clock()), "address": client_address(scope), "name": name}
        log.log(logging.INFO if name else logging.WARNING, json.dumps(line))


def client_address(scope: Scope) -> str:
    """Return the caller's address; behind a named proxy, the one that the proxy forwards."""
    return str((scope.get("client") or ("",))[0])


def _network(address: str) -> str:
    """Return what one caller can't change: an IPv4 address, but of IPv6 the /64 in which everybody has addresses at will."""
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    return str(found) if found.version == 4 else str(ip_network((found, 64), strict=False))
