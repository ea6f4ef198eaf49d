"""A running SLO service, asked by a command: its address, its token, and one-line errors."""

import argparse
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from plimsoll.compose.inputs import UserError
from plimsoll.compose.listen import SERVICE_TOKEN, read_token

TIMEOUT_SECONDS = 60.0


def add_service(parser: argparse.ArgumentParser) -> None:
    """Declare --service-url."""
    parser.add_argument(
        "--service-url",
        default="http://127.0.0.1:8080",
        metavar="URL",
        help=f"URL of the SLO service (default: %(default)s). Its token comes from {SERVICE_TOKEN}.",
    )


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Declare --service-url and --json."""
    add_service(parser)
    parser.add_argument("--json", action="store_true", help="print the API's JSON")


def fetch(args: argparse.Namespace, *path: str, body: Mapping[str, Any] | None = None) -> bytes:
    """GET a path of the API (its parts are escaped), or POST a body to it; raises UserError with the service's own reason."""
    url = "/".join([args.service_url.rstrip("/"), "api/v1", *(quote(part, safe="") for part in path)])
    token = read_token(os.environ, SERVICE_TOKEN)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        method = "GET" if body is None else "POST"
        response = httpx.request(method, url, headers=headers, json=body, timeout=TIMEOUT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UserError(
            f"--service-url: {url} isn't reachable: {error}. Check that `plimsoll serve` is running."
        ) from error
    if response.is_success:
        return response.content
    try:
        reason = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        reason = response.reason_phrase
    raise UserError(f"{url} returned {response.status_code}: {reason}")


def read(args: argparse.Namespace, *path: str, body: Mapping[str, Any] | None = None) -> Any:
    """Return the JSON of a path; raises UserError."""
    return json.loads(fetch(args, *path, body=body))


def ratio(value: float | None) -> str:
    """Write a ratio in percent; "no data" without one."""
    return "no data" if value is None else f"{value:.1%}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return rows as text in columns."""
    texts = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in texts
    )
