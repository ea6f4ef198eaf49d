"""One GET request for a JSON answer, to an API on the node or in the cluster: limited in time and size, without redirects or proxies."""

import json
import socket
import ssl
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from plimsoll.exporters.discovery import DiscoveryError

SECONDS = 5.0  # per read
LIMIT_BYTES = 32 * 2**20  # of a node with 500 pods of 64 kB


class _UnixConnection(HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)


def get_json(root: str, path: str, headers: Mapping[str, str] | None = None, ca: Path | None = None) -> Any:
    """Return the answer of `root` (http://, https:// or unix:///FILE); raises DiscoveryError that begins with it."""
    parts = urlsplit(root)
    try:
        if parts.scheme == "unix":
            connection: HTTPConnection = _UnixConnection(parts.path)
        elif parts.scheme == "https":
            context = ssl.create_default_context(cafile=ca)
            connection = HTTPSConnection(parts.hostname or "", parts.port, timeout=SECONDS, context=context)
        else:
            connection = HTTPConnection(parts.hostname or "", parts.port, timeout=SECONDS)
        try:
            connection.request("GET", path, headers={"Accept": "application/json", **(headers or {})})
            response = connection.getresponse()
            body = response.read(LIMIT_BYTES + 1)
        finally:
            connection.close()
        if response.status != 200:
            raise DiscoveryError(f"{root}: HTTP {response.status}.{_HINTS.get(response.status, '')}")
        if len(body) > LIMIT_BYTES:
            raise DiscoveryError(f"{root}: the answer is larger than {LIMIT_BYTES >> 20} MiB.")
        return json.loads(body)
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        raise DiscoveryError(
            f"{root}: {error or type(error).__name__}. Check that it is reachable from here."
        ) from error


_HINTS = {401: " Check the token.", 403: " Allow this account to list pods (get, list)."}
