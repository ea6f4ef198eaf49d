"""A server on loopback that answers as an engine might: recorded pages, fixed bytes, or a slow drip."""

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from paths import FIXTURES
from plimsoll.exporters.collector import Point
from plimsoll.exporters.engines.collector import EngineCollector

FRESH, REST, LOAD = ((FIXTURES / f"vllm-0.32.0-{name}.prom").read_text() for name in ("fresh", "rest", "load"))


MODEL = "meta-llama/Llama-3.3-70B-Instruct"


# Writes an answer to the socket, given the path that was asked for; stops when the event is set.
Answer = Callable[[socket.socket, str, threading.Event], None]


@contextlib.contextmanager
def server(answer: Answer) -> Iterator[str]:
    """Serve on loopback whatever `answer` writes, one connection at a time."""
    stop = threading.Event()

    def serve(listener: socket.socket) -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError, ConnectionError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(5)
                    answer(connection, _asked(connection), stop)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()


def _asked(connection: socket.socket) -> str:
    """Read a whole request, so that closing the connection resets nothing; returns its path."""
    request = b""
    while b"\r\n\r\n" not in request and (part := connection.recv(65536)):
        request += part
    head, _, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    left = int(length[1]) - len(body) if length else 0
    while left > 0 and (part := connection.recv(65536)):
        left -= len(part)
    return head.split(b" ")[1].decode()


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def fixed(body: str | bytes, status: str = "200 OK", *headers: str) -> Answer:
    """The same answer on every path."""
    content = body.encode() if isinstance(body, str) else body

    def answer(connection: socket.socket, path: str, stop: threading.Event) -> None:
        connection.sendall(http(content, status, *headers))

    return answer


def pages(metrics: Sequence[str], version: str = "0.32.0") -> tuple[Answer, list[str]]:
    """Play metrics pages one after the other, the last one forever, beside a version; return the paths asked for, too."""
    asked: list[str] = []
    left = list(metrics)

    def answer(connection: socket.socket, path: str, stop: threading.Event) -> None:
        asked.append(path)
        if path == "/version":
            connection.sendall(http(json.dumps({"version": version}).encode()))
        else:
            connection.sendall(http((left.pop(0) if len(left) > 1 else left[0]).encode()))

    return answer, asked


def drip(start: bytes) -> Answer:
    """Send the start, then a byte every now and then, without end."""

    def answer(connection: socket.socket, path: str, stop: threading.Event) -> None:
        connection.sendall(start)
        while not stop.wait(0.02):
            connection.sendall(b"a")

    return answer


def collect(collector: EngineCollector, seconds: float = 5) -> list[Point]:
    return list(collector.collect(time.monotonic() + seconds))
