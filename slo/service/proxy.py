"""Headers of a reverse proxy: who asks, from where, by which name. They count only from the addresses of named proxies."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

Network = IPv4Network | IPv6Network


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

    def user(self, headers: Headers) -> str | None:
        """Return the authenticated user's name. Two names are none: a client may have added one."""
        names = headers.getlist(self.user_header) if self.user_header else []
        name = names[0].strip() if len(names) == 1 else ""
        return name if name and name.isprintable() and len(name) <= 100 else None

    def writes(self, headers: Headers) -> bool:
        """Whether the user may write."""
        return any(
            value in [item.strip() for text in headers.getlist(header) for item in text.split(",")]
            for header, value in self.writers
        )


class ForwardedHeaders:
    """ASGI middleware: client, scheme, and host as a named proxy forwards them; `plimsoll_proxy` says that it is one."""

    def __init__(self, app: ASGIApp, proxy: Proxy) -> None:
        """Any other client's X-Forwarded headers are ignored."""
        self._app, self._proxy = app, proxy
        named = [str(network) for network in proxy.networks]
        self._forwarded = ProxyHeadersMiddleware(app, named)  # type: ignore[arg-type]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http" or not self._proxy.trusts((scope.get("client") or ("",))[0]):
            await self._app(scope, receive, send)
            return
        scope["plimsoll_proxy"] = True
        headers = MutableHeaders(scope=scope)
        hosts = headers.getlist("x-forwarded-host")
        if hosts:
            headers["host"] = hosts[-1].rpartition(",")[2].strip()
        await self._forwarded(scope, receive, send)  # type: ignore[arg-type]
