"""Headers of a reverse proxy: from where a request comes, and by which name. They count only from the addresses of named proxies."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from plimsoll.slo.service.access import Proxy


class ForwardedHeaders:
    """ASGI middleware: client, scheme, and host as a named proxy forwards them; `plimsoll_proxy` marks its requests."""

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
