"""`plimsoll backtest`: replay recorded traffic under a scaling policy, and say what users and budget would have felt."""

import argparse
import json
import sys
from math import isfinite
from pathlib import Path
from typing import Any

from compose.inputs import UserError
from slo.capacity import fleet, steps
from slo.capacity.backtest import LIMITS, POLICIES, Backtest, check
from slo.capacity.demand import Promise
from slo.capacity.fleet import Setup
from slo.capacity.request import Limits
from slo.capacity.traces import Arrival, TraceError, load

MILLISECONDS = 1000
PREFIX_BLOCK = 512  # tokens that one of Mooncake's hash_ids stands for
GPU_HOUR_USD = 2.0  # the reference design's price: 4 USD an hour for 2 H100


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("backtest", help="replay recorded traffic under a policy", description=__doc__)
    parser.add_argument("--trace", required=True, metavar="FILE", help="Azure CSV (plain or gz) or Mooncake JSONL")
    parser.add_argument("--scale", type=float, default=1.0, metavar="K", help="replay at K times its rate")
    parser.add_argument("--replica", default="70b-fp8-h100-tp4", metavar="NAME", help="a node (default: %(default)s)")
    parser.add_argument(
        "--policy",
        action="append",
        metavar="NAME",
        help=f"{', '.join(POLICIES)} (default: plimsoll); again for a further row of the table",
    )
    parser.add_argument(
        "--nodes", default="2:12", metavar="MIN:MAX", help="fewest and most nodes (default: %(default)s)"
    )
    parser.add_argument("--cold-start", type=float, default=150.0, metavar="S", help="seconds (default: %(default)s)")
    parser.add_argument("--warm-spares", type=int, default=0, metavar="N", help="nodes on stand-by, paid like others")
    parser.add_argument("--routing", default=fleet.ROUTINGS[0], choices=fleet.ROUTINGS, help="(default: %(default)s)")
    parser.add_argument(
        "--prefix-cache",
        action="store_true",
        help="keep prompt blocks of 512 tokens, for traces with hash_ids (Mooncake)",
    )
    parser.add_argument(
        "--slowness",
        type=float,
        action="append",
        metavar="F",
        help="factor on the step times of the nodes, in turn as they are ordered (repeatable; default: 1)",
    )
    parser.add_argument("--admission", type=int, metavar="N", help="answer 503 where N requests wait at a node already")
    parser.add_argument(
        "--lose", type=float, action="append", default=[], metavar="S", help="lose a node after S seconds"
    )
    parser.add_argument(
        "--promise",
        default="2000/200/99",
        metavar="TTFT/TPOT/PERCENT",
        help="milliseconds, and the share of requests within them, that plimsoll and clairvoyant plan for (default: %(default)s)",
    )
    parser.add_argument(
        "--gpu-hour-usd", type=float, default=GPU_HOUR_USD, metavar="USD", help="price of a GPU (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object (with several policies: a list)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay and report."""
    setup, promise, names = _setup(args), read_promise(args.promise), args.policy or ["plimsoll"]
    for name in names:
        try:
            check(name)
        except ValueError as error:
            raise UserError(f"--{error}") from error
    backtest = Backtest(_trace(args), setup, promise, steps.replica(args.replica).gpus * args.gpu_hour_usd)
    reports = []
    for name in names:
        reports.append(backtest.run(name, lambda text, name=name: _say(f"{name}: {text}")))  # type: ignore[misc]
    _say("")
    if args.json:
        json.dump(reports[0] if len(reports) == 1 else reports, sys.stdout, indent=2)
        print()
    else:
        _table(reports)
    return 0


def _say(text: str) -> None:
    """Show progress in one line of a terminal; nowhere else."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _table(reports: list[dict[str, Any]]) -> None:
    """Print one row per policy, as Markdown."""
    pairs = [f"{ttft}/{tpot}" for ttft, tpot in LIMITS]
    heads = ["policy", "TTFT p50/p95/p99 ms", "TPOT p50/p95/p99 ms", *(f"good {pair}" for pair in pairs)]
    print("| " + " | ".join([*heads, "node hours", "USD", "changes", "flaps", "most nodes", "lost + 503"]) + " |")
    print("|---" * (len(heads) + 6) + "|")
    for row in reports:
        cells = [
            row["policy"],
            _latencies(row["ttft_ms"]),
            _latencies(row["tpot_ms"]),
            *(f"{row['goodput'][pair]:.4f}" for pair in pairs),
            f"{row['node_hours']:.2f}",
            f"{row['cost_usd']:.2f}",
            *(str(row[key]) for key in ("scale_events", "flaps", "most_nodes")),
            str(row["lost"] + row["rejected"]),
        ]
        print("| " + " | ".join(cells) + " |")


def _latencies(values: dict[str, float | None]) -> str:
    return " / ".join("-" if value is None else f"{value:,.0f}" for value in values.values())


def _trace(args: argparse.Namespace) -> list[Arrival]:
    if not (args.scale > 0 and isfinite(args.scale)):
        raise UserError(f"--scale {args.scale:g}: write a number above 0")
    try:
        return load(Path(args.trace), args.scale)
    except (TraceError, UnicodeDecodeError) as error:
        raise UserError(f"--trace {error}") from error
    except OSError as error:
        raise UserError(f"--trace {args.trace}: cannot be read: {error.strerror or error}") from error


def _setup(args: argparse.Namespace) -> Setup:
    least, _, most = args.nodes.partition(":")
    if not (least.isdecimal() and most.isdecimal() and 1 <= int(least) <= int(most)):
        raise UserError(f"--nodes {args.nodes!r}: write MIN:MAX with 1 <= MIN <= MAX, such as 2:12")
    if not (args.cold_start > 0 and isfinite(args.cold_start)):
        raise UserError(f"--cold-start {args.cold_start:g}: write seconds above 0")
    for option, value in (("--warm-spares", args.warm_spares), ("--admission", args.admission or 0)):
        if value < 0:
            raise UserError(f"{option} {value}: write a whole number, 0 or above")
    slowness = tuple(args.slowness or (1.0,))
    for factor in slowness:
        if not (factor > 0 and isfinite(factor)):
            raise UserError(f"--slowness {factor:g}: write a factor above 0, such as 1.5 for half as slow again")
    try:
        model = steps.load(args.replica)
    except ValueError as error:
        raise UserError(f"--replica: {error}") from error
    return Setup(
        model,
        Limits(prefix_block=PREFIX_BLOCK if args.prefix_cache else 0),
        int(least),
        int(most),
        args.cold_start,
        warm_spares=args.warm_spares,
        routing=args.routing,
        admission=args.admission,
        slowness=slowness,
        losses=tuple(sorted(args.lose)),
    )


def read_promise(text: str) -> Promise:
    """Read TTFT/TPOT/PERCENT, in milliseconds; raises UserError."""
    try:
        ttft, tpot, percent = map(float, text.split("/"))
        if min(ttft, tpot) > 0 and 0 < percent < 100:
            return Promise(ttft / MILLISECONDS, tpot / MILLISECONDS, percent / 100)
    except ValueError:
        pass
    raise UserError(f"--promise {text!r}: write TTFT/TPOT/PERCENT, such as 2000/200/99")
