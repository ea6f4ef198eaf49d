"""`plimsoll whatif`: what a replica would carry within the objectives, with its memory worked out step by step, nodes and cost."""

import argparse
import json
from dataclasses import asdict
from math import isfinite

from compose.commands.backtest import read_promise
from compose.inputs import UserError
from slo.capacity import steps
from slo.capacity.whatif import Answer, Question, whatif

SIMULATED = (
    "Simulated, from a model of the engine and Poisson arrivals; replay your own traffic with `plimsoll backtest`."
)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("whatif", help="what another GPU, mix or rate would mean", description=__doc__)
    parser.add_argument("--replica", default="70b-fp8-h100-tp4", choices=steps.names(), help="(default: %(default)s)")
    parser.add_argument("--prompt", type=int, default=500, metavar="TOKENS", help="of a request (default: %(default)s)")
    parser.add_argument("--output", type=int, default=200, metavar="TOKENS", help="of a request (default: %(default)s)")
    parser.add_argument(
        "--rate", type=float, default=20.0, metavar="R", help="requests per second (default: %(default)s)"
    )
    parser.add_argument(
        "--promise",
        default="600/40/95",
        metavar="TTFT/TPOT/PERCENT",
        help="milliseconds, and the share of requests within them (default: %(default)s)",
    )
    parser.add_argument(
        "--max-num-seqs", type=int, default=256, metavar="N", help="largest batch (default: %(default)s)"
    )
    parser.add_argument(
        "--kv-bytes",
        type=int,
        default=2,
        choices=(1, 2),
        help="of a number in the KV cache: 1 for FP8 (default: %(default)s)",
    )
    parser.add_argument("--gpu-hour-usd", type=float, metavar="USD", help="price of a GPU (default: rents on record)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Answer, or say that this replica cannot keep the promise."""
    for option, number in (
        *(("--prompt", args.prompt), ("--output", args.output), ("--max-num-seqs", args.max_num_seqs)),
        *(("--rate", args.rate), ("--gpu-hour-usd", 1.0 if args.gpu_hour_usd is None else args.gpu_hour_usd)),
    ):
        if not (number > 0 and isfinite(number)):
            raise UserError(f"{option} {number:g}: write a number above 0")
    price = None if args.gpu_hour_usd is None else (args.gpu_hour_usd, args.gpu_hour_usd)
    promise = read_promise(args.promise)
    answer = whatif(
        Question(
            *(args.replica, args.prompt, args.output, promise, args.rate),
            *(args.max_num_seqs, args.kv_bytes, price),
        )
    )
    if args.json:
        print(json.dumps({"simulated": True, "answer": None if answer is None else asdict(answer)}, indent=2))
    elif answer is None:
        print(f"{args.replica} cannot keep {args.promise} for such requests, however few they are.")
    else:
        _print(args, answer)
    return 0


def _print(args: argparse.Namespace, answer: Answer) -> None:
    print(f"{args.replica}, requests of {args.prompt} + {args.output} tokens, promised {args.promise} (ms/ms/%)\n")
    print("\n".join(f"  {step}" for step in answer.memory.steps))
    print(f"\none replica carries   {_band(answer.carries, '.1f')} requests/s within the promise")
    print(
        f"{args.rate:g} requests/s take   {_band(answer.nodes, 'd')} nodes; {_band(answer.n_minus_1, 'd')} to lose one"
    )
    print(f"1M tokens cost        {_band(answer.usd_per_million, '.2f')} USD, prompt and output, GPUs alone")
    print(f"\n{SIMULATED}")


def _band(band: tuple[float, float], form: str) -> str:
    low, high = (format(value, form) for value in band)
    return low if low == high else f"{low} to {high}"
