"""Who may use the service: holders of tokens, users of a proxy, and by which names of the host. Loads nothing heavy."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING

from plimsoll.slo.hosts import Hosts
from plimsoll.slo.service.tokens import Token

if TYPE_CHECKING:
    from starlette.datastructures import Headers

HEALTH = ("/-/healthy", "/-/ready")
# Readable without a token: before a login they are needed, and in an incident. They hold no data, and nothing is computed for them.
PUBLIC, PUBLIC_FOLDER, RUNBOOK = ("/login", "/logout", "/runbooks"), "/static/", "/runbooks/"
Network = IPv4Network | IPv6Network


def is_public(path: str) -> bool:
    """Whether a path needs no authentication."""
    return path in HEALTH or path in PUBLIC or path.startswith((PUBLIC_FOLDER, RUNBOOK))


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxies in front of the service, and how they name the user that they have authenticated.

    `user_header` is empty where they don't. A user may write where one of `writers`, (header, value), is among the values
    of that header, which commas part: a group, or the user's own name. Everybody else reads.
    """

    networks: Sequence[Network] = ()
    user_header: str = ""
    writers: Sequence[tuple[str, str]] = ()

    def trusts(self, address: str) -> bool:
        """Whether a connection from this address is a named proxy's."""
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self.networks)

    def user(self, headers: "Headers") -> str | None:
        """Return the authenticated user's name. Two names are none: a client may have added one."""
        names = headers.getlist(self.user_header) if self.user_header else []
        name = names[0].strip() if len(names) == 1 else ""
        return name if name and name.isprintable() and len(name) <= 100 else None

    def writes(self, headers: "Headers") -> bool:
        """Whether the user may write."""
        return any(
            value in [item.strip() for text in headers.getlist(header) for item in text.split(",")]
            for header, value in self.writers
        )


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use the service. Without tokens and without a proxy that names users it is open: for loopback only."""

    tokens: Sequence[Token] = ()
    hosts: Hosts = field(default_factory=Hosts)
    proxy: Proxy = field(default_factory=Proxy)

    @property
    def is_open(self) -> bool:
        """Whether everybody who reaches the service may read and write."""
        return not self.tokens and not self.proxy.user_header
