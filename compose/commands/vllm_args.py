"""`plimsoll vllm-args`: print the vLLM arguments (0.32 and later) that make every objective's limit a bucket bound."""

import argparse
import json
import shlex
import sys

from plimsoll.compose.inputs import read_objectives
from plimsoll.exporters.vllm.histogram_buckets import with_limits


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("vllm-args", help="print vLLM arguments for exact limits", description=__doc__)
    parser.add_argument("--objectives", required=True, metavar="FILE", help="objectives file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one shell-ready line; aside, which objectives are then counted exactly that else would not be."""
    spec = read_objectives(args.objectives)
    print(f"--custom-histogram-buckets {shlex.quote(json.dumps(with_limits(spec)))}")
    for objective in spec.objectives:
        if objective.bucket_mismatch != "unknown" and objective.indicator.latency:
            told = f"{objective.indicator} is then counted exactly, and `bucket_mismatch: {objective.bucket_mismatch}` is not needed"
            print(f"{objective.id}: {told}", file=sys.stderr)
    return 0
