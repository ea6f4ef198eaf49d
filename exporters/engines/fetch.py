"""Sends a GET request to one server, with limits on time and size."""

import contextlib
import io
import re
import socket
import ssl
import time
from http.client import HTTPException, HTTPResponse
from typing import cast
from urllib.parse import urlsplit

from plimsoll.exporters.collector import CollectorError

# Enough for 64 ranks of vLLM 0.32, which writes 50 kB per rank.
LIMIT_BYTES = 4 * 2**20
# Maximum size of a response besides its body: status, headers, chunk frames.
LIMIT_FRAMING = 2**18
_HEADERS = "Accept: text/plain\r\nAccept-Encoding: identity\r\nConnection: close\r\nUser-Agent: plimsoll\r\n\r\n"
_PORTS = {"http": 80, "https": 443}


class HttpReader:
    """Reads from one server, one request at a time. No redirects, proxies or compression; limited time and size.

    It opens connections itself, because the client library's timeouts are per read: a slow drip never exceeds them.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._authority = parts.hostname or "", parts.netloc
        self._port = parts.port or _PORTS[parts.scheme]
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None

    def get(self, url: str, deadline: float) -> bytes:
        """Return the body. `deadline` is a time.monotonic() value; raises CollectorError."""
        try:
            with self._connect(deadline) as connection:
                return self._get(url, connection, deadline)
        except TimeoutError:
            problem = "no complete response in time. The engine may be overloaded, or the address wrong."
        except _TooLarge:
            problem = f"the response is larger than {LIMIT_BYTES >> 20} MiB."
        except (HTTPException, OSError, ValueError) as error:
            problem = f"{str(error) or type(error).__name__}. Is the engine running there?"
        raise CollectorError(f"{url}: {problem} Check --engine.")

    def _connect(self, deadline: float) -> socket.socket:
        connection = socket.create_connection((self._host, self._port), _seconds_left(deadline))
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(_seconds_left(deadline))
            if self._tls is None:
                return connection
            # A TLS connection that ends without saying so may have been cut: an error, where the response has no length.
            return self._tls.wrap_socket(connection, server_hostname=self._host, suppress_ragged_eofs=False)
        except BaseException:
            connection.close()
            raise

    def _get(self, url: str, connection: socket.socket, deadline: float) -> bytes:
        connection.settimeout(_seconds_left(deadline))
        path = url.partition(self._authority)[2] or "/"
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {self._authority}\r\n{_HEADERS}".encode())
        with HTTPResponse(cast(socket.socket, _Incoming(connection, deadline)), method="GET") as response:
            response.begin()
            _check(url, response)
            body = bytearray()
            while part := response.read(2**16):
                body += part
                if len(body) > LIMIT_BYTES:
                    raise _TooLarge
            # http.client doesn't report a truncated body. One without a length (HTTP/1.0) ends as the connection does:
            # that it ends with a whole line is all that can be known of it, and the parser looks for that.
            if response.length:
                raise HTTPException(f"the response ends {response.length} bytes too early")
            return bytes(body)


def _check(url: str, response: HTTPResponse) -> None:
    """Reject a response that isn't from a metrics endpoint, or is too large."""
    if response.status != 200:
        hint = " Redirects aren't followed." if 300 <= response.status < 400 else ""
        raise CollectorError(f"{url}: HTTP {response.status}.{hint} Check --engine.")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise CollectorError(f"{url}: the response is compressed, against the request. Check --engine.")
    if len(set(response.headers.get_all("content-length", []))) > 1:
        raise HTTPException("the response has two lengths")
    if response.length is not None and response.length > LIMIT_BYTES:
        raise _TooLarge


def _seconds_left(deadline: float) -> float:
    """Return the seconds until the deadline; raises TimeoutError if none remain."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class _TooLarge(Exception):
    """More bytes than allowed."""


class _Incoming(io.RawIOBase):
    """A connection's bytes, read within the deadline and the size limit, whatever the chunk sizes claim."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._remaining = LIMIT_BYTES + LIMIT_FRAMING

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
            raise _TooLarge
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
