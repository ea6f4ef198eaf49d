"""Which names a server answers to, as its `Host` header gives them.

A page of another site can have its own name point to this machine after it has loaded (DNS rebinding): to the browser it is
then the same origin. Its requests still carry its name. An IP address as Host can't come from such a page.
"""

import ipaddress
import re
from collections.abc import Iterable

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{0,5}))?")
DEFAULT_PORTS = ("80", "443", "")


def split_host(header: str) -> tuple[str, str] | None:
    """Return a Host header's name, in lower case and without a trailing dot, and its port ("" for a default one); None for no host."""
    match = _HOST.fullmatch(header.strip().lower())
    if match is None:
        return None
    return match[1].strip("[]").removesuffix("."), "" if (match[2] or "") in DEFAULT_PORTS else match[2]


def encoded(host: str) -> str | bytes:
    """Return a host for socket.getaddrinfo, which loads the tables of international names, 1 MiB, for any text."""
    return host.encode() if host.isascii() else host


class Hosts:
    """The names of a server: IP addresses and localhost always, other names where they are given."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """Raises ValueError for a name that isn't one."""
        self._names = {self._name(name) for name in names}

    def knows(self, header: str | None) -> bool:
        """Whether a request with this Host header may come from a page of this server."""
        found = split_host(header or "")
        if found is None:
            return False
        name = found[0]
        return name in self._names or name == "localhost" or name.endswith(".localhost") or _is_address(name)

    @staticmethod
    def _name(text: str) -> str:
        found = split_host(text)
        if found is None or not found[0]:
            raise ValueError(f"{text!r} isn't a host name")
        return found[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
