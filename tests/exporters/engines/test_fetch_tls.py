"""A page by TLS that ends as the connection does: whole when the server says goodbye, cut when it doesn't."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plimsoll.exporters.collector import CollectorError
from plimsoll.exporters.engines.fetch import HttpReader
from private_ca import PrivateCa

PAGE = b"a 1\nb 2\n"


@contextmanager
def https(context: ssl.SSLContext, head: bytes, goodbye: bool) -> Iterator[str]:
    """Answers one request and closes, with or without TLS' close_notify."""

    def serve(listener: socket.socket) -> None:
        plain, _ = listener.accept()
        with plain, context.wrap_socket(plain, server_side=True) as connection:
            connection.settimeout(5)
            connection.recv(65536)
            connection.sendall(head + PAGE)
            if goodbye:
                with contextlib.suppress(OSError):  # the reader doesn't wait for it where it knows the length
                    connection.unwrap()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_only_a_page_without_a_length_needs_the_goodbye(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca = PrivateCa(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.file))
    context, old = ca.server(), b"HTTP/1.0 200 OK\r\n\r\n"
    new = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PAGE)
    for head, goodbye in ((old, True), (new, True), (new, False)):
        with https(context, head, goodbye) as url:
            assert HttpReader(url).get(f"{url}/metrics", time.monotonic() + 5) == PAGE
    with https(context, old, False) as url, pytest.raises(CollectorError, match="EOF"):
        HttpReader(url).get(f"{url}/metrics", time.monotonic() + 5)
