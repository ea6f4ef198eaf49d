"""Announce an event to a running service: a time in which demand will be unlike that of other weeks."""

import argparse
import json

from plimsoll.compose.live.service_client import add_reading, read

EXTRA = "service"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="what happens, such as 'product launch'")
    parser.add_argument(
        "--from", dest="since", required=True, metavar="TIME", help="start, such as 2026-11-27T18:00:00Z"
    )
    parser.add_argument("--to", dest="until", required=True, metavar="TIME", help="end, at most 31 days later")
    expected = parser.add_mutually_exclusive_group(required=True)
    expected.add_argument(
        "--factor", type=float, metavar="X", help="expected multiple of the usual demand, such as 2.5"
    )
    expected.add_argument(
        "--requests-per-second",
        type=float,
        metavar="N",
        help="expected requests/s of the pool in its busiest 5 minutes",
    )
    parser.add_argument("--pool", metavar="NAME", help="of this pool alone (default: of all)")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why")
    parser.add_argument("--actor", metavar="NAME", help="your name, where the service has no tokens")
    add_reading(parser)


def run(args: argparse.Namespace) -> int:
    """Announce it, and print its ID; raises UserError."""
    values = {
        "name": args.name,
        "from": args.since,
        "to": args.until,
        "factor": args.factor,
        "requests_per_second": args.requests_per_second,
        "pool": args.pool,
        "reason": args.reason,
        "actor": args.actor,
    }
    made = read(args, "events", body={name: value for name, value in values.items() if value is not None})
    print(
        json.dumps(made, indent=2)
        if args.json
        else f"announced {made['name']} {made['from']} to {made['to']}: {made['id']}"
    )
    return 0
