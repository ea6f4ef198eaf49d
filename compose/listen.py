"""Where a server of ours listens, and the rule that only loopback may be open."""

import ipaddress
import socket
from collections.abc import Mapping
from pathlib import Path

from plimsoll.compose.inputs import UserError

# Names of environment variables that hold a bearer token; with _FILE added, of those that name a file with it.
EXPORTER_TOKEN = "PLIMSOLL_EXPORTER_TOKEN"  # noqa: S105
PROBE_TOKEN = "PLIMSOLL_PROBE_TOKEN"  # noqa: S105
SERVICE_TOKEN = "PLIMSOLL_TOKEN"  # noqa: S105
WEBHOOK_TOKEN = "PLIMSOLL_WEBHOOK_TOKEN"  # noqa: S105


class ListenError(UserError):
    """The server can't listen there; the message is one line with the fix."""


def read_token(environ: Mapping[str, str], variable: str) -> str | None:
    """Return the bearer token from an environment variable, or from the file that `<variable>_FILE` names."""
    path = environ.get(f"{variable}_FILE")
    if environ.get(variable) or not path:
        return environ.get(variable) or None
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ListenError(f"{variable}_FILE: {path} can't be read: {error}. Check the path and its mode.") from error
    if not token:
        raise ListenError(f"{variable}_FILE: {path} is empty. Put the token in its first line.")
    return token


def open_socket(host: str, port: int, token: str | None, variable: str) -> socket.socket:
    """Bind and listen. Raises ListenError if others could reach the page without a token, or the address is not free."""
    if token is None and not _is_loopback(host):
        raise ListenError(
            f"--listen {host}:{port} is reachable from other hosts. "
            f"Set {variable} or {variable}_FILE, or listen on 127.0.0.1."
        )
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ListenError(f"--listen {host}:{port}: {error.strerror}. Choose another address or port.") from error
    # Accepted sockets inherit it. Without it head and body of an answer travel 40 ms apart (Nagle and delayed ACK), since
    # asyncio sets it only on sockets that it opened by itself.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
