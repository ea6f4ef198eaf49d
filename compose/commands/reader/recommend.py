"""Show the recommendation for one pool of a running service, with its reasons."""

import argparse
import json

from plimsoll.compose.live.service_client import add_reading, read

EXTRA = "service"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("pool", metavar="POOL", help="name of the pool")
    add_reading(parser)


def run(args: argparse.Namespace) -> int:
    """Print it; raises UserError."""
    found = read(args, "pools", args.pool, "recommendation")
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    nodes = (
        ""
        if found["recommended_nodes"] is None
        else f", {found['current_nodes']} to {found['recommended_nodes']} nodes"
    )
    print(f"{found['pool']}: {found['action']}{nodes}, confidence {found['confidence']:.0%}")
    print("\n".join(f"- {reason}" for reason in found["reasons"]))
    settings = found.get("settings") or {"changes": []}
    if settings["changes"]:
        print(f"Settings to change before nodes (one more node: {settings['one_more_node']:.1%} attainment):")
        print("\n".join(f"- {one['summary']} {one['risk']} ({one['certainty']})" for one in settings["changes"]))
    return 0
