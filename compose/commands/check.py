"""`plimsoll check`: say what is wrong with an objectives file, by itself and against live numbers."""

import argparse
import json
import sys
from dataclasses import asdict

from plimsoll.compose.inputs import UserError, read_objectives
from plimsoll.slo.checks.offline import Finding, findings
from plimsoll.slo.spec.objectives import Spec


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("check", help="check an objectives file", description=__doc__)
    parser.add_argument("--objectives", required=True, metavar="FILE", help="objectives file")
    parser.add_argument(
        "--source",
        metavar="SOURCE",
        help="also hold it against live numbers: prometheus:URL, or scrape:URL[,URL...] of exporters",
    )
    parser.add_argument("--json", action="store_true", help="print findings as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the findings; 1 where one is an error."""
    spec: Spec = read_objectives(args.objectives)
    found = findings(spec) + (_live(spec, args.source) if args.source else [])
    if args.json:
        json.dump([asdict(item) for item in found], sys.stdout, indent=2)
        print()
    else:
        for item in found:
            print(f"{item.level}: {item.where}: {item.message}")
        print(f"{args.objectives}: {len(spec.pools)} pools, {len(spec.objectives)} objectives, {len(found)} findings")
    return 1 if any(item.level == "error" for item in found) else 0


def _live(spec: Spec, source: str) -> list[Finding]:
    try:
        from plimsoll.compose.preflight import look  # noqa: PLC0415 - needs the extra, which a file alone does not
    except ModuleNotFoundError as error:
        raise UserError(f"--source needs the package {error.name!r}: pip install 'plimsoll-slo[service]'") from error
    return look(spec, source)
