"""`plimsoll whatif`: what a replica would carry within the objectives, with its memory worked out step by step, nodes and cost."""

import argparse
import json
from dataclasses import asdict
from math import isfinite

from compose.commands.backtest import MILLISECONDS, read_promise
from compose.inputs import UserError, read_objectives
from slo.capacity import plan, steps
from slo.capacity.demand import Promise
from slo.capacity.whatif import Answer, Question, gpu_price, whatif
from slo.spec import Pool, Spec

PROMISE = "600/40/95"

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
        "--pool", metavar="NAME", help="a pool of the objectives file: by what it promises, and at its price of a GPU"
    )
    parser.add_argument("--objectives", metavar="FILE", help="objectives file of the pool (default: the packaged one)")
    parser.add_argument(
        "--promise",
        metavar="TTFT/TPOT/PERCENT",
        help=f"milliseconds, and the share of requests within them (default: the pool's, or {PROMISE})",
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
    pool = _pool(args)
    promise, price = _promise(args, pool), None if pool is None else gpu_price(pool[1], args.replica)
    if args.gpu_hour_usd is not None:
        price = (args.gpu_hour_usd, args.gpu_hour_usd)
    answer = whatif(
        Question(
            *(args.replica, args.prompt, args.output, promise, args.rate),
            *(args.max_num_seqs, args.kv_bytes, price),
        )
    )
    if args.json:
        limits = {"ttft_seconds": promise.ttft, "tpot_seconds": promise.tpot}
        told = {
            **{name: limit if isfinite(limit) else None for name, limit in limits.items()},
            "target": promise.target,
        }
        body = {"simulated": True, "pool": args.pool, "replica": args.replica, "promise": told}
        print(json.dumps({**body, "answer": None if answer is None else asdict(answer)}, indent=2))
    elif answer is None:
        print(f"{args.replica} cannot keep {_said(promise)} for such requests, however few they are.")
    else:
        _print(args, promise, answer)
    return 0


def _pool(args: argparse.Namespace) -> tuple[Spec, Pool] | None:
    if args.pool is None:
        return None
    spec = read_objectives(args.objectives)
    try:
        return spec, spec.pool(args.pool)
    except KeyError:
        raise UserError(f"--pool {args.pool!r}: pools are {', '.join(pool.name for pool in spec.pools)}") from None


def _promise(args: argparse.Namespace, pool: tuple[Spec, Pool] | None) -> Promise:
    if args.promise or pool is None:
        return read_promise(args.promise or PROMISE)
    found = plan.promise(*pool)
    if found is None:
        raise UserError(
            f"--pool {args.pool!r}: has no objective for time to first token or per output token; add --promise"
        )
    return found


def _said(promise: Promise) -> str:
    limits = (f"{limit * MILLISECONDS:g}" if isfinite(limit) else "any" for limit in (promise.ttft, promise.tpot))
    return "/".join((*limits, f"{100 * promise.target:g}"))


def _print(args: argparse.Namespace, promise: Promise, answer: Answer) -> None:
    print(f"{args.replica}, requests of {args.prompt} + {args.output} tokens, promised {_said(promise)} (ms/ms/%)\n")
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
