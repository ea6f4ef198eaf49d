"""Options of `plimsoll serve` that state who may use it: tokens, names of the host, and proxies in front."""

import argparse
import os
import re
from ipaddress import ip_network
from pathlib import Path

from plimsoll.compose.inputs import UserError
from plimsoll.compose.listen import SERVICE_TOKEN, add_allowed_hosts, read_hosts, read_private, server_token
from plimsoll.slo.service.access import Access, Network, Proxy
from plimsoll.slo.service.tokens import Token, read_tokens, token

_HEADER = re.compile(r"[A-Za-z0-9-]+")


def add_access(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="file of tokens (mode 0600), one line each, as `plimsoll token` writes them",
    )
    add_allowed_hosts(parser)
    parser.add_argument(
        "--trusted-proxy",
        action="append",
        default=[],
        metavar="CIDR",
        help="Reverse proxy whose X-Forwarded-For, -Proto, and -Host count, such as 10.0.0.5/32. Repeatable.",
    )
    parser.add_argument(
        "--auth-proxy-header",
        default="",
        metavar="HEADER",
        help="Header with which a trusted proxy names the user that it authenticated, such as X-Forwarded-User. Users read.",
    )
    parser.add_argument(
        "--auth-proxy-write",
        action="append",
        default=[],
        metavar="HEADER=VALUE",
        help="Users with this value in this header write too, such as X-Forwarded-Groups=sre. Repeatable.",
    )


def read_access(args: argparse.Namespace) -> Access:
    """Return who may use the service; raises UserError."""
    return Access(_tokens(args.token_file), read_hosts(args.allowed_host), _proxy(args))


def _tokens(file: str | None) -> list[Token]:
    """Return the tokens of the file, and the one of the environment, which may do everything."""
    text = server_token(os.environ, SERVICE_TOKEN)
    found = [token("environment", "write", text)] if text else []
    if file is None:
        return found
    try:
        listed = read_tokens(read_private(Path(file)))
    except (OSError, ValueError) as error:
        raise UserError(f"--token-file {file}: {error}") from error
    if not listed:
        raise UserError(f"--token-file {file}: no token. Create one with `plimsoll token NAME read`.")
    return found + listed


def _proxy(args: argparse.Namespace) -> Proxy:
    networks = [_network(text) for text in args.trusted_proxy]
    user, writers = args.auth_proxy_header, [_writer(text) for text in args.auth_proxy_write]
    if user and not networks:
        raise UserError("--auth-proxy-header: anybody could send it. Add --trusted-proxy with the proxy's address.")
    if user and not _HEADER.fullmatch(user):
        raise UserError(f"--auth-proxy-header: expected a header such as X-Forwarded-User, got {user!r}.")
    if writers and not user:
        raise UserError("--auth-proxy-write requires --auth-proxy-header HEADER.")
    return Proxy(networks, user, writers)


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise UserError(
            f"--trusted-proxy: {error}. Use an address or network such as 10.0.0.5 or 10.0.0.0/24."
        ) from error


def _writer(text: str) -> tuple[str, str]:
    header, _, value = text.partition("=")
    if not (_HEADER.fullmatch(header) and value.strip()):
        raise UserError(f"--auth-proxy-write: expected HEADER=VALUE, such as X-Forwarded-Groups=sre, got {text!r}.")
    return header, value.strip()
