"""Download a weekly review."""

import argparse
import json
import sys
from pathlib import Path

from plimsoll.compose.inputs import UserError
from plimsoll.compose.live.service_client import add_service, fetch

EXTRA = "service"

KINDS: dict[str, tuple[str, ...]] = {".json": (), ".csv": ("csv",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--week", metavar="WEEK", help="ISO week in UTC, such as 2026-W47")
    what.add_argument("--schema", action="store_true", help="print the JSON Schema of a review")
    parser.add_argument("--out", metavar="FILE", help="output file; the extension sets the format: .json or .csv")
    add_service(parser)


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
    body = fetch(args, "reviews", args.week, *KINDS[file.suffix])
    try:
        file.write_bytes(body)
    except OSError as error:
        raise UserError(f"--out {file}: can't write: {error.strerror}.") from error
    return 0
