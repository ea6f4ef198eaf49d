"""Clients that hold connections: silent ones, and ones that send a byte at a time."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

HEAD = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Padding: "
BODY = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n"


class Crowd:
    """Connections to one port, each opened with `head`; lost ones are opened again while the block runs, and all drip."""

    def __init__(self, port: int, size: int, head: bytes) -> None:
        self._address, self._head = ("127.0.0.1", port), head
        self.held = [self._open() for _ in range(size)]
        self.closed = 0  # by the server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._drip, daemon=True)
        self._thread.start()

    def _open(self) -> socket.socket:
        opened = socket.create_connection(self._address, timeout=30)
        opened.sendall(self._head)
        return opened

    def _drip(self) -> None:
        while not self._over.wait(0.2):
            for index, one in enumerate(self.held):
                if self._over.is_set():
                    return
                try:
                    if self._head:
                        one.send(b"x")
                    elif _ended(one):
                        raise ConnectionResetError
                except OSError:
                    self.closed += 1
                    one.close()
                    with contextlib.suppress(OSError):
                        self.held[index] = self._open()

    def end(self) -> None:
        """Close all."""
        self._over.set()
        self._thread.join()
        for one in self.held:
            one.close()


def _ended(connection: socket.socket) -> bool:
    """Whether the server closed it."""
    try:
        return connection.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


@contextmanager
def crowd(port: int, size: int, head: bytes) -> Iterator[Crowd]:
    """Hold connections for the length of the block."""
    held = Crowd(port, size, head)
    try:
        yield held
    finally:
        held.end()


def fastest(url: str, times: int = 5) -> float:
    """Ask with a new connection each time; all must be answered with 200. Returns the seconds of the fastest answer."""
    taken = []
    for _ in range(times):
        start = time.monotonic()
        answer = httpx.get(url, trust_env=False, timeout=30)
        taken.append(time.monotonic() - start)
        assert answer.status_code == 200, answer.text
    return min(taken)


def is_cut_off(port: int, head: bytes, seconds: float) -> bool:
    """Whether the server ends a connection that drips, while it is asked again and again for `seconds`."""
    with socket.create_connection(("127.0.0.1", port)) as one:
        one.sendall(head)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                one.sendall(b"x")
                one.settimeout(0.05)
                if one.recv(65536) == b"":
                    return True
            except TimeoutError:
                continue
            except OSError:
                return True
    return False
