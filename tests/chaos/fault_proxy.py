"""A proxy before a store that speaks Prometheus' HTTP API, which can spoil its answers in the ways that stores do."""

import contextlib
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

SLOW_SECONDS, DRIP_SECONDS = 8.0, 1.0
ABSURD = ("1e300", "+Inf", "NaN", "-5", "9007199254740993")


def half(body: dict[str, Any], rng: random.Random) -> None:
    """Leave out one replica."""
    result = body["data"]["result"]
    names = sorted({one["metric"].get("replica", "") for one in result} - {""})
    if names:
        gone = rng.choice(names)
        body["data"]["result"] = [one for one in result if one["metric"].get("replica") != gone]


def with_warnings(body: dict[str, Any], rng: random.Random) -> None:
    """As Thanos and Mimir answer without one of their stores: `success`, with warnings."""
    half(body, rng)
    body["warnings"] = ["1 of 2 stores did not answer"]


def partial(body: dict[str, Any], rng: random.Random) -> None:
    """As a VictoriaMetrics cluster answers without one of its nodes: `success`, with isPartial."""
    half(body, rng)
    body["isPartial"] = True


def absurd(body: dict[str, Any], rng: random.Random) -> None:
    """One absurd sample in one series."""
    series = [one for one in body["data"]["result"] if one.get("values")]
    if series:
        sample = rng.choice(rng.choice(series)["values"])
        sample[1] = rng.choice(ABSURD)


EDITS: dict[str, Callable[[dict[str, Any], random.Random], None]] = {
    "half": half,
    "warnings": with_warnings,
    "partial": partial,
    "absurd": absurd,
}
MODES = (*EDITS, "503", "drip", "broken JSON", "slow", "reset")


class FaultProxy:
    """Answers for `upstream` on a loopback port; `mode` is "pass" or one of MODES."""

    def __init__(self, upstream: str, seed: int) -> None:
        self.upstream, self.mode = upstream, "pass"
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._client = httpx.Client(timeout=30, trust_env=False)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                proxy.answer(self, b"")

            def do_POST(self) -> None:
                proxy.answer(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

            def log_message(self, format: str, *args: Any) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Answer one request in the mode of this moment."""
        mode = self.mode
        with contextlib.suppress(OSError):
            if mode == "reset":
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                handler.connection.close()
                return
            if mode == "slow":
                time.sleep(SLOW_SECONDS)
            status, content = (503, b"no store is ready\n") if mode == "503" else self._forward(handler, body)
            if mode == "broken JSON":
                content = content[: len(content) // 2]
            handler.send_response(status)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            if mode == "drip":
                self._drip(handler, content)
            else:
                handler.wfile.write(content)

    def _forward(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        kind = {"Content-Type": handler.headers.get("Content-Type", "")} if body else {}
        try:
            found = self._client.request(handler.command, self.upstream + handler.path, content=body, headers=kind)
        except httpx.HTTPError:
            return 502, b"the store does not answer\n"
        edit = EDITS.get(self.mode)
        if edit is None or not found.is_success:
            return found.status_code, found.content
        answer = found.json()
        if isinstance(answer.get("data"), dict) and "result" in answer["data"]:
            edit(answer, self._random)
        return found.status_code, json.dumps(answer).encode()

    def _drip(self, handler: BaseHTTPRequestHandler, content: bytes) -> None:
        """Send a byte at a time while the fault lasts, and then hang up."""
        for index in range(len(content)):
            if self.mode != "drip":
                return
            handler.wfile.write(content[index : index + 1])
            handler.wfile.flush()
            time.sleep(DRIP_SECONDS)

    def close(self) -> None:
        """Stop."""
        self.mode = "reset"
        self._server.shutdown()
        self._server.server_close()
        self._client.close()
