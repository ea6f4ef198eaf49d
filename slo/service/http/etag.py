"""ETags: an answer that has not changed since the caller got it is not sent again."""

from hashlib import sha256

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Etag:
    """ASGI middleware for the answers under one path: an ETag on each 200 to GET, and 304 where the caller has it."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        """`prefix` is the path under which answers are small enough to be held whole."""
        self._app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and hold the answer back until its body is whole."""
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(self._prefix):
            await self._app(scope, receive, send)
            return
        known = [tag.strip().removeprefix("W/") for tag in Headers(scope=scope).get("if-none-match", "").split(",")]
        start: Message = {}
        body = b""

        async def hold(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            if start["status"] == 200:
                headers = MutableHeaders(scope=start)
                headers["ETag"] = tag = f'"{sha256(body).hexdigest()[:32]}"'
                headers["Cache-Control"] = "no-cache"
                if tag in known:
                    start["status"], body = 304, b""
                    del headers["content-length"], headers["content-type"]
            await send(start)
            await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, hold)
