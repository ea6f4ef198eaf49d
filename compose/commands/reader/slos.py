"""List the SLOs of a running service."""

import argparse
import json

from plimsoll.compose.live.service_client import add_reading, ratio, read, table

EXTRA = "service"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--pool", metavar="NAME", help="only the SLOs of this pool")
    add_reading(parser)


def run(args: argparse.Namespace) -> int:
    """Print them; raises UserError."""
    found = [one for one in read(args, "slos")["slos"] if args.pool in (None, one["pool"])]
    if args.json:
        print(json.dumps({"slos": found}, indent=2))
        return 0
    rows = [
        (
            one["id"],
            one["pool"],
            one["status"],
            ratio(one["budget_remaining"]),
            f"{one['good']:,} / {one['total']:,}",
            ratio(one["coverage"]),
        )
        for one in found
    ]
    print(table(("SLO", "POOL", "STATUS", "REMAINING", "GOOD / TOTAL", "COVERAGE"), rows))
    return 0
