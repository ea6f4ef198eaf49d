"""`plimsoll check`: say what is wrong with an objectives file."""

import argparse
import json
import sys
from dataclasses import asdict

from compose.inputs import UserError, read_objectives
from slo.findings import findings
from slo.spec import Spec


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("check", help="check an objectives file", description=__doc__)
    parser.add_argument("--objectives", required=True, metavar="FILE", help="objectives file")
    parser.add_argument("--json", action="store_true", help="print findings as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the findings; 1 where one is an error."""
    spec: Spec = read_objectives(args.objectives)
    found = findings(spec)
    if args.json:
        json.dump([asdict(item) for item in found], sys.stdout, indent=2)
        print()
    else:
        for item in found:
            print(f"{item.level}: {item.where}: {item.message}")
        print(f"{args.objectives}: {len(spec.pools)} pools, {len(spec.objectives)} objectives, {len(found)} findings")
    return 1 if any(item.level == "error" for item in found) else 0


__all__ = ["UserError", "add_parser", "run"]
