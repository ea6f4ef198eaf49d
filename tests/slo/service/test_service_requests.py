"""What is limited before anyone is known: bodies, requests at a time, and requests that aren't what a browser sends."""

import asyncio
import socket
from collections.abc import Callable, Iterator

import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from plimsoll.exporters.connections import server_options
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.access import is_public
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.http.body import MAX_BODY, MAX_REQUESTS, RequestLimit
from plimsoll.slo.service.state import Service
from service_world import NOW, world
from thread_server import serving
from world import spec


@pytest.fixture
def port(tmp_path: object, open_ledger: Callable[[str], Ledger]) -> Iterator[int]:
    """A real server, for bodies as a client sends them."""
    service = Service(spec(), world(), open_ledger(f"sqlite:///{tmp_path}/ledger.db"), clock=lambda: NOW)
    options = server_options()
    server = uvicorn.Server(uvicorn.Config(create_app(service), log_level="error", lifespan="off", **options))
    with socket.create_server(("127.0.0.1", 0)) as listening, serving(server, listening):
        yield listening.getsockname()[1]


@pytest.mark.parametrize("size", [MAX_BODY, MAX_BODY + 1, 20_000_000])
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_has_a_limit(port: int, size: int, chunked: bool) -> None:
    head = b"POST /api/v1/exclusions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"Content-Length: %d\r\n\r\n" % size
    with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
        one.sendall(head)
        for start in range(0, size, 2**15):
            part = b" " * min(2**15, size - start)
            one.sendall(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
        if chunked:
            one.sendall(b"0\r\n\r\n")
        answer = one.recv(65536)
    assert answer.split()[1] == (b"422" if size <= MAX_BODY else b"413")


def test_slow_requests_leave_a_place_for_what_needs_no_token() -> None:
    async def scenario() -> list[int]:
        over, codes = asyncio.Event(), list[int]()

        async def slow(scope: Scope, receive: Receive, send: Send) -> None:
            if not is_public(scope["path"]):
                await over.wait()
            await Response("done")(scope, receive, send)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                codes.append(message["status"])

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        limit = RequestLimit(slow)
        get = {"type": "http", "method": "GET", "headers": []}
        inside = [asyncio.create_task(limit(get | {"path": "/"}, receive, send)) for _ in range(MAX_REQUESTS)]
        await asyncio.sleep(0)
        for path in ("/api/v1/slos", "/-/healthy", "/-/ready", "/runbooks", "/login", "/static/page.css"):
            await limit(get | {"path": path}, receive, send)
        over.set()
        await asyncio.gather(*inside)
        await limit(get | {"path": "/"}, receive, send)
        return codes

    assert asyncio.run(scenario()) == [503] + [200] * 5 + [200] * MAX_REQUESTS + [200]


def test_an_absolute_request_target_gets_past_nothing(port: int) -> None:
    for target in (b"http://evil.example/api/v1/slos", b"http://127.0.0.1/-/healthy"):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
            one.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % target)
            assert one.recv(65536).split()[1] == b"404"
    for head in (b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
            one.sendall(head)
            assert one.recv(65536).split()[1] == b"400"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
        one.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert one.recv(65536).split()[1] == b"421"
