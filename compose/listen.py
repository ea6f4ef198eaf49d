"""Listening sockets and tokens of the servers. Only loopback may be open without a token."""

import ipaddress
import socket
from collections.abc import Mapping
from pathlib import Path

from plimsoll.compose.inputs import UserError

# Environment variables that hold a bearer token. With _FILE appended, the variable names a file that holds it.
EXPORTER_TOKEN = "PLIMSOLL_EXPORTER_TOKEN"  # noqa: S105
PROBE_TOKEN = "PLIMSOLL_PROBE_TOKEN"  # noqa: S105
SERVICE_TOKEN = "PLIMSOLL_TOKEN"  # noqa: S105
WEBHOOK_TOKEN = "PLIMSOLL_WEBHOOK_TOKEN"  # noqa: S105


class ListenError(UserError):
    """The server cannot listen as configured; the message is one line with the fix."""


def read_token(environ: Mapping[str, str], variable: str) -> str | None:
    """Return the bearer token from an environment variable, or from the file that `<variable>_FILE` names."""
    path = environ.get(f"{variable}_FILE")
    if environ.get(variable) or not path:
        return environ.get(variable) or None
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ListenError(
            f"{variable}_FILE: {path} is not readable: {error}. Use a file with the token in its first line."
        ) from error
    if not token:
        raise ListenError(f"{variable}_FILE: {path} is empty. Put the token in its first line.")
    return token


def open_socket(host: str, port: int, token: str | None, variable: str) -> socket.socket:
    """Bind and listen. Raises ListenError if the address is in use, or is reachable from other hosts without a token."""
    if token is None and not _is_loopback(host):
        raise ListenError(
            f"--listen {host}:{port} is reachable from other hosts. "
            f"Set {variable} or {variable}_FILE, or listen on 127.0.0.1."
        )
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ListenError(f"--listen {host}:{port}: {error.strerror}. Use another address or port.") from error
    # Accepted sockets inherit this. asyncio sets it only on sockets that it opened; without it the head and body of a
    # response arrive 40 ms apart (Nagle and delayed ACK).
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
