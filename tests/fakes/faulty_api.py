"""A proxy before a real Prometheus that answers as a broken, half or guarded store does."""

import json
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

Body = dict[str, Any]


def half(body: Body, **more: object) -> Body:
    """The answer of a store whose other half is away."""
    result = body["data"]["result"]
    return body | {"data": body["data"] | {"result": result[: len(result) // 2]}} | more


class FaultyApi:
    """Passes requests on to `upstream`, but for what its attributes say.

    `change` alters a decoded answer; `raw` (status, bytes) replaces it; `drip` sends its head and then a byte now and then;
    `delay` waits first (seconds); `demanded` are headers without which it answers 401. `forms` and `headers` are of all requests.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.change: Callable[[Body], Body] | None = None
        self.raw: tuple[int, bytes] | None = None
        self.drip: bytes | None = None
        self.delay = 0.0
        self.demanded: dict[str, str] = {}
        self.forms: list[dict[str, str]] = []
        self.paths: list[str] = []
        self._stop = threading.Event()

    @contextmanager
    def served(self, tls: ssl.SSLContext | None = None) -> Iterator[str]:
        """Serve on loopback; gives the URL."""
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                api._answer(self, None)

            def do_POST(self) -> None:
                api._answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_: object) -> None:
                pass

        class Listening(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """A client that goes away, or isn't trusted, is what tests are about."""

        listening = Listening(("127.0.0.1", 0), Handler)
        if tls is not None:
            listening.socket = tls.wrap_socket(listening.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{listening.server_port}"
        finally:
            self._stop.set()
            listening.shutdown()
            thread.join()
            listening.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler, form: bytes | None) -> None:
        self.paths.append(handler.path)
        self.forms.append(dict(parse_qsl((form or b"").decode())))
        self._stop.wait(self.delay)
        if self.drip is not None:
            with suppress(OSError):
                handler.wfile.write(self.drip)
                while not self._stop.wait(0.02):
                    handler.wfile.write(b" ")
            return
        status, body = self._body(handler, form)
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _body(self, handler: BaseHTTPRequestHandler, form: bytes | None) -> tuple[int, bytes]:
        if any(handler.headers.get(name) != value for name, value in self.demanded.items()):
            return 401, b"no valid credentials\n"
        if self.raw is not None:
            return self.raw
        try:
            with urllib.request.urlopen(self.upstream + handler.path, form, timeout=30) as response:
                status, body = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read()
        return status, json.dumps(self.change(json.loads(body))).encode() if self.change else body
