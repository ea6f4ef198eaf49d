"""An OpenAI-compatible server in small: plays the same scripted answer to every chat request."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from http_server import Quiet, listening

Step = str | bytes | float


def event(**fields: Any) -> str:
    return f"data: {json.dumps(fields)}\n\n"


def token(text: str, finish: str | None = None, field: str = "content") -> str:
    return event(choices=[{"index": 0, "delta": {field: text}, "finish_reason": finish}])


class Asked:
    """What clients sent: bodies and headers, in order."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []


@contextlib.contextmanager
def chat_server(steps: Sequence[Step], status: int = 200) -> Iterator[tuple[str, Asked]]:
    """Serve on loopback: text is sent at once, a number is a pause in seconds."""
    asked, stop = Asked(), threading.Event()

    class Handler(Quiet):
        def do_POST(self) -> None:
            asked.paths.append(self.path)
            asked.headers.append(dict(self.headers.items()))
            asked.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for step in steps:
                    if isinstance(step, float):
                        end = time.monotonic() + step
                        while time.monotonic() < end and not stop.wait(0.01):
                            pass
                    else:
                        self.wfile.write(step.encode() if isinstance(step, str) else step)
                        self.wfile.flush()

    with listening(Handler) as address:
        try:
            yield f"http://{address}", asked
        finally:
            stop.set()
