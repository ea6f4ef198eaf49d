"""Exclude a time range from the SLOs of a running service."""

import argparse
import json

from plimsoll.compose.live.service_client import add_reading, read

EXTRA = "service"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--from", dest="since", required=True, metavar="TIME", help="start, such as 2026-11-20T18:00:00Z"
    )
    parser.add_argument("--to", dest="until", required=True, metavar="TIME", help="end")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why the time doesn't count")
    parser.add_argument("--created-by", metavar="NAME", help="your name, where the service has no tokens")
    scope = parser.add_mutually_exclusive_group()
    scope.add_argument("--slo", metavar="ID", help="for this SLO alone (default: for all)")
    scope.add_argument("--pool", metavar="NAME", help="for the SLOs of this pool alone")
    add_reading(parser)


def run(args: argparse.Namespace) -> int:
    """Exclude it, and print the exclusion's ID; raises UserError."""
    values = {
        "from": args.since,
        "to": args.until,
        "reason": args.reason,
        "created_by": args.created_by,
        "slo_id": args.slo,
        "pool": args.pool,
    }
    made = read(args, "exclusions", body={name: value for name, value in values.items() if value is not None})
    print(json.dumps(made, indent=2) if args.json else f"excluded {made['from']} to {made['to']}: {made['id']}")
    return 0
