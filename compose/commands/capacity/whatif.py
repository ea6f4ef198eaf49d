"""Simulate a GPU, workload, or traffic change."""

import argparse
from math import isfinite
from pathlib import Path

from pydantic import ValidationError

from plimsoll.compose.commands.capacity.backtest import read_slo
from plimsoll.compose.inputs import UserError, add_prices, pool_of, read_objectives, read_prices, read_text
from plimsoll.compose.pool_replica import read_calibration
from plimsoll.compose.whatif_report import print_report
from plimsoll.slo.capacity.model import memory
from plimsoll.slo.capacity.model.hardware import BITS, SIZES
from plimsoll.slo.capacity.planner.operators import ENGINES
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.recommendation.demand_plan import latency_target
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.whatif.evaluate import whatif
from plimsoll.slo.capacity.whatif.request import DEFAULTS, WhatIfRequest, response
from plimsoll.slo.capacity.whatif.scenario import CONCURRENCIES
from plimsoll.slo.spec.objectives import Pool, Spec

TARGET = "600/40/95"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    _add_replica(parser)
    _add_traffic(parser)
    _add_target(parser)
    _add_prices(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_replica(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--replica", choices=step_time.names(), help=f"(default: {step_time.names()[0]})")
    source.add_argument(
        "--calibration-file",
        metavar="FILE",
        help="measured replica of --pool: output of `plimsoll calibrate --json`, or the calibration from the API",
    )
    source.add_argument(
        "--model",
        metavar="NAME",
        help="a model, such as meta-llama/Llama-3.3-70B-Instruct; with --gpu (extra `planner`; default: that of --pool)",
    )
    parser.add_argument("--model-config", metavar="FILE", help="the model's config.json, where its name is not known")
    parser.add_argument(
        "--engine", choices=ENGINES, default=ENGINES[0], help="engine of a planned replica (default: %(default)s)"
    )
    parser.add_argument(
        "--gpu",
        choices=memory.gpus(),
        metavar="GPU",
        help=f"GPU type, one of {', '.join(memory.gpus())} (default: same as the replica)",
    )
    parser.add_argument(
        "--tensor-parallel-size", type=int, choices=SIZES, help="tensor parallelism (default: same as the replica)"
    )
    parser.add_argument(
        "--data-parallel-size",
        type=int,
        default=1,
        metavar="N",
        help="data-parallel ranks of a planned replica, each with tensor parallelism (default: %(default)s)",
    )
    parser.add_argument(
        "--expert-parallel", action="store_true", help="whole experts on each GPU of all ranks, not slices of them"
    )
    parser.add_argument("--weight-bits", type=int, choices=BITS, help="quantization (default: same as the replica)")


def _add_traffic(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input-tokens",
        type=int,
        metavar="TOKENS",
        help=f"input tokens per request (default: {DEFAULTS['input_tokens']})",
    )
    parser.add_argument(
        "--output-tokens",
        type=int,
        metavar="TOKENS",
        help=f"output tokens per request (default: {DEFAULTS['output_tokens']})",
    )
    parser.add_argument(
        "--workload-mix",
        metavar="INPUT/OUTPUT/PERCENT,...",
        help="kinds of requests, such as 500/200/70,6000/300/30",
    )
    parser.add_argument(
        "--prefix-cache-hit-ratio",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of each prompt found in the prefix cache, 0 to 0.99 (default: %(default)s)",
    )
    parser.add_argument(
        "--request-rate", type=float, metavar="R", help=f"requests per second (default: {DEFAULTS['request_rate']:g})"
    )
    parser.add_argument(
        "--traffic-multiplier",
        type=float,
        default=1.0,
        metavar="K",
        help="factor on the request rate (default: %(default)s)",
    )


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pool", metavar="NAME", help="pool of the objectives file: use its SLOs and GPU price")
    parser.add_argument("--objectives", metavar="FILE", help="objectives file of the pool (default: bundled file)")
    parser.add_argument(
        "--slo",
        metavar="TTFT/TPOT/PERCENT",
        help=f"latency targets in ms, and the share of requests within them (default: those of the pool, or {TARGET})",
    )
    parser.add_argument(
        "--max-num-seqs", type=int, default=256, metavar="N", help="largest batch (default: %(default)s)"
    )
    parser.add_argument(
        "--concurrency",
        type=int,
        metavar="N",
        help=f"requests in flight to state throughput and latencies for (default: {', '.join(map(str, CONCURRENCIES))})",
    )
    parser.add_argument(
        "--disaggregated", action="store_true", help="also size prefill and decode in replicas of their own, as a pair"
    )
    parser.add_argument(
        "--kv-transfer-gb-per-second",
        type=float,
        default=12.5,
        metavar="GB",
        help="what a replica's link carries from prefill to decode (default: %(default)s, 100 Gbit/s)",
    )
    parser.add_argument(
        "--kv-cache-bits",
        type=int,
        choices=(8, 16),
        help="KV cache precision (default: 16, or the measured one)",
    )


def _add_prices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gpu-usd-per-hour", type=float, metavar="USD", help="price per GPU (default: bundled rental prices)"
    )
    parser.add_argument(
        "--api-usd-per-million-tokens",
        type=float,
        metavar="USD",
        help="API price per 1M tokens, to find the break-even",
    )
    parser.add_argument("--compare-api", metavar="NAME", help="API with a known price, to find the break-even")
    add_prices(parser)


def run(args: argparse.Namespace) -> int:
    """Simulate and print the result, or that this replica can't meet the target."""
    _check_numbers(args)
    args.config_json = (
        None if args.model_config is None else read_text(Path(args.model_config), f"--model-config {args.model_config}")
    )
    pool = _pool(args)
    request = _request(args)
    try:
        of_pool = None if pool is None else pool[1]
        own = read_calibration(args.calibration_file, of_pool)
        prices = read_prices(args.price_file)
        scenario = request.scenario(_target(args, pool), of_pool, {}, prices, args.gpu_usd_per_hour, own)
        result = whatif(scenario)
    except ValueError as error:
        name, _, rest = str(error).partition(" ")
        raise UserError(f"--{name.replace('_', '-')} {rest}") from error
    if args.json:
        print(response(args.pool, request, scenario, {}, result).model_dump_json(indent=2))
        return 0
    print_report(scenario, result, args.compare_api or "an API")
    return 0


def _check_numbers(args: argparse.Namespace) -> None:
    for name in (
        "input_tokens",
        "output_tokens",
        "max_num_seqs",
        "concurrency",
        "request_rate",
        "traffic_multiplier",
        "kv_transfer_gb_per_second",
        "gpu_usd_per_hour",
        "api_usd_per_million_tokens",
    ):
        number = getattr(args, name)
        if number is not None and not (number > 0 and isfinite(number)):
            raise UserError(f"--{name.replace('_', '-')}: expected a number above 0, got {number:g}.")
    if not 0 <= args.prefix_cache_hit_ratio < 1:
        given = args.prefix_cache_hit_ratio
        raise UserError(f"--prefix-cache-hit-ratio: expected a ratio from 0 to below 1, got {given:g}.")


def _request(args: argparse.Namespace) -> WhatIfRequest:
    try:
        return WhatIfRequest(**{name: getattr(args, name) for name in WhatIfRequest.model_fields})
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"--{first['loc'][0]}: {first['msg']}".replace("_", "-")) from error


def _pool(args: argparse.Namespace) -> tuple[Spec, Pool] | None:
    if args.pool is None:
        return None
    spec = read_objectives(args.objectives)
    return spec, pool_of(spec, args.pool)


def _target(args: argparse.Namespace, pool: tuple[Spec, Pool] | None) -> LatencyTarget:
    if args.slo or pool is None:
        return read_slo(args.slo or TARGET)
    found = latency_target(*pool)
    if found is None:
        raise UserError(
            f"--pool {args.pool!r}: has no objective for time to first token or per output token; add --slo"
        )
    return found
