"""Download a weekly review."""

import argparse
import json
import os
import sys
from pathlib import Path

import httpx

from plimsoll.compose.inputs import UserError
from plimsoll.compose.listen import SERVICE_TOKEN, read_token

EXTRA = "service"

KINDS = {".json": "", ".csv": "/csv"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--week", metavar="WEEK", help="ISO week in UTC, such as 2026-W47")
    what.add_argument("--schema", action="store_true", help="print the JSON Schema of a review")
    parser.add_argument("--out", metavar="FILE", help="output file; the extension sets the format: .json or .csv")
    parser.add_argument(
        "--service-url",
        default="http://127.0.0.1:8080",
        metavar="URL",
        help="URL of the SLO service (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Fetch and write, or print the schema; raises UserError."""
    if args.schema:
        from plimsoll.slo.reports.review_models import Review  # noqa: PLC0415 - half a second that fetching does without

        json.dump(Review.model_json_schema(mode="serialization"), sys.stdout, indent=2)
        print()
        return 0
    file = Path(args.out or "")
    if file.suffix not in KINDS:
        raise UserError(f"--out {args.out or 'is missing'}. Use a file name that ends with {' or '.join(KINDS)}.")
    body = _fetch(f"{args.service_url.rstrip('/')}/api/v1/reviews/{args.week}{KINDS[file.suffix]}")
    try:
        file.write_bytes(body)
    except OSError as error:
        raise UserError(f"--out {file}: can't write: {error.strerror}.") from error
    return 0


def _fetch(url: str) -> bytes:
    token = read_token(os.environ, SERVICE_TOKEN)
    try:
        response = httpx.get(url, headers={"Authorization": f"Bearer {token}"} if token else {}, timeout=60)
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
