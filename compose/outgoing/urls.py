"""URLs of receivers, as they are given."""

from urllib.parse import urlsplit

from plimsoll.compose.inputs import UserError


def checked(option: str, url: str, expected: str, instead: str) -> str:
    """Return a URL of HTTP without a password; raises UserError. `instead`: where a password belongs."""
    try:
        parsed = urlsplit(url)
    except ValueError:
        parsed = urlsplit("")
    if parsed.scheme not in ("http", "https") or not parsed.hostname:
        raise UserError(f"{option}: expected {expected}, got {url[:100]!r}.")
    if parsed.username or parsed.password:
        raise UserError(f"{option}: contains a password. {instead}.")
    return url
