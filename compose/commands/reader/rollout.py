"""Announce a rollout of a pool to a running service, so that its usual tickets are muted until its end."""

import argparse
import json

from plimsoll.compose.live.service_client import add_reading, read

EXTRA = "service"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("pool", metavar="POOL", help="pool in the objectives file")
    parser.add_argument("--version", required=True, metavar="TEXT", help="version or revision that is rolled out")
    parser.add_argument("--to", dest="until", required=True, metavar="TIME", help="end, such as 2026-11-20T18:00:00Z")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why")
    parser.add_argument(
        "--max-unavailable", type=int, default=1, metavar="N", help="replicas down at once (default: %(default)s)"
    )
    parser.add_argument("--actor", metavar="NAME", help="your name, where the service has no tokens")
    add_reading(parser)


def run(args: argparse.Namespace) -> int:
    """Announce it, and print until when; raises UserError."""
    body = {"version": args.version, "to": args.until, "reason": args.reason, "max_unavailable": args.max_unavailable}
    made = read(args, "pools", args.pool, "rollout", body=body | ({"actor": args.actor} if args.actor else {}))
    print(json.dumps(made, indent=2) if args.json else f"announced {args.pool} {made['version']} until {made['to']}")
    return 0
