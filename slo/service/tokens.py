"""Bearer tokens with read or write scope. Only hashes are stored; the token is shown once, when it is created.

A token has 256 random bits, so a plain SHA-256 is enough: a slow hash protects only guessable secrets.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from math import log2
from typing import Literal

Scope = Literal["read", "write"]
LEAST_BITS = 128
LEAST_CHARACTERS = 8  # different ones: random tokens of that length have more
_HEXADECIMAL = re.compile("[0-9a-fA-F-]+")
_LINE = re.compile(r"([a-z0-9][a-z0-9-]{0,62})\s+(read|write)\s+([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Token:
    """A token's name, what it allows (`write` allows reading too), and the SHA-256 of its text."""

    name: str
    scope: Scope
    digest: str

    def __str__(self) -> str:
        """Write the line of a token file."""
        return f"{self.name} {self.scope} {self.digest}"


def token(name: str, scope: Scope, text: str) -> Token:
    """Return the token with this text."""
    return Token(name, scope, sha256(text.encode()).hexdigest())


def new_token(name: str, scope: Scope) -> tuple[str, Token]:
    """Create a token. Returns its text, for the holder, and its stored form. Raises ValueError for an invalid name."""
    text = f"plimsoll_{secrets.token_urlsafe(32)}"
    made = token(name, scope, text)
    read_tokens(str(made))
    return text, made


def read_tokens(text: str) -> list[Token]:
    """Read a token file: one `NAME read|write SHA256` per line, `#` starts a comment. Raises ValueError with the line number."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        match = _LINE.fullmatch(content)
        if content and match is None:
            raise ValueError(f"line {number}: expected NAME read|write SHA256. Create it with `plimsoll token`.")
        if match:
            found.append(Token(match[1], "write" if match[2] == "write" else "read", match[3]))
    return found


def bearer(authorization: str) -> str:
    """Return the token of an Authorization header; "" where it holds none."""
    scheme, _, text = authorization.partition(" ")
    return text if scheme.lower() == "bearer" else ""


def find(tokens: Sequence[Token], text: str) -> Token | None:
    """Return the token with this text, compared with all of them in constant time; None where it is none."""
    digest = sha256(text.encode()).hexdigest()
    found = [token for token in tokens if compare_digest(token.digest, digest)]
    return found[0] if found else None


def is_strong(text: str) -> bool:
    """Whether a token that someone made may have 128 random bits: 32 hexadecimal digits, or 22 letters and digits."""
    alphabet = 10 if text.isdecimal() else 16 if _HEXADECIMAL.fullmatch(text) else 64
    return len(text) * log2(alphabet) >= LEAST_BITS and len(set(text)) >= LEAST_CHARACTERS
