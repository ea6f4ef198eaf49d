"""Replay recorded traffic against scaling policies."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from plimsoll.compose.inputs import UserError, needed, pool_of, read_objectives
from plimsoll.compose.pool_replica import add_replica, replica_of
from plimsoll.compose.traffic import add_traffic, read_traffic
from plimsoll.slo.capacity.backtest.frontier import frontier
from plimsoll.slo.capacity.backtest.run import HOLD, POLICIES, Backtest, check
from plimsoll.slo.capacity.backtest.tables import frontier_table, table
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.recommendation.demand_plan import latency_target
from plimsoll.slo.capacity.simulator import fleet
from plimsoll.slo.capacity.simulator.fleet import Outcome, Setup
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.spec.objectives import Pool, Spec

MILLISECONDS = 1000
PREFIX_BLOCK = 512  # tokens that one of Mooncake's hash_ids stands for
TARGET = "2000/200/99"
COLD_START, WARM_START = 150.0, 5.0  # seconds, as the source documents have them
CHARTS = (".svg", ".png")
GPU_HOUR_USD = 2.0  # the reference design's price: 4 USD an hour for 2 H100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_traffic(parser)
    _add_pool(parser)
    _add_replica(parser)
    _add_report(parser)


def _add_pool(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pool",
        metavar="NAME",
        help="of the objectives file: its latency SLO, nodes, times and price, and goodput by each of its objectives",
    )
    parser.add_argument("--objectives", metavar="FILE", help="objectives file of the pool (default: the packaged one)")
    add_replica(parser)
    parser.add_argument(
        "--policy",
        action="append",
        metavar="NAME",
        help=f"{', '.join(POLICIES)} (default: plimsoll). Repeatable.",
    )
    parser.add_argument(
        "--nodes",
        metavar="MIN:MAX",
        help="minimum and maximum nodes, one replica each (default: those of the pool, or 2:12)",
    )
    parser.add_argument(
        "--cold-start", type=float, metavar="S", help="cold start in seconds (default: that of the pool, or 150)"
    )
    parser.add_argument(
        "--warm-spares",
        type=int,
        metavar="N",
        help="standby nodes, paid like others (default: those of the pool, or 0)",
    )


def _add_replica(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--routing", default=fleet.ROUTINGS[0], choices=fleet.ROUTINGS, help="(default: %(default)s)")
    parser.add_argument(
        "--prefix-cache",
        type=int,
        nargs="?",
        const=PREFIX_BLOCK,
        default=0,
        metavar="TOKENS",
        help="simulate the prefix cache with blocks of this size, for traces with hash_ids: 512 for Mooncake (default), 16 for Bailian",
    )
    parser.add_argument(
        "--slowdown",
        type=float,
        action="append",
        metavar="F",
        help="factor on the step times of the nodes, in the order of their start (default: 1). Repeatable.",
    )
    parser.add_argument("--max-queue", type=int, metavar="N", help="return 503 when N requests are waiting at a node")
    parser.add_argument(
        "--fail-node-after",
        type=float,
        action="append",
        default=[],
        metavar="S",
        help="lose a node after S seconds. Repeatable.",
    )


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--slo",
        metavar="TTFT/TPOT/PERCENT",
        help=f"latency targets in ms, and the share of requests within them, for plimsoll and clairvoyant (default: those of the pool, or {TARGET})",
    )
    parser.add_argument(
        "--gpu-usd-per-hour",
        type=float,
        metavar="USD",
        help=f"price per GPU (default: that of the pool's node, or {GPU_HOUR_USD:g})",
    )
    parser.add_argument(
        "--frontier",
        action="store_true",
        help="compare at equal attainment of --slo: constant fleets of all sizes, and each --policy (default: all) swept over its own knob. A week takes minutes per run.",
    )
    parser.add_argument("--chart", metavar="FILE", help=f"write a chart of the comparison: {' or '.join(CHARTS)}")
    parser.add_argument("--json", action="store_true", help="Print JSON (with several policies: a list).")


def run(args: argparse.Namespace) -> int:
    """Replay and report."""
    spec = read_objectives(args.objectives) if args.pool or args.objectives else None
    pool = None if spec is None else _pool(spec, args.pool)
    setup, target, names = _setup(args, pool), _target(args, spec, pool), args.policy or ["plimsoll"]
    for name in names:
        try:
            check(name)
        except ValueError as error:
            raise UserError(f"--{error}") from error
    if args.frontier and args.chart:
        raise UserError("--chart draws single runs. Leave out --frontier.")
    draw = _drawing(args.chart)
    arrivals, source, note = read_traffic(args, pool, _progress)
    if not args.json:  # there it is a field
        note = f"Replica: {setup.replica}." + (f"\n{note}" if note else "")
    objectives = () if spec is None or pool is None else [one for one in spec.objectives if one.pool == pool.name]
    hold = HOLD if pool is None else pool.timing.scale_in_stabilization
    backtest = Backtest(arrivals, setup, target, _node_usd(args, pool, setup), hold, tuple(objectives))
    if args.frontier:
        kinds = [name.partition(":")[0] for name in args.policy or ()]
        _write(frontier(backtest, kinds, lambda text: _progress(f"frontier: {text}")), args.json, note, frontier_table)
        return 0
    outcomes = {}
    for name in names:
        outcomes[name] = backtest.replay(name, lambda text, name=name: _progress(f"{name}: {text}"))  # type: ignore[misc]
    _write([backtest.report(name, outcomes[name]) for name in names], args.json, note, table)
    if draw is not None:
        rate = "" if args.scale == 1 else f", at {args.scale:g} times its rate"
        draw(backtest, outcomes, f"{source}{rate}{'' if args.multiply == 1 else f', {args.multiply} copies'}")
    return 0


def _write(
    reports: list[dict[str, Any]], as_json: bool, note: str, written: Callable[[list[dict[str, Any]]], str]
) -> None:
    _progress("")
    if as_json:
        json.dump(reports[0] if len(reports) == 1 else reports, sys.stdout, indent=2)
        print()
    else:
        print(written(reports))
    if note:
        print(f"\n{note}", file=sys.stderr if as_json else sys.stdout)


def _pool(spec: Spec, name: str | None) -> Pool:
    if name is None:
        raise UserError(f"--objectives requires --pool {'|'.join(pool.name for pool in spec.pools)}.")
    pool = pool_of(spec, name)
    if pool.node.replicas > 1:
        raise UserError(
            f"--pool {name!r}: a simulated node runs one replica, its nodes {pool.node.replicas}; write a pool of nodes with one "
            "replica each, its price and limits by replica, into a file for --objectives"
        )
    return pool


def _target(args: argparse.Namespace, spec: Spec | None, pool: Pool | None) -> LatencyTarget:
    if args.slo or spec is None or pool is None:
        return read_slo(args.slo or TARGET)
    found = latency_target(spec, pool)
    if found is None:
        raise UserError(
            f"--pool {pool.name!r}: has no objective for time to first token or per output token; add --slo"
        )
    return found


def _node_usd(args: argparse.Namespace, pool: Pool | None, setup: Setup) -> float:
    if args.gpu_usd_per_hour is None and pool is not None and pool.node.hourly_usd:
        return pool.node.hourly_usd
    return setup.gpus * (GPU_HOUR_USD if args.gpu_usd_per_hour is None else float(args.gpu_usd_per_hour))


def _drawing(file: str | None) -> Callable[[Backtest, Mapping[str, Outcome], str], None] | None:
    """Return a function that draws the comparison into a file. Checks the file first. Raises UserError."""
    if file is None:
        return None
    path = Path(file)
    if path.suffix not in CHARTS:
        raise UserError(f"--chart {file}: write a file that ends with {' or '.join(CHARTS)}")
    if not path.parent.is_dir():
        raise UserError(f"--chart {file}: folder {path.parent} doesn't exist. Create it.")
    picture = needed("plimsoll.slo.capacity.backtest.chart", "chart")

    def draw(backtest: Backtest, outcomes: Mapping[str, Outcome], source: str) -> None:
        try:
            path.write_bytes(picture.drawn(backtest, outcomes, source, path.suffix[1:]))
        except OSError as error:
            raise UserError(f"--chart {file}: cannot be written: {error.strerror}") from error

    return draw


def _progress(text: str) -> None:
    """Show progress in one line of a terminal; nowhere else."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _setup(args: argparse.Namespace, pool: Pool | None) -> Setup:
    nodes = args.nodes or ("2:12" if pool is None else f"{pool.nodes.min}:{pool.nodes.max}")
    least, _, most = nodes.partition(":")
    if not (least.isdecimal() and most.isdecimal() and 1 <= int(least) <= int(most)):
        raise UserError(f"--nodes {nodes!r}: write MIN:MAX with 1 <= MIN <= MAX, such as 2:12")
    cold = args.cold_start if args.cold_start is not None else pool.timing.cold_start if pool else COLD_START
    if not (cold > 0 and isfinite(cold)):
        raise UserError(f"--cold-start {cold:g}: write seconds above 0")
    spares = args.warm_spares if args.warm_spares is not None else pool.nodes.warm_spares if pool else 0
    for option, value in (
        ("--warm-spares", spares),
        ("--max-queue", args.max_queue or 0),
        ("--prefix-cache", args.prefix_cache),
    ):
        if value < 0:
            raise UserError(f"{option} {value}: write a whole number, 0 or above")
    slowness = tuple(args.slowdown or (1.0,))
    for factor in slowness:
        if not (factor > 0 and isfinite(factor)):
            raise UserError(f"--slowdown {factor:g}: write a factor above 0, such as 1.5 for half as slow again")
    replica = replica_of(args, pool)
    return Setup(
        replica.model,
        Limits(replica.blocks, prefix_block=args.prefix_cache),
        int(least),
        int(most),
        cold,
        WARM_START if pool is None else pool.timing.warm_start,
        spares,
        routing=args.routing,
        admission=args.max_queue,
        slowness=slowness,
        losses=tuple(sorted(args.fail_node_after)),
        replica=replica.name,
        gpus=replica.gpus,
    )


def read_slo(text: str) -> LatencyTarget:
    """Read TTFT/TPOT/PERCENT, in milliseconds; raises UserError."""
    try:
        ttft, tpot, percent = map(float, text.split("/"))
        if min(ttft, tpot) > 0 and 0 < percent < 100:
            return LatencyTarget(ttft / MILLISECONDS, tpot / MILLISECONDS, percent / 100)
    except ValueError:
        pass
    raise UserError(f"--slo {text!r}: write TTFT/TPOT/PERCENT, such as 2000/200/99")
