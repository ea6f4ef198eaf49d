"""A kubelet's pod-resources socket: HTTP/2 and protobuf, as the kubelet's gRPC server speaks them."""

import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, StreamEnded


def varint(value: int) -> bytes:
    """Encode a number."""
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number: int, value: bytes | str | int) -> bytes:
    """Encode one field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def container(name: str, resource: str, *ids: str) -> bytes:
    """Encode a container with devices of a device plugin, CPUs and NUMA nodes, which a reader skips."""
    devices = field(1, resource) + b"".join(field(2, one) for one in ids) + field(3, field(1, field(1, 1)))
    return field(1, name) + field(2, devices) + field(3, varint(4) + varint(5)) + field(4, field(1, "memory"))


def claimed(name: str, driver: str, *devices: str) -> bytes:
    """Encode a container with devices of dynamic resource allocation."""
    parts = b"".join(
        field(
            4, field(1, field(1, f"k8s.{driver}/claim={one}")) + field(2, driver) + field(3, "node-a") + field(4, one)
        )
        for one in devices
    )
    return field(1, name) + field(5, field(2, "claim") + field(3, "team") + parts)


def pod(namespace: str, name: str, *containers: bytes) -> bytes:
    """Encode a pod of the response."""
    return field(1, field(1, name) + field(2, namespace) + b"".join(field(3, one) for one in containers))


class FakeKubelet:
    """Answers List with `pods`, or with a gRPC status."""

    def __init__(self, path: Path, pods: Iterable[bytes] = (), status: int = 0) -> None:
        self.pods = list(pods)
        self.status = status
        self.calls: list[str] = []
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(path))
        self._server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._server.accept()
            except OSError:
                return
            with link, suppress(OSError):  # the client may hang up
                self._answer(link)

    def _answer(self, link: socket.socket) -> None:
        connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        link.sendall(connection.data_to_send())
        while received := link.recv(65536):
            for event in connection.receive_data(received):
                if isinstance(event, RequestReceived):
                    self.calls += [str(value) for name, value in event.headers if str(name) == ":path"]
                elif isinstance(event, StreamEnded):
                    self._send(connection, link)
            link.sendall(connection.data_to_send())

    def _send(self, connection: H2Connection, link: socket.socket) -> None:
        body = b"".join(self.pods)
        message = b"\0" + len(body).to_bytes(4, "big") + body
        headers = [(":status", "200"), ("content-type", "application/grpc")]
        connection.send_headers(1, headers)
        if not self.status:
            while message:  # as much as the client's window and frame size allow
                size = min(connection.local_flow_control_window(1), connection.max_outbound_frame_size, len(message))
                if size:
                    connection.send_data(1, message[:size])
                    message = message[size:]
                link.sendall(connection.data_to_send())
                if not size:
                    connection.receive_data(link.recv(65536))
        connection.send_headers(1, [("grpc-status", str(self.status))], end_stream=True)
