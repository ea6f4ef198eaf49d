"""Browser sessions: a signed cookie that stands for a token.

The key of a signature is the token's stored hash, so a session ends with its token, outlives a restart of the service, and
holds at every service with the same token file. The cookie holds a name and a time, no secret.
"""

from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest, new

from plimsoll.slo.service.tokens import Token

SESSION_SECONDS = 7 * 86400
COOKIE = "plimsoll_session"


def cookie_name(scheme: str) -> str:
    """Return the cookie's name. With __Host- a browser takes it only over HTTPS and from this very host."""
    return f"__Host-{COOKIE}" if scheme == "https" else COOKIE


def issue(token: Token, now: float) -> str:
    """Return the cookie's value for a token's holder at `now` (Unix seconds)."""
    content = f"{token.name}.{int(now) + SESSION_SECONDS}"
    return f"{content}.{_signature(token, content)}"


def holder(tokens: Sequence[Token], cookie: str, now: float) -> Token | None:
    """Return the token that a cookie stands for; None where the cookie is forged or expired, or the token withdrawn."""
    content, _, signature = cookie.rpartition(".")
    name, _, expires = content.partition(".")
    if not (expires.isascii() and expires.isdecimal() and now < int(expires[:12])):
        return None
    found = [one for one in tokens if one.name == name]
    return next((one for one in found if compare_digest(_signature(one, content).encode(), signature.encode())), None)


def _signature(token: Token, content: str) -> str:
    key = sha256(f"plimsoll session {token.digest}".encode()).digest()
    return new(key, f"{token.scope} {content}".encode(), sha256).hexdigest()
