"""`plimsoll calibrate`: how long a pool's steps take, fitted to its own metrics in a Prometheus, with how well it fits."""

import argparse
import json
import time
from math import isfinite
from typing import Any

from plimsoll.compose.inputs import UserError, read_objectives
from plimsoll.slo.capacity.calibration.fit import Calibration, calibrate
from plimsoll.slo.capacity.calibration.intervals import selectors
from plimsoll.slo.capacity.calibration.measured_replica import MeasuredReplica, own, sentence, told
from plimsoll.slo.sources import Series, SourceError
from plimsoll.slo.sources.prometheus import PrometheusSource
from plimsoll.slo.spec.objectives import Pool

HOUR = 3600.0
MOST_HOURS = 24 * 7


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "calibrate",
        help="how long a pool's steps take, from its own metrics",
        description=f"{__doc__} Wants hours in which batches were of many sizes. `plimsoll whatif --calibration` reads what --json prints.",
    )
    parser.add_argument(
        "--prometheus", required=True, metavar="URL", help="a Prometheus that scrapes Plimsoll's exporters"
    )
    parser.add_argument("--objectives", metavar="FILE", help="objectives file (default: the packaged one)")
    parser.add_argument("--pool", metavar="NAME", help="only this pool (default: all of the objectives file)")
    parser.add_argument(
        "--hours", type=float, default=6.0, metavar="H", help="of the past that are read (default: %(default)g)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit and print; 1 where no pool's steps are known."""
    if not (0 < args.hours <= MOST_HOURS and isfinite(args.hours)):
        raise UserError(f"--hours {args.hours:g}: write a number above 0, at most {MOST_HOURS}")
    spec = read_objectives(args.objectives)
    pools = [pool for pool in spec.pools if args.pool in (None, pool.name)]
    if not pools:
        raise UserError(f"--pool {args.pool!r}: pools are {', '.join(pool.name for pool in spec.pools)}")
    found = {pool.name: _fitted(args.prometheus, pool, args.hours) for pool in pools}
    if args.json:
        print(json.dumps({"pools": [_written(name, one) for name, one in found.items()]}, indent=2))
    else:
        for name, one in found.items():
            _print(name, one)
    return 0 if any(isinstance(one, MeasuredReplica) for one in found.values()) else 1


def _fitted(url: str, pool: Pool, hours: float) -> MeasuredReplica | str:
    source, now = PrometheusSource(url), time.time()
    series: list[Series] = []
    try:
        # By the hour: a large pool's raw samples of many are more than a server answers at once.
        start = now - hours * HOUR
        while start < now:
            series += source.series(selectors(pool), start, min(now, start + HOUR))
            start += HOUR
    except SourceError as error:
        raise UserError(f"--prometheus {error}") from error
    finally:
        source.close()
    fit = calibrate(series)
    return fit if isinstance(fit, str) else own(pool, fit)


def _written(pool: str, found: MeasuredReplica | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"pool": pool, "calibration": None, "reason": found}
    return {"pool": pool, "calibration": told(found), "reason": None}


def _print(pool: str, found: MeasuredReplica | str) -> None:
    if isinstance(found, str):
        print(f"{pool}: not known: {found}")
        return
    fit = found.calibration
    print(f"{pool}, {', '.join(fit.replicas)}{' (simulated)' if fit.simulated else ''}: {sentence(fit)}")
    for name, times in fit.left_out.items():
        print(f"  {name} is unlike these and left out: its steps take {times:.2f} times as long")
    print(f"  KV cache {fit.kv_tokens:,} tokens a rank; most requests in a batch {fit.most_running}")
    _print_table(fit)


def _print_table(fit: Calibration) -> None:
    """What it means within what was seen: a token of each of so many requests, and a prompt of so many tokens."""
    low, high = fit.batches
    contexts = sorted({round(fit.contexts[0]), round(fit.contexts[1])})
    print(f"  {'requests':>10}" + "".join(f"{f'ms/token at {context:,}':>22}" for context in contexts))
    for batch in sorted({round(low + (high - low) * share) for share in (0, 0.25, 0.5, 0.75, 1)}):
        print(f"  {batch:>10}" + "".join(f"{fit.tpot(batch, context) * 1e3:>22.2f}" for context in contexts))
    if fit.prompts is None:
        print("  no prompt was seen to be computed")
        return
    for prompt in sorted(set(map(round, fit.prompts))):
        print(f"  a prompt of {prompt:,} tokens: {fit.model.prefill(prompt) * 1e3:.1f} ms")
