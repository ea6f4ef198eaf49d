"""Requests to sources, each with one deadline and one size limit, whatever the server does.

A client library's timeouts are per read, and a slow drip never exceeds them. Here an event loop on a thread of its own sends
the requests, and cancels one (name lookup, TLS, headers and body together) at its deadline.
"""

import ssl
import zlib
from concurrent.futures import Future
from contextlib import ExitStack
from http.cookiejar import CookieJar, DefaultCookiePolicy
from threading import Lock
from typing import NamedTuple

import anyio
import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from plimsoll.slo.sources.http_config import NO_CREDENTIALS, Credentials, HttpConfigError

MAX_CONNECTIONS = 256
# Seconds after which an idle connection isn't used again: shorter than any server's own, so none is closed under a request.
KEEP_ALIVE = 2.0


class HttpError(Exception):
    """No usable response; the message states the reason in one line, without the address."""


class Request(NamedTuple):
    """A request. `seconds` from its start until the whole response must be there; `limit` in bytes, decompressed."""

    url: str
    seconds: float
    limit: int
    form: dict[str, str] | None = None  # sent by POST
    compressed: bool = False  # whether the server may compress its response with gzip


class Response(NamedTuple):
    """A whole response. `framed`: it states its length, so it can't be truncated without notice."""

    status: int
    body: bytearray
    framed: bool


class HttpClient:
    """Sends requests with a source's credentials. Follows no redirects, keeps no cookies. Thread-safe."""

    def __init__(self, credentials: Credentials = NO_CREDENTIALS) -> None:
        self._credentials = credentials
        self._stack = ExitStack()
        self._lock = Lock()
        self._portal: BlockingPortal | None = None
        self._client: httpx.AsyncClient | None = None
        self._tls_files: object = None

    def send(self, request: Request) -> Response:
        """Return the response; raises HttpError."""
        return self.start(request).result()

    def start(self, request: Request) -> "Future[Response]":
        """Start a request, whose future gives the response or raises HttpError; raises HttpError without credentials."""
        try:
            headers = self._credentials.headers()
            with self._lock:
                portal, client = self._running()
        except HttpConfigError as error:
            raise HttpError(f"--source-config: {error}") from error
        return portal.start_task_soon(_send, client, request, headers)

    def close(self) -> None:
        """Close the connections and end the thread."""
        with self._lock:
            if self._portal is not None and self._client is not None:
                self._portal.call(self._client.aclose)
            self._stack.close()
            self._portal = self._client = None

    def _running(self) -> tuple[BlockingPortal, httpx.AsyncClient]:
        """Return the event loop and its client, which is another one once a TLS file has changed."""
        if self._portal is None:
            self._portal = self._stack.enter_context(start_blocking_portal(name="plimsoll-sources"))
        files = self._credentials.tls_files()
        if self._client is None or files != self._tls_files:
            last, self._client = self._client, _new_client(self._credentials.tls_context())
            self._tls_files = files
            if last is not None:
                self._portal.call(last.aclose)
        return self._portal, self._client


def _new_client(tls: ssl.SSLContext) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEP_ALIVE)
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return httpx.AsyncClient(verify=tls, timeout=None, limits=limits, cookies=no_cookies)  # noqa: S113 - _send has one


async def _send(client: httpx.AsyncClient, request: Request, headers: list[tuple[str, str]]) -> Response:
    method = "GET" if request.form is None else "POST"
    accept = ("Accept-Encoding", "gzip" if request.compressed else "identity")
    try:
        with anyio.fail_after(request.seconds):
            async with client.stream(method, request.url, data=request.form, headers=[*headers, accept]) as response:
                body = await _body(response, request.limit)
    except TimeoutError:
        raise HttpError(f"no complete response within {request.seconds:g} s") from None
    except (httpx.ReadError, httpx.WriteError) as error:
        hint = ", as one does that asks for a client certificate" if request.url.startswith("https:") else ""
        raise HttpError(f"the server closed the connection{hint}") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, zlib.error) as error:
        raise HttpError(_reason(error)) from error
    framed = "content-length" in response.headers or "transfer-encoding" in response.headers
    return Response(response.status_code, body, framed)


async def _body(response: httpx.Response, limit: int) -> bytearray:
    """Return the body, decompressed no further than to the limit."""
    coding = response.headers.get("content-encoding", "identity")
    if coding not in ("identity", "gzip"):
        raise HttpError("the response is compressed, against the request")
    unzip = zlib.decompressobj(31) if coding == "gzip" else None  # 31: a gzip header, the largest window
    body = bytearray()
    async for part in response.aiter_raw():
        body += part if unzip is None else unzip.decompress(part, limit + 1 - len(body))
        if len(body) > limit:
            raise HttpError(f"the response is larger than {limit / 2**20:g} MiB")
    if unzip is not None and (not unzip.eof or unzip.unused_data):
        raise HttpError("the compressed response isn't complete")
    return body


def _reason(error: BaseException) -> str:
    """Return the first message in a chain of errors: the library's own are often empty."""
    found: BaseException | None = error
    while found is not None:
        if text := " ".join(str(found).split()):
            return text[:200]
        found = found.__cause__ or found.__context__
    return type(error).__name__
