"""`plimsoll whatif`: what a replica would carry within the objectives, with its memory worked out step by step, nodes and cost."""

import argparse
import json
from dataclasses import fields
from math import isfinite
from pathlib import Path

from plimsoll.compose.commands.backtest import MILLISECONDS, read_promise
from plimsoll.compose.inputs import UserError, add_prices, pool_of, read_objectives, read_prices
from plimsoll.slo.capacity.calibration.measured_replica import MeasuredReplica
from plimsoll.slo.capacity.model import memory
from plimsoll.slo.capacity.model.prices import MILLION
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.recommendation.demand_plan import latency_target
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.whatif.evaluate import Answer, Question, arithmetic, hardware_in, hardware_of, whatif
from plimsoll.slo.capacity.whatif.hardware_scaling import BITS, SIZES
from plimsoll.slo.capacity.whatif.request import EXAMPLE, Asked, outside, told
from plimsoll.slo.reports.calibration import PoolCalibration
from plimsoll.slo.spec.objectives import Pool, Spec

PROMISE = "600/40/95"

SIMULATED = (
    "Simulated, from a model of the engine and Poisson arrivals; replay your own traffic with `plimsoll backtest`."
)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("whatif", help="what another GPU, mix or rate would mean", description=__doc__)
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--replica", choices=step_time.names(), help=f"(default: {step_time.names()[0]})")
    whose.add_argument(
        "--calibration-file",
        metavar="FILE",
        help="a replica of --pool as measured: what `plimsoll calibrate --json` printed, or the service's calibration of the pool",
    )
    parser.add_argument("--gpu", choices=memory.gpus(), metavar="GPU", help=f"another: {', '.join(memory.gpus())}")
    parser.add_argument("--gpus", type=int, choices=SIZES, help="tensor parallelism (default: as the replica)")
    parser.add_argument("--weight-bits", type=int, choices=BITS, help="quantization (default: as the replica)")
    parser.add_argument("--prompt", type=int, metavar="TOKENS", help=f"of a request (default: {EXAMPLE['prompt']})")
    parser.add_argument("--output", type=int, metavar="TOKENS", help=f"of a request (default: {EXAMPLE['output']})")
    parser.add_argument(
        "--mix", metavar="PROMPT/OUTPUT/PERCENT,...", help="several kinds of requests, such as 500/200/70,6000/300/30"
    )
    parser.add_argument(
        "--prefix-hit",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of each prompt that its kind has in common and the prefix cache holds, 0 to 0.99 (default: %(default)s)",
    )
    parser.add_argument("--rate", type=float, metavar="R", help=f"requests per second (default: {EXAMPLE['rate']:g})")
    parser.add_argument("--traffic", type=float, default=1.0, metavar="K", help="times that rate")
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
        choices=(1, 2),
        help="of a number in the KV cache: 1 for FP8 (default: 2, or as measured)",
    )
    parser.add_argument("--gpu-hour-usd", type=float, metavar="USD", help="price of a GPU (default: rents on record)")
    parser.add_argument(
        "--api-usd", type=float, metavar="USD", help="what an API asks for 1M tokens: when is it dearer?"
    )
    parser.add_argument("--api", metavar="NAME", help="an API whose price is on record, in place of --api-usd")
    add_prices(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Answer, or say that this replica cannot keep the promise."""
    for name in ("prompt", "output", "max_num_seqs", "rate", "traffic", "gpu_hour_usd", "api_usd"):
        number = getattr(args, name)
        if number is not None and not (number > 0 and isfinite(number)):
            raise UserError(f"--{name.replace('_', '-')} {number:g}: write a number above 0")
    if not 0 <= args.prefix_hit < 1:
        raise UserError(f"--prefix-hit {args.prefix_hit:g}: write a share from 0 to below 1")
    pool = _pool(args)
    asked = Asked(**{field.name: getattr(args, field.name) for field in fields(Asked)})
    try:
        of_pool = None if pool is None else pool[1]
        own = _own(args.calibration_file, of_pool)
        prices = read_prices(args.prices)
        question = asked.question(_promise(args, pool), of_pool, {}, prices, args.gpu_hour_usd, own)
    except ValueError as error:
        raise UserError(f"--{error}") from error
    answer = whatif(question)
    if args.json:
        print(json.dumps(told(args.pool, asked, question, {}, answer), indent=2))
        return 0
    _print_question(question)
    if answer is None:
        print(f"\n{_replica(question)} cannot keep {_said(question.promise)} for such requests, however few they are.")
    else:
        _print(question, answer, args.api or "an API")
    for line in outside(question, answer):
        print(line)
    print(f"\n{SIMULATED}")
    return 0


def _pool(args: argparse.Namespace) -> tuple[Spec, Pool] | None:
    if args.pool is None:
        return None
    spec = read_objectives(args.objectives)
    return spec, pool_of(spec, args.pool)


def _own(path: str | None, pool: Pool | None) -> MeasuredReplica | None:
    """Read the pool's own replica from what `plimsoll calibrate --json`, or the service, said of it."""
    if path is None:
        return None
    if pool is None:
        raise UserError("--calibration-file requires --pool NAME.")
    try:
        body = json.loads(Path(path).read_text(encoding="utf-8"))
        found = next((one for one in body.get("pools", [body]) if one["pool"] == pool.name), None)
        own = None if found is None else PoolCalibration.model_validate(found).calibration
    except OSError as error:
        raise UserError(f"--calibration-file {path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"--calibration-file {path}: is not what `plimsoll calibrate --json` prints: {' '.join(str(error).split())}"
        ) from error
    if own is None:
        raise UserError(f"--calibration-file {path}: has no step times of pool {pool.name!r}")
    if not own.runs_as(pool):
        raise UserError(
            f"--calibration-file {path}: is of {own.model} on {own.gpus} x {own.gpu}; calibrate the pool again"
        )
    return own


def _promise(args: argparse.Namespace, pool: tuple[Spec, Pool] | None) -> LatencyTarget:
    if args.promise or pool is None:
        return read_promise(args.promise or PROMISE)
    found = latency_target(*pool)
    if found is None:
        raise UserError(
            f"--pool {args.pool!r}: has no objective for time to first token or per output token; add --promise"
        )
    return found


def _said(promise: LatencyTarget) -> str:
    limits = (f"{limit * MILLISECONDS:g}" if isfinite(limit) else "any" for limit in (promise.ttft, promise.tpot))
    return "/".join((*limits, f"{100 * promise.target:g}"))


def _replica(question: Question) -> str:
    on, own = hardware_in(question), question.own
    if own is None and on == hardware_of(question.replica):
        return question.replica
    name = question.replica if own is None else f"{own.pool}'s own replica, as measured,"
    return f"{name} on {on.gpus} x {on.gpu}" + (f" with {on.weight_bits}-bit weights" if on.weight_bits else "")


def _print_question(question: Question) -> None:
    kinds = ", ".join(
        f"{kind.prompt} + {kind.output} tokens" + (f" ({kind.share:.0%})" if len(question.mix) > 1 else "")
        for kind in question.mix
    )
    print(f"{_replica(question)}, requests of {kinds}, promised {_said(question.promise)} (ms/ms/%)\n")
    print("\n".join(f"  {step}" for step in arithmetic(question)))


def _print(question: Question, answer: Answer, api: str) -> None:
    priced = "GPUs alone" if question.owned is None else "nodes with power, colocation and people"
    print(f"\none replica carries   {_band(answer.carries, '.1f')} requests/s within the promise")
    print(f"requests in it then   {_band(answer.concurrency, '.0f')}")
    print(
        f"{question.rate:g} requests/s take   {_band(answer.nodes, 'd')} nodes; {_band(answer.n_minus_1, 'd')} to lose one"
    )
    print(f"an hour costs         {_band(answer.usd_per_hour, '.2f')} USD, {priced}")
    print(f"1M tokens cost        {_band(answer.usd_per_million, '.2f')} USD, prompt and output, {priced}")
    if answer.break_even_tokens:
        low, high = (f"{tokens / MILLION:,.0f}" for tokens in answer.break_even_tokens)
        print(f"{api} is dearer from {low if low == high else f'{low} to {high}'} million tokens a month on")


def _band(band: tuple[float, float], form: str) -> str:
    low, high = (format(value, form) for value in band)
    return low if low == high else f"{low} to {high}"
