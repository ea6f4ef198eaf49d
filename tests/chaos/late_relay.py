"""Pages of exporters, with the time at which they were read, handed on late: as from a queue that was held up."""

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

LATE_SECONDS = 12.0


class LateRelay:
    """Serves `/NAME`: the page of that exporter as it was some seconds ago. `exporters` are their addresses by name."""

    def __init__(self, exporters: Mapping[str, str]) -> None:
        self._exporters = exporters
        self._kept: dict[str, list[tuple[float, str]]] = defaultdict(list)
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = relay.page(self.path.strip("/")).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def page(self, name: str) -> str:
        """Read the exporter now, for later; and return what was read LATE_SECONDS ago, with its time."""
        kept, now = self._kept[name], time.time()
        with contextlib.suppress(httpx.HTTPError):
            answer = httpx.get(f"http://{self._exporters[name]}/metrics", timeout=2, trust_env=False)
            if answer.is_success:
                kept.append((now, answer.text))
        ready = [one for one in kept if now - 4 * LATE_SECONDS < one[0] < now - LATE_SECONDS]
        if not ready:
            return "# nothing yet\n"
        at, text = ready[-1]
        lines = (line if line.startswith("#") else f"{line} {round(at * 1000)}" for line in text.splitlines() if line)
        return "\n".join(lines) + "\n"

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
