"""A uvicorn server on a thread of the test."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from stack import wait_for


@contextmanager
def serving(server: uvicorn.Server, listening: socket.socket) -> Iterator[None]:
    """Serve for the length of the block."""
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started, "the server to start")
        yield
    finally:
        server.should_exit = True
        thread.join(30)
