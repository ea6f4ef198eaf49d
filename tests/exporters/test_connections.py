"""Clients that hold connections, or send or read slowly, keep no other client out."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from crowd import HEAD, crowd, fastest, is_cut_off
from export_process import exporting
from exporter_server import make_certificate
from plimsoll.compose.listen import EXPORTER_TOKEN, open_socket
from plimsoll.exporters import connections
from plimsoll.exporters.runner import Runner
from plimsoll.exporters.server import config_of, create_app
from stack import wait_for
from thread_server import serving

DEAD_ENGINE = "http://127.0.0.1:9"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The exporter's server with short deadlines and few connections."""
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(connections, "RESPONSE_SECONDS", 0.5)
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 4)
    server = uvicorn.Server(config_of(create_app(Runner([]))))
    with open_socket("127.0.0.1", 0, None, EXPORTER_TOKEN) as listening, serving(server, listening):
        yield listening.getsockname()[1]


@pytest.mark.slow
@pytest.mark.parametrize("head", [b"", HEAD], ids=["idle", "drip"])
def test_a_thousand_held_connections_keep_nobody_out(tmp_path: Path, head: bytes) -> None:
    with exporting(tmp_path, "--no-gpu", "--engine", DEAD_ENGINE) as exporter:
        port = int(exporter.url.rpartition(":")[2].partition("/")[0])
        with crowd(port, 1000, head) as held:
            for path in ("/-/healthy", "/metrics"):
                assert fastest(f"http://127.0.0.1:{port}{path}") < 1
            wait_for(lambda: held.closed >= 500, "half of them to be closed")
            assert fastest(f"http://127.0.0.1:{port}/metrics") < 1
        assert "out of system resource" not in exporter.said()


@pytest.mark.parametrize(
    "head",
    [
        b"",
        HEAD,
        b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000\r\n\r\n",  # answered 405 before it is whole
        b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\nGET /-/healthy HTTP/1.1\r\nX-Padding: ",
    ],
    ids=["nothing", "head", "body", "second request"],
)
def test_a_request_has_a_time_to_arrive_however_it_drips(port: int, head: bytes) -> None:
    assert is_cut_off(port, head, 20)


def test_a_request_that_arrives_in_parts_is_answered_and_the_connection_is_used_again(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as one:
        for _ in range(3):
            for part in (b"GET /-/healthy HT", b"TP/1.1\r\nHost: lo", b"calhost\r\n\r\n"):
                one.sendall(part)
            assert b" 200 " in one.recv(65536)
        one.sendall(2 * b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answers = b""
        while answers.count(b" 200 ") < 2:
            answers += one.recv(65536)


def test_the_connection_that_waits_longest_makes_room(port: int) -> None:
    waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(4)]
    assert httpx.get(f"http://127.0.0.1:{port}/-/healthy", trust_env=False).status_code == 200
    waiting[0].settimeout(20)
    with contextlib.suppress(ConnectionResetError):
        assert waiting[0].recv(1) == b""
    for one in waiting:
        one.close()


def test_a_tls_handshake_has_a_time_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.5)
    server = uvicorn.Server(config_of(create_app(Runner([])), make_certificate(tmp_path)))
    with open_socket("127.0.0.1", 0, None, EXPORTER_TOKEN) as listening, serving(server, listening):
        silent = socket.create_connection(listening.getsockname(), timeout=20)
        assert silent.recv(1) == b""
        silent.close()


def test_a_client_that_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(connections, "RESPONSE_SECONDS", 0.5)
    sent: list[int] = []

    async def endless(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        for number in range(2000):
            await send({"type": "http.response.body", "body": b"x" * 2**16, "more_body": True})  # type: ignore[operator]
            sent.append(number)

    with open_socket("127.0.0.1", 0, None, EXPORTER_TOKEN) as listening:
        server = uvicorn.Server(config_of(endless))
        with serving(server, listening), socket.create_connection(listening.getsockname()) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_for(lambda: sent, "the response to begin")
            wait_for(lambda: not server.server_state.connections, "the connection to be cut")


def test_the_process_may_open_more_files_than_it_was_started_with() -> None:
    script = "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (256, 4096)); from plimsoll.exporters.connections import server_options as o; o(); print(r.getrlimit(r.RLIMIT_NOFILE))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["(4096,", "4096)"]
