"""GETs text from one server, within limits of time and size."""

import ssl
import time
from collections.abc import Iterable

import httpcore

from exporters.collector import CollectorError

# A real vLLM page has 50 kB a rank.
LIMIT_BYTES = 16 * 2**20
_HEADERS = [
    *(("Accept", "text/plain"), ("Accept-Encoding", "identity"), ("Connection", "close")),
    ("User-Agent", "plimsoll"),
]
_Options = Iterable[tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]]


class Reader:
    """Reads from one server, one request at a time. No redirects, no proxies, no compression; no more bytes or seconds than allowed."""

    def __init__(self, url: str) -> None:
        self._clock = _Deadline()
        context = ssl.create_default_context() if url.startswith("https:") else None
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, max_keepalive_connections=0, network_backend=self._clock
        )

    def get(self, url: str, deadline: float) -> str:
        """Return the body. `deadline` is a time.monotonic() value; raises CollectorError."""
        self._clock.deadline = deadline
        try:
            return self._get(url)
        except httpcore.TimeoutException:
            problem = "no whole answer in time; is the engine overloaded, or the address wrong? check --engine"
        except UnicodeDecodeError:
            problem = "the answer is not text; check --engine"
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            problem = f"{str(error) or type(error).__name__}; is the engine running there? check --engine"
        raise CollectorError(f"{url}: {problem}")

    def _get(self, url: str) -> str:
        with self._pool.stream("GET", url, headers=_HEADERS) as response:
            if response.status != 200:
                hint = "redirects are not followed; " if 300 <= response.status < 400 else ""
                raise CollectorError(f"{url}: HTTP {response.status}; {hint}check --engine")
            if any(name.lower() == b"content-encoding" and value != b"identity" for name, value in response.headers):
                raise CollectorError(f"{url}: a compressed answer, which was not asked for; check --engine")
            body = bytearray()
            for chunk in response.iter_stream():
                body += chunk
                if len(body) > LIMIT_BYTES:
                    raise CollectorError(f"{url}: the answer is larger than {LIMIT_BYTES >> 20} MiB; check --engine")
            return body.decode()


class _Deadline(httpcore.NetworkBackend):
    """Bounds each step by one deadline over all: the client's own timeouts are per read, which a slow drip never exceeds."""

    def __init__(self) -> None:
        self.deadline = 0.0
        self._backend = httpcore.SyncBackend()

    def left(self) -> float:
        """Seconds that are left; raises httpcore.ReadTimeout where none are."""
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise httpcore.ReadTimeout("the deadline has passed")
        return seconds

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _Options | None = None,
    ) -> httpcore.NetworkStream:
        stream = self._backend.connect_tcp(host, port, self.left(), local_address, socket_options)
        return _Stream(stream, self)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, clock: _Deadline) -> None:
        self._stream = stream
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._clock.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._clock.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._clock.left()), self._clock)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)
