"""Show what caused the bad requests of one SLO of a running service, and whether more nodes would have helped."""

import argparse
import json

from plimsoll.compose.live.service_client import add_reading, ratio, read, table

EXTRA = "service"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("slo", metavar="ID", help="ID of the SLO")
    add_reading(parser)


def run(args: argparse.Namespace) -> int:
    """Print them; raises UserError."""
    found = read(args, "slos", args.slo, "attribution")
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    print(f"{found['id']}, {found['from']} to {found['to']}: {found['bad']:,} bad requests. {found['summary']}")
    rows = [(one["cause"], f"{one['bad']:,}", ratio(one["ratio"])) for one in found["causes"]]
    if rows:
        print(table(("CAUSE", "BAD", "SHARE"), rows))
    return 0
