"""`plimsoll export-openslo`: convert SLOs to OpenSLO v1 on stdout, losses on stderr."""

import argparse
import sys

from plimsoll.compose.inputs import read_objectives
from plimsoll.slo.exchange.to_openslo import write_openslo


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("export-openslo", help="convert SLOs to OpenSLO v1", description=__doc__)
    parser.add_argument("--objectives", required=True, metavar="FILE", help="objectives file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the documents, and the losses."""
    text, losses = write_openslo(read_objectives(args.objectives))
    for loss in losses:
        print(f"not converted: {loss.path}: {loss.reason}", file=sys.stderr)
    print(text, end="")
    return 0
