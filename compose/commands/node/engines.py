"""Show what is recognized at metrics endpoints of engines and gateways, what is missing, and what that costs."""

import argparse
import json
from collections.abc import Iterator

from plimsoll.compose.engine_report import Report, report
from plimsoll.compose.engine_tokens import add_tokens, engine_collectors
from plimsoll.compose.inputs import read_objectives


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "urls", nargs="+", metavar="[NAME=]URL", help="Engine or gateway, such as http://127.0.0.1:8000."
    )
    add_tokens(parser)
    parser.add_argument(
        "--objectives", metavar="FILE", help="Objectives file whose SLOs should be counted (default: bundled file)."
    )
    parser.add_argument("--json", action="store_true", help="Print JSON.")


def run(args: argparse.Namespace) -> int:
    """Print a report of each endpoint; return 0 if all are complete, else 1. Raises UserError."""
    spec = read_objectives(args.objectives)
    found = engine_collectors(args.urls, args.engine_token, None)
    reports = [report(collector, url, spec) for collector, url in zip(found, args.urls, strict=True)]
    print(
        json.dumps([one.as_json() for one in reports], indent=2)
        if args.json
        else "\n\n".join("\n".join(_lines(one)) for one in reports)
    )
    return 0 if all(one.complete for one in reports) else 1


def _lines(one: Report) -> Iterator[str]:
    if one.problem:
        yield f"{one.url}: {one.problem}"
        return
    yield f"{one.url}: {one.engine} {one.version}".rstrip()
    yield f"  limits: {one.limits}"
    yield from (f"  replica {name}: model {model}" for name, model in one.replicas.items())
    if one.replicas and not one.objectives:
        yield "  no pool of the objectives file serves this model: no SLO counts it"
    for slo, source in one.objectives.items():
        yield f"  SLO {slo}: {f'counted ({source})' if source else 'NOT COUNTED: this engine has no evidence for it'}"
    yield from (f"  found {metric}: {', '.join(names)}" for metric, names in one.found.items())
    yield from (f"  UNUSABLE {name}: {reason}" for name, reason in one.unusable.items())
    for cost in one.missing:
        yield f"  missing {cost.metric}"
        yield from (f"    alert without data: {name}" for name in cost.alerts)
        yield from (f"    panel without data: {name}" for name in cost.panels)
