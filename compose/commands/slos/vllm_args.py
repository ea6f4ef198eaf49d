"""Print the vLLM arguments that align histogram buckets with SLO thresholds."""

import argparse
import json
import shlex
import sys

from plimsoll.compose.inputs import read_objectives
from plimsoll.exporters.vllm.histogram_buckets import with_limits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--objectives", required=True, metavar="FILE", help="objectives file")


def run(args: argparse.Namespace) -> int:
    """Print one shell-ready line, and on stderr the SLOs that only these arguments make exact."""
    spec = read_objectives(args.objectives)
    print(f"--custom-histogram-buckets {shlex.quote(json.dumps(with_limits(spec)))}")
    for objective in spec.objectives:
        if objective.bucket_mismatch != "unknown" and objective.indicator.latency:
            unused = f"bucket_mismatch: {objective.bucket_mismatch}"
            print(
                f"{objective.id}: {objective.indicator} is exact with these arguments. Remove {unused}.",
                file=sys.stderr,
            )
    return 0
