"""List the pools of a running service, each with its recommendation."""

import argparse
import json

from plimsoll.compose.live.service_client import add_reading, read, table

EXTRA = "service"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_reading(parser)


def run(args: argparse.Namespace) -> int:
    """Print them; raises UserError."""
    found = read(args, "pools")
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    rows = []
    for pool in found["pools"]:
        one = read(args, "pools", pool["name"], "recommendation")
        rows.append((pool["name"], pool["model"], one["action"], one["current_nodes"], one["recommended_nodes"]))
    print(table(("POOL", "MODEL", "ACTION", "NODES", "RECOMMENDED"), rows))
    return 0
