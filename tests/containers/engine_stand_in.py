"""A stand-in of an engine: serves a recorded page of vLLM on port 8000, on which every five seconds as many requests finish again."""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STEP = 5.0
COUNTED = ("_total", "_bucket", "_count", "_sum")


def page(recorded: str, rounds: int) -> str:
    """The page after so many rounds: counters and histograms of `rounds` times the recorded requests; the rest as recorded."""
    lines = []
    for line in recorded.splitlines():
        name = line.partition("{")[0]
        if line.startswith("vllm:") and name.endswith(COUNTED):
            labels, _, value = line.rpartition(" ")
            lines.append(f"{labels} {float(value) * rounds!r}")
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


class Handler(BaseHTTPRequestHandler):
    """Serves the page at any path."""

    recorded = ""
    started = time.monotonic()

    def do_GET(self) -> None:
        body = page(self.recorded, 1 + int((time.monotonic() - self.started) / STEP)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


if __name__ == "__main__":
    Handler.recorded = Path(sys.argv[1]).read_text()
    ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
