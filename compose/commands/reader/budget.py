"""Show the error budget of one SLO of a running service."""

import argparse
import json

from plimsoll.compose.live.service_client import add_reading, ratio, read, table

EXTRA = "service"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("slo", metavar="ID", help="ID of the SLO")
    add_reading(parser)


def run(args: argparse.Namespace) -> int:
    """Print it; raises UserError."""
    found = read(args, "slos", args.slo)
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    print(f"{found['id']}: {found['status']}, {ratio(found['budget_remaining'])} of the error budget remains")
    print(
        f"good {found['good']:,} of {found['total']:,} requests, target {found['target']:.4%}, coverage {ratio(found['coverage'])}"
    )
    rows = [[str(cell) for cell in one.values()] for one in found["burn_rates"]]
    if rows:
        print(table([name.upper() for name in found["burn_rates"][0]], rows))
    return 0
