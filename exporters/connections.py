"""Connections of the HTTP servers: clients that only hold one, or send or read slowly, can't keep others out.

uvicorn has a timeout only for the time between two requests, and its `limit_concurrency` rejects everybody while idle
connections are open. Here a client has seconds to send a whole request, and the connection that waits longest makes room.
"""

import asyncio
import contextlib
import resource
from typing import Any, TypedDict

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 10.0  # for a request to arrive whole, however it drips, and for a TLS handshake
RESPONSE_SECONDS = 30.0  # for a client to read a response that doesn't fit into the buffers
MAX_CONNECTIONS = 500
MAX_FILES = 65_536
WAITING = (h11.IDLE, h11.SEND_BODY)  # states of a client whose request isn't whole


class ServerOptions(TypedDict):
    """Settings of uvicorn.Config that every server of ours has."""

    http: type[asyncio.Protocol]
    loop: str
    ws: str
    proxy_headers: bool
    server_header: bool
    access_log: bool


# Headers of a proxy count only where a proxy is named: uvicorn's default believes anything that connects from loopback.
def server_options() -> ServerOptions:
    """Return the settings, and let the process open as many files as it may: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # a container may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return ServerOptions(
        http=Connection,
        loop=f"{__name__}:EventLoop",
        ws="none",
        proxy_headers=False,
        server_header=False,
        access_log=False,
    )


class EventLoop(asyncio.SelectorEventLoop):
    """The event loop of the servers: a TLS handshake has REQUEST_SECONDS, not a minute."""

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
        """Listen; see asyncio."""
        if options.get("ssl"):
            options["ssl_handshake_timeout"] = REQUEST_SECONDS
        return await super().create_server(*args, **options)


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 connection with a deadline whenever the server waits for the client."""

    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request. Beyond MAX_CONNECTIONS the connection that has waited longest ends."""
        super().connection_made(transport)
        self._wait(REQUEST_SECONDS)
        if len(self.connections) > MAX_CONNECTIONS:
            waiting = [
                one for one in self.connections if isinstance(one, Connection) and one.deadline and one is not self
            ]
            if waiting:
                min(waiting, key=Connection.due).transport.abort()

    def due(self) -> float:
        """Return when the deadline is, in the loop's seconds."""
        return self.deadline.when() if self.deadline else float("inf")

    def data_received(self, data: bytes) -> None:
        """Read on; once the request is whole, the client has no deadline until it is answered."""
        super().data_received(data)
        if self.conn.their_state not in WAITING and not self.flow.write_paused:
            self._stop_waiting()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        if self.deadline is None:
            self._wait(RESPONSE_SECONDS)

    def on_response_complete(self) -> None:
        """Begin to wait for the rest of the response to be read, and for the next request."""
        if self.conn.their_state is not h11.SEND_BODY:
            self._wait(REQUEST_SECONDS)
        super().on_response_complete()
        if self.conn.their_state not in WAITING and not self.cycle.response_complete:  # a request that was sent ahead
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the deadline with the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self.deadline = self.loop.call_later(seconds, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None
