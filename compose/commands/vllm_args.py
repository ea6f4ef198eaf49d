"""`plimsoll vllm-args`: print the vLLM arguments (0.32 and later) that make every objective's limit a bucket bound."""

import argparse
import json
import shlex

from compose.inputs import read_objectives
from exporters.engines.vllm_buckets import with_limits


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("vllm-args", help="print vLLM arguments for exact limits", description=__doc__)
    parser.add_argument("--objectives", required=True, metavar="FILE", help="objectives file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one shell-ready line."""
    buckets = with_limits(read_objectives(args.objectives))
    print(f"--custom-histogram-buckets {shlex.quote(json.dumps(buckets))}")
    return 0
