"""Listening sockets and tokens of the servers. Only loopback may be open without a token."""

import argparse
import ipaddress
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from plimsoll.compose.inputs import UserError
from plimsoll.slo.hosts import Hosts, encoded
from plimsoll.slo.private_file import exposed
from plimsoll.slo.service.tokens import is_strong

# Environment variables that hold a bearer token. With _FILE appended, the variable names a file that holds it.
EXPORTER_TOKEN = "PLIMSOLL_EXPORTER_TOKEN"  # noqa: S105
PROBE_TOKEN = "PLIMSOLL_PROBE_TOKEN"  # noqa: S105
SERVICE_TOKEN = "PLIMSOLL_TOKEN"  # noqa: S105
WEBHOOK_TOKEN = "PLIMSOLL_WEBHOOK_TOKEN"  # noqa: S105


class ListenError(UserError):
    """The server cannot listen as configured; the message is one line with the fix."""


def read_token(environ: Mapping[str, str], variable: str) -> str | None:
    """Return the bearer token from an environment variable, or from the file that `<variable>_FILE` names.

    Raises ListenError if the file has no token, or if other users can read it.
    """
    path = environ.get(f"{variable}_FILE")
    if environ.get(variable) or not path:
        return environ.get(variable) or None
    return read_secret(f"{variable}_FILE", path, "token")


def read_secret(where: str, path: str, what: str) -> str:
    """Return the secret in a file that an option or a variable names. Raises ListenError if it has none, or if other users can read it."""
    try:
        found = read_private(Path(path)).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ListenError(
            f"{where}: {path} is not readable: {error}. Use a file with the {what} in its first line."
        ) from error
    except ValueError as error:
        raise ListenError(f"{where}: {error}") from error
    if not found:
        raise ListenError(f"{where}: {path} is empty. Put the {what} in its first line.")
    return found


def read_private(path: Path) -> str:
    """Return the text of a file that no other user may read. Raises ValueError with the fix, and OSError."""
    if problem := exposed(path):
        raise ValueError(problem)
    return path.read_text(encoding="utf-8")


def server_token(environ: Mapping[str, str], variable: str) -> str | None:
    """Return the token that a server requires, like read_token. Raises ListenError if it could be guessed."""
    text = read_token(environ, variable)
    if text is not None and not is_strong(text):
        raise ListenError(f"{variable}: the token can be guessed. Use 128 random bits, such as `openssl rand -hex 32`.")
    return text


def open_socket(host: str, port: int, token: str | None, variable: str) -> socket.socket:
    """Bind and listen. Raises ListenError if the address is in use, or is reachable from other hosts without a token."""
    if token is None and not _is_loopback(host):
        raise ListenError(
            f"--listen {host}:{port} is reachable from other hosts. "
            f"Set {variable} or {variable}_FILE, or listen on 127.0.0.1."
        )
    try:
        family = socket.getaddrinfo(encoded(host), port, type=socket.SOCK_STREAM)[0][0]
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


def add_allowed_hosts(parser: argparse.ArgumentParser) -> None:
    """Declare --allowed-host."""
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="Name by which clients that send no token reach this server, besides localhost and IP addresses. Repeatable.",
    )


def read_hosts(names: Sequence[str]) -> Hosts:
    """Return the names that the server answers to; raises UserError."""
    try:
        return Hosts(names)
    except ValueError as error:
        raise UserError(f"--allowed-host: {error}. Use a name such as slo.example.com.") from error
