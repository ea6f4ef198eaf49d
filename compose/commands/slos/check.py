"""Validate an objectives file, optionally against live metrics."""

import argparse
import json
import sys
from dataclasses import asdict

from plimsoll.compose.inputs import UserError, read_objectives
from plimsoll.compose.sources import SourceInput, add_source_config, read_source
from plimsoll.slo.checks.finding import Finding
from plimsoll.slo.checks.offline import findings
from plimsoll.slo.spec.objectives import Spec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--objectives", required=True, metavar="FILE", help="objectives file")
    parser.add_argument(
        "--source",
        metavar="SOURCE",
        help="also check live metrics: prometheus:URL, or scrape:URL[,URL...] of exporters",
    )
    add_source_config(parser)
    parser.add_argument("--json", action="store_true", help="print findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Print the findings; return 1 where one is an error."""
    spec: Spec = read_objectives(args.objectives)
    source = read_source(args.source, args.source_config) if args.source else None
    found = findings(spec) + (_live(spec, source) if source else [])
    if args.json:
        json.dump([asdict(item) for item in found], sys.stdout, indent=2)
        print()
    else:
        for item in found:
            print(f"{item.level}: {item.path}: {item.message} {item.fix}".rstrip() + f" [{item.code}]")
        print(f"{args.objectives}: {len(spec.pools)} pools, {len(spec.objectives)} objectives, {len(found)} findings")
    return 1 if any(item.level == "error" for item in found) else 0


def _live(spec: Spec, source: SourceInput) -> list[Finding]:
    try:
        from plimsoll.compose.preflight import check_source  # noqa: PLC0415 - needs the extra, which a file alone doesn't
    except ModuleNotFoundError as error:
        raise UserError(
            f"--source needs the package {error.name!r}. Run pip install 'plimsoll-slo[service]'."
        ) from error
    return check_source(spec, source)
