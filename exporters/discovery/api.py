"""One GET request for a JSON answer, to an API on the node or in the cluster: limited in time and size, without redirects or proxies."""

import socket
import ssl
import time
from collections.abc import Mapping
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit
from zlib import error as ZlibError

from plimsoll.exporters.discovery import DiscoveryError
from plimsoll.exporters.engines.fetch import TooLargeError, connect, exchange
from plimsoll.slo import strict_json

SECONDS = 10.0  # for the whole answer
LIMIT_BYTES = 32 * 2**20  # of a node with 500 pods of 64 kB
_HINTS = {401: " Check the token.", 403: " Allow this account to list pods (get, list)."}


def get_json(root: str, path: str, headers: Mapping[str, str] | None = None, ca: Path | None = None) -> Any:
    """Return the answer of `root` (http://, https:// or unix:///FILE); raises DiscoveryError that begins with it."""
    parts, deadline = urlsplit(root), time.monotonic() + SECONDS
    lines = {
        "Host": parts.netloc or "localhost",
        "Accept": "application/json",
        "Connection": "close",
        **(headers or {}),
    }
    request = f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    try:
        with _connected(parts, ca, deadline) as connection:
            body = exchange(connection, request.encode(), deadline, LIMIT_BYTES, partial(_check, root))
        return strict_json.load(body)
    except TimeoutError as error:
        raise DiscoveryError(
            f"{root}: no whole answer in {SECONDS:g} s. Check that it is reachable from here."
        ) from error
    except TooLargeError as error:
        raise DiscoveryError(f"{root}: the answer is larger than {LIMIT_BYTES >> 20} MiB.") from error
    except (OSError, HTTPException, ValueError, ZlibError) as error:
        raise DiscoveryError(
            f"{root}: {str(error) or type(error).__name__}. Check that it is reachable from here."
        ) from error


def _connected(parts: SplitResult, ca: Path | None, deadline: float) -> socket.socket:
    if parts.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(SECONDS)
            connection.connect(parts.path)
        except BaseException:
            connection.close()
            raise
        return connection
    tls = ssl.create_default_context(cafile=ca) if parts.scheme == "https" else None
    return connect(parts.hostname or "", parts.port or (443 if tls else 80), tls, deadline)


def _check(root: str, response: HTTPResponse) -> None:
    if response.status != 200:
        raise DiscoveryError(f"{root}: HTTP {response.status}.{_HINTS.get(response.status, '')}")
