"""Show or download a review: of a week, or of a month or quarter with SLOs combined over pools and teams."""

import argparse
import json
import sys
import time
from pathlib import Path

from plimsoll.compose.inputs import UserError
from plimsoll.compose.live.service_client import add_service, fetch, ratio, read, table

EXTRA = "service"

KINDS: dict[str, tuple[str, ...]] = {".json": (), ".csv": ("csv",)}
FIGURES = ("good_ratio", "target", "budget_consumed")
MET = {True: "yes", False: "no", None: "unknown"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--week", metavar="WEEK", help="ISO week in UTC, such as 2026-W47 (default: the last one with a saved review)"
    )
    what.add_argument(
        "--period",
        metavar="PERIOD",
        help="with SLOs combined over pools and teams: week, month, or quarter (the last that has ended), 2026-11, 2026-Q4, or 2026-W47",
    )
    what.add_argument("--schema", action="store_true", help="print the JSON Schema of a review")
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--out",
        metavar="FILE",
        help="output file; the extension sets the format: .json or .csv (default: text on stdout)",
    )
    how.add_argument("--json", action="store_true", help="print the API's JSON")
    add_service(parser)


def run(args: argparse.Namespace) -> int:
    """Fetch and print or write, or print the schema; raises UserError."""
    if args.schema:
        from plimsoll.slo.reports.review_models import Review  # noqa: PLC0415 - half a second that fetching does without

        json.dump(Review.model_json_schema(mode="serialization"), sys.stdout, indent=2)
        print()
        return 0
    file = Path(args.out) if args.out is not None else None
    if file is not None and file.suffix not in KINDS:
        raise UserError(f"--out {args.out}: unknown format. Use a file name that ends with {' or '.join(KINDS)}.")
    path = ("period-reviews", args.period) if args.period else ("reviews", args.week or _last(args))
    body = fetch(args, *path, *(KINDS[file.suffix] if file else ()))
    if file is None:
        text = _period_text if args.period else _text
        print(json.dumps(json.loads(body), indent=2) if args.json else text(args, body))
        return 0
    try:
        file.write_bytes(body)
    except OSError as error:
        raise UserError(f"--out {file}: can't write: {error.strerror}.") from error
    return 0


def _last(args: argparse.Namespace) -> str:
    """Return the last week with a saved review."""
    found = read(args, "reviews")["reviews"]
    if not found:
        raise UserError("--week is missing, and no review is saved yet. Name a week, such as 2026-W47.")
    return str(found[0]["week"])


def _period_text(args: argparse.Namespace, body: bytes) -> str:
    """Return the combined figures and those of each SLO as a table."""
    review = json.loads(body)
    slos = [("slo", one["id"], one["pool"], one) for one in review["slos"]]
    rows = [*((one["kind"], one["name"], one["weighting"], one) for one in review["combined"]), *slos]
    cells = [
        (kind, name, by, *(ratio(one[figure]) for figure in FIGURES), MET[one["met"]], f"{one['total']:,}")
        for kind, name, by, one in rows
    ]
    end = "" if review["complete"] else ", in progress"
    simulated = "SIMULATED: part of this data comes from a simulated fleet.\n" if review["simulated"] else ""
    head = f"{review['period']}, {review['from']} to {review['to']}{end}: {args.service_url.rstrip('/')}/reviews/{review['period']}"
    return f"{head}\n{simulated}{table(('KIND', 'NAME', 'POOL OR WEIGHTING', 'SLI', 'TARGET', 'CONSUMED', 'MET', 'REQUESTS'), cells)}"


def _text(args: argparse.Namespace, body: bytes) -> str:
    """Return a review as the text of its mail."""
    from plimsoll.slo.calendar import WEEK, start_of  # noqa: PLC0415 - a second that a download does without
    from plimsoll.slo.reports.review_models import Review  # noqa: PLC0415
    from plimsoll.slo.reports.summary.digest import Digest  # noqa: PLC0415
    from plimsoll.slo.service.delivery.message import text  # noqa: PLC0415

    review = Review.model_validate_json(body)
    elapsed = WEEK if review.complete else min(WEEK, time.time() - start_of(review.week))
    return text(Digest.of(review, args.service_url, elapsed)).rstrip()
