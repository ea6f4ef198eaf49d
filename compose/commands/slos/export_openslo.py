"""Convert SLOs to OpenSLO v1."""

import argparse
import sys

from plimsoll.compose.inputs import read_objectives
from plimsoll.slo.exchange.to_openslo import write_openslo

EXTRA = "build"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--objectives", required=True, metavar="FILE", help="objectives file")


def run(args: argparse.Namespace) -> int:
    """Print the documents, and the losses."""
    text, losses = write_openslo(read_objectives(args.objectives))
    for loss in losses:
        print(f"not converted: {loss.path}: {loss.reason}", file=sys.stderr)
    print(text, end="")
    return 0
