"""A process that serves a recorded metrics page as an engine does: python engine_server.py --port PORT --page FILE [--after SECONDS]."""

import argparse
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--after", type=float, default=0.0, help="seconds that it loads a model")
    options = parser.parse_args()
    page = re.sub(r"(?m)^(process_start_time_seconds) .*$", rf"\1 {time.time()}", options.page.read_text())
    body = page.encode()
    time.sleep(options.after)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/metrics"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(body) if found else 0))
            self.end_headers()
            self.wfile.write(body if found else b"")

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    ThreadingHTTPServer(("127.0.0.1", options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
