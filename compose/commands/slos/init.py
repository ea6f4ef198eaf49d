"""Propose starting objectives for the models that are live.

Prints an objectives file, or writes it with --out. In a file that exists, only models that no pool names are added; its text stays.
"""

import argparse
import sys
from pathlib import Path

from plimsoll.compose.engine_tokens import add_tokens
from plimsoll.compose.inputs import UserError
from plimsoll.compose.live import starting
from plimsoll.compose.sources import add_source_config, read_source

EXTRA = "service"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "--engine",
        action="append",
        metavar="[NAME=]URL",
        help="engine whose model needs objectives, such as http://127.0.0.1:8000. Repeatable.",
    )
    where.add_argument(
        "--source", metavar="SOURCE", help="prometheus:URL, or scrape:URL[,URL...] of exporters: all models there"
    )
    add_tokens(parser)
    add_source_config(parser)
    parser.add_argument("--out", metavar="FILE", help="objectives file to write, or to add to (default: print)")


def run(args: argparse.Namespace) -> int:
    """Propose; raises UserError."""
    if args.engine:
        series = starting.from_engines(args.engine, args.engine_token)
    else:
        series = starting.from_source(read_source(args.source, args.source_config))
    file = Path(args.out) if args.out else None
    found = starting.missing_from(file, series)
    if file is None:
        if not found:
            raise UserError(f"--source {args.source}: reports no model. Check that it reads Plimsoll's exporters.")
        print(starting.text_with(None, found), end="")
        return 0
    if not found:
        print(f"{file}: every live model has a pool; nothing added.")
        return 0
    starting.write(file, starting.text_with(file, found))
    print("\n".join([f"{file}: {len(found)} pools written", *starting.summary(found)]), file=sys.stderr)
    return 0
