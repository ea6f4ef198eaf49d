"""`plimsoll review`: fetch a week's capacity review from the SLO service into a file, as JSON or CSV."""

import argparse
import json
import os
import sys
from pathlib import Path

import httpx

from plimsoll.compose.inputs import UserError
from plimsoll.compose.listen import SERVICE_TOKEN, read_token

KINDS = {".json": "", ".csv": "/csv"}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "review",
        help="fetch a week's capacity review from the SLO service into a file",
        description=f"{__doc__} {SERVICE_TOKEN} or {SERVICE_TOKEN}_FILE may give a bearer token.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--week", metavar="WEEK", help="an ISO week, UTC, such as 2026-W47")
    what.add_argument("--schema", action="store_true", help="print the JSON Schema of a review instead")
    parser.add_argument("--out", metavar="FILE", help="where to write; its ending says what: .json or .csv")
    parser.add_argument(
        "--service",
        default="http://127.0.0.1:8080",
        metavar="URL",
        help="the SLO service's root (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fetch and write, or print the schema; raises UserError."""
    if args.schema:
        from plimsoll.slo.reports.review_models import Review  # noqa: PLC0415 - half a second that fetching does without

        json.dump(Review.model_json_schema(mode="serialization"), sys.stdout, indent=2)
        print()
        return 0
    file = Path(args.out or "")
    if file.suffix not in KINDS:
        raise UserError(f"--out {args.out or 'is missing'}: write a file that ends with {' or '.join(KINDS)}")
    body = _fetch(f"{args.service.rstrip('/')}/api/v1/reviews/{args.week}{KINDS[file.suffix]}")
    try:
        file.write_bytes(body)
    except OSError as error:
        raise UserError(f"--out {file}: cannot be written: {error.strerror}") from error
    return 0


def _fetch(url: str) -> bytes:
    token = read_token(os.environ, SERVICE_TOKEN)
    try:
        answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"} if token else {}, timeout=60)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UserError(f"--service: {url} cannot be reached: {error}; is `plimsoll serve` running there?") from error
    if answer.is_success:
        return answer.content
    try:
        why = str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        why = answer.reason_phrase
    raise UserError(f"{url} answers {answer.status_code}: {why}")
