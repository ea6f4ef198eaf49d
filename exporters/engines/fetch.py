"""Sends a GET request to one server, with limits on time and size."""

import contextlib
import io
import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from plimsoll.exporters.collector import CollectorError
from plimsoll.slo.hosts import encoded

# Enough for 64 ranks of vLLM 0.32, which writes 50 kB per rank.
LIMIT_BYTES = 4 * 2**20
# Maximum size of a response besides its body: status, headers, chunk frames.
LIMIT_FRAMING = 2**18
_HEADERS = "Accept: text/plain\r\nAccept-Encoding: identity\r\nConnection: close\r\nUser-Agent: plimsoll\r\n"
_PORTS = {"http": 80, "https": 443}
LIMIT_TOKEN = 2**16


class FetchError(CollectorError):
    """A request failed; `reason` is the value of that label of `llm_replica_down_info`."""

    def __init__(self, message: str, reason: str = "unreachable") -> None:
        super().__init__(message, reason)
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[0])


def reason_of(error: CollectorError) -> str:
    """Return why a server's metrics couldn't be read, a value of the label `reason`."""
    return str(getattr(error, "reason", "unreachable"))


class HttpReader:
    """Reads from one server, one request at a time. No redirects or proxies; limited time and size.

    `token` is a file with a bearer token, read at each request: tokens are renewed. It opens connections itself, because the client library's timeouts are per read: a slow drip never exceeds them.
    """

    def __init__(self, url: str, token: Path | None = None) -> None:
        parts = urlsplit(url)
        self._token = token
        self._host, self._authority = parts.hostname or "", parts.netloc
        self._port = parts.port or _PORTS[parts.scheme]
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None

    def get(self, url: str, deadline: float) -> bytes:
        """Return the body. `deadline` is a time.monotonic() value; raises CollectorError."""
        headers = f"Host: {self._authority}\r\n{_HEADERS}{self._authorization()}\r\n"
        try:
            return self._get(url, headers, deadline)
        except TimeoutError:
            problem, reason = (
                "no complete response in time. The engine may be overloaded, or the address wrong.",
                "timeout",
            )
        except TooLargeError:
            problem, reason = f"the response is larger than {LIMIT_BYTES >> 20} MiB.", "page"
        except (HTTPException, OSError, ValueError, zlib.error) as error:
            problem, reason = f"{str(error) or type(error).__name__}. Is the engine running there?", "unreachable"
        raise FetchError(f"{url}: {problem} Check --engine.", reason)

    def _get(self, url: str, headers: str, deadline: float) -> bytes:
        path = url.partition(self._authority)[2] or "/"
        with connect(self._host, self._port, self._tls, deadline) as connection:
            request = f"GET {path} HTTP/1.1\r\n{headers}".encode()
            return exchange(connection, request, deadline, LIMIT_BYTES, partial(_check, url))

    def _authorization(self) -> str:
        if self._token is None:
            return ""
        try:
            with self._token.open(encoding="ascii") as file:
                token = file.read(LIMIT_TOKEN).strip()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it isn't text"
            raise FetchError(
                f"--engine-token {self._token}: {why}. Use a file with the token.", "unauthorized"
            ) from None
        if not _VISIBLE.fullmatch(token):
            raise FetchError(f"--engine-token {self._token}: it holds no token on one line.", "unauthorized")
        return f"Authorization: Bearer {token}\r\n"


def connect(host: str, port: int, tls: ssl.SSLContext | None, deadline: float) -> socket.socket:
    """Return an open connection; raises TimeoutError and OSError."""
    address: Any = (encoded(host), port)  # typed as text, and passed on to getaddrinfo
    connection = socket.create_connection(address, _seconds_left(deadline))
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(_seconds_left(deadline))
        if tls is None:
            return connection
        # A TLS connection that ends without saying so may have been cut: an error, where the response has no length.
        return tls.wrap_socket(connection, server_hostname=host, suppress_ragged_eofs=False)
    except BaseException:
        connection.close()
        raise


def exchange(
    connection: socket.socket, request: bytes, deadline: float, limit: int, check: Callable[[HTTPResponse], None]
) -> bytes:
    """Send a request and return the body of at most `limit` bytes, by the deadline even if the server drips.

    `check` rejects a response by its status and headers. Raises TooLargeError, TimeoutError, OSError, HTTPException and zlib.error.
    """
    connection.settimeout(_seconds_left(deadline))
    connection.sendall(request)
    incoming = cast(socket.socket, _Incoming(connection, deadline, limit))
    with HTTPResponse(incoming, method="GET") as response:
        response.begin()
        check(response)
        if response.length is not None and response.length > limit:
            raise TooLargeError
        body = bytearray()
        while part := response.read(2**16):
            body += part
            if len(body) > limit:
                raise TooLargeError
        # http.client doesn't report a truncated body. One without a length (HTTP/1.0) ends as the connection does:
        # that it ends with a whole line is all that can be known of it, and the parser looks for that.
        if response.length:
            raise HTTPException(f"the response ends {response.length} bytes too early")
        zipped = response.headers.get("content-encoding") == "gzip"
        return _unpacked(bytes(body), limit) if zipped else bytes(body)


def _unpacked(body: bytes, limit: int) -> bytes:
    """Decompress a response of a server that compresses against the request, within the limit of size."""
    unpacker = zlib.decompressobj(wbits=31)
    text = unpacker.decompress(body, limit + 1)
    if len(text) > limit:
        raise TooLargeError
    if not unpacker.eof:
        raise HTTPException("the compressed response is incomplete")
    return text


def _check(url: str, response: HTTPResponse) -> None:
    """Reject a response that isn't from a metrics endpoint."""
    if response.status != 200:
        hint = " Redirects aren't followed." if 300 <= response.status < 400 else ""
        if response.status in (401, 403):
            hint = " It requires a token that it accepts: use --engine-token NAME=FILE."
            raise FetchError(f"{url}: HTTP {response.status}.{hint}", "unauthorized")
        raise FetchError(f"{url}: HTTP {response.status}.{hint} Check --engine.", "status")
    if response.headers.get("content-encoding", "identity") not in ("identity", "gzip"):
        raise FetchError(f"{url}: the response is compressed, against the request. Check --engine.", "page")
    if len(set(response.headers.get_all("content-length", []))) > 1:
        raise HTTPException("the response has two lengths")


def _seconds_left(deadline: float) -> float:
    """Return the seconds until the deadline; raises TimeoutError if none remain."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class TooLargeError(Exception):
    """More bytes than allowed."""


class _Incoming(io.RawIOBase):
    """A connection's bytes, read within the deadline and the size limit, whatever the chunk sizes claim."""

    def __init__(self, connection: socket.socket, deadline: float, limit: int) -> None:
        self._connection = connection
        self._deadline = deadline
        self._remaining = limit + LIMIT_FRAMING

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Stand in for the socket: the client library calls nothing else."""
        return io.BufferedReader(self, 2**16)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is Python 3.12's
        self._connection.settimeout(_seconds_left(self._deadline))
        count = self._connection.recv_into(buffer)
        self._remaining -= count
        if self._remaining < 0:
            raise TooLargeError
        return count


_NAMED = re.compile(r"([A-Za-z0-9._-]+)=(.*)")
_VISIBLE = re.compile(r"[!-~]+")


def address_of(text: str, option: str) -> tuple[str, str]:
    """Return a server's root without a trailing slash or /metrics, and host:port; raises ValueError that names the option."""
    with contextlib.suppress(ValueError):
        url = urlsplit(text)
        host, port = url.hostname or "", url.port or _PORTS.get(url.scheme, 0)
        bare = not (url.username or url.password or url.query or url.fragment)
        if host and port and bare and url.scheme in _PORTS and _VISIBLE.fullmatch(text):
            root = f"{url.scheme}://{url.netloc.lower()}{url.path}"
            shown = f"[{host}]" if ":" in host else host
            return root.rstrip("/").removesuffix("/metrics").removesuffix("/prometheus"), f"{shown}:{port}"
    shown = "".join(one if one.isprintable() else "?" for one in re.sub("(?s)//.*@", "//...@", text)[:200])
    raise ValueError(f"{option} {shown}: not a server address. Use http://HOST:PORT or NAME=http://HOST:PORT.")
