"""The kubelet's pod resources: which container has which device. One gRPC call over its Unix socket.

Source: k8s.io/kubelet/pkg/apis/podresources/v1/api.proto. The gRPC library costs a node more memory than the rest of the
exporter, so this speaks HTTP/2 with h2 and reads the response's few fields itself.
"""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from plimsoll.exporters.kubernetes.protobuf import Fields, fields, messages, text, texts

SOCKET = Path("/var/lib/kubelet/pod-resources/kubelet.sock")
LIMIT_BYTES = 16 * 2**20  # what the kubelet itself allows
_PATH = "/v1.PodResourcesLister/List"
_HEAD = 5  # bytes before a gRPC message: compression flag and length


class Container(NamedTuple):
    """A container of a pod."""

    namespace: str
    pod: str
    name: str


class Device(NamedTuple):
    """A device of a container: the resource or DRA driver, and the device's ID or name."""

    resource: str
    id: str
    container: Container


class KubeletError(Exception):
    """The kubelet didn't answer as expected; the message is one line."""


def devices(path: Path, timeout: float) -> list[Device]:
    """Return the devices of all containers; raises KubeletError, or OSError where the socket isn't accessible."""
    body = _call(path, timeout)
    try:
        return [device for pod in messages(fields(body), 1) for device in _of_pod(pod)]
    except ValueError as error:
        raise KubeletError(f"invalid response: {error}") from error


def _of_pod(pod: Fields) -> Iterator[Device]:
    for one in messages(pod, 3):
        container = Container(text(pod, 2), text(pod, 1), text(one, 1))
        for plugin in messages(one, 2):
            yield from (Device(text(plugin, 1), id, container) for id in texts(plugin, 2))
        for claim in messages(one, 5):  # dynamic resource allocation
            yield from (Device(text(part, 2), text(part, 4), container) for part in messages(claim, 4))


def _call(path: Path, timeout: float) -> bytes:
    from h2.config import H2Configuration  # noqa: PLC0415 - 3 MiB that only a node of Kubernetes needs
    from h2.connection import H2Connection  # noqa: PLC0415
    from h2.exceptions import ProtocolError  # noqa: PLC0415

    deadline = time.monotonic() + timeout
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(timeout)
        link.connect(str(path))
        connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        connection.initiate_connection()
        headers = {":method": "POST", ":scheme": "http", ":authority": "localhost", ":path": _PATH}
        headers |= {"content-type": "application/grpc", "te": "trailers"}
        connection.send_headers(1, list(headers.items()))
        connection.send_data(1, bytes(_HEAD), end_stream=True)
        try:
            return _message(_receive(link, connection, deadline))
        except ProtocolError as error:
            raise KubeletError(f"not HTTP/2: {error}") from error


def _receive(link: socket.socket, connection: "object", deadline: float) -> bytes:
    from h2 import events  # noqa: PLC0415
    from h2.connection import H2Connection  # noqa: PLC0415

    assert isinstance(connection, H2Connection)  # noqa: S101 - for the type checker: the import above stays lazy
    body = b""
    while True:
        link.sendall(connection.data_to_send())
        link.settimeout(max(0.01, deadline - time.monotonic()))
        received = link.recv(65536)
        if not received:
            raise KubeletError("the connection was closed")
        for event in connection.receive_data(received):
            if isinstance(event, events.DataReceived):
                body += event.data
                connection.acknowledge_received_data(event.flow_controlled_length, 1)
                if len(body) > LIMIT_BYTES:
                    raise KubeletError(f"the response is larger than {LIMIT_BYTES >> 20} MiB")
            elif isinstance(event, events.TrailersReceived | events.ResponseReceived):
                status = {str(name): str(value) for name, value in event.headers}.get("grpc-status", "0")
                if status != "0":
                    raise KubeletError(f"gRPC status {status}")
            elif isinstance(event, events.StreamEnded):
                return body
            elif isinstance(event, events.StreamReset | events.ConnectionTerminated):
                raise KubeletError("the request was rejected")


def _message(body: bytes) -> bytes:
    size = int.from_bytes(body[1:_HEAD], "big")
    if len(body) < _HEAD or body[0] or len(body) < _HEAD + size:
        raise KubeletError("the response is cut or compressed")
    return body[_HEAD : _HEAD + size]
