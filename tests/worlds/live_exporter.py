"""An exporter page over HTTP whose replica counts ten requests a second, one of them bad, as time passes."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from plimsoll.slo.metrics import OBJECTIVE_REQUESTS, REPLICA_INFO, REPLICA_START
from world import SPEC_TEXT


class LiveExporter(ThreadingHTTPServer):
    """Serves on a free loopback port within its block."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Page)
        self.began = time.time() - 3600
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))

    def page(self) -> str:
        """The page at this moment."""
        replica, total = 'replica="a",model="m",engine="vllm"', int(10 * (time.time() - self.began))
        counts = (("good", total - total // 10), ("bad", total // 10))
        return "\n".join(
            [
                f"{REPLICA_START}{{{replica}}} {self.began}",
                f'{REPLICA_INFO}{{{replica},version="1",simulated="false"}} 1',
                *(f'{OBJECTIVE_REQUESTS}{{{replica},objective="fast",outcome="{name}"}} {n}' for name, n in counts),
                "",
            ]
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join(10)
        self.server_close()


class _Page(BaseHTTPRequestHandler):
    server: LiveExporter

    def do_GET(self) -> None:
        body = self.server.page().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def objectives(folder: Path) -> str:
    """Write the objectives of the exporter's pool; return the file's path."""
    file = folder / "objectives.yaml"
    file.write_text(SPEC_TEXT)
    return str(file)
