"""Fit a step-time model to a pool's metrics."""

import argparse
import json
import time
from typing import Any

from plimsoll.compose.inputs import UserError, read_objectives
from plimsoll.compose.sources import SourceInput, add_source_config, open_prometheus, read_prometheus
from plimsoll.slo.capacity.calibration.fit import Calibration, calibrate
from plimsoll.slo.capacity.calibration.intervals import selectors
from plimsoll.slo.capacity.calibration.measured_replica import MeasuredReplica, measured_replica, sentence
from plimsoll.slo.reports.calibration import PoolCalibration
from plimsoll.slo.sources import Series, SourceError
from plimsoll.slo.spec.objectives import Pool
from plimsoll.slo.units import Duration

EXTRA = "service"

HOUR = 3600.0
LONGEST = 7 * 24 * HOUR


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--prometheus", required=True, metavar="URL", help="Prometheus that scrapes Plimsoll's exporters"
    )
    add_source_config(parser)
    parser.add_argument("--objectives", metavar="FILE", help="objectives file (default: bundled file)")
    parser.add_argument("--pool", metavar="NAME", help="only this pool (default: all pools)")
    parser.add_argument(
        "--lookback", default="6h", metavar="SPAN", help="time span to read, such as 90m (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="Print JSON.")


def run(args: argparse.Namespace) -> int:
    """Fit and print. Return 1 if no pool could be fitted."""
    lookback = _lookback(args.lookback)
    spec = read_objectives(args.objectives)
    pools = [pool for pool in spec.pools if args.pool in (None, pool.name)]
    if not pools:
        raise UserError(f"Unknown pool {args.pool!r}. Use one of: {', '.join(pool.name for pool in spec.pools)}.")
    prometheus = read_prometheus(args.prometheus, args.source_config)
    found = {pool.name: _fitted(prometheus, pool, lookback) for pool in pools}
    if args.json:
        print(json.dumps({"pools": [_written(name, one) for name, one in found.items()]}, indent=2))
    else:
        for name, one in found.items():
            _print(name, one)
    return 0 if any(isinstance(one, MeasuredReplica) for one in found.values()) else 1


def _lookback(text: str) -> float:
    try:
        found = float(Duration.parse(text))
    except ValueError:
        found = 0.0
    if not 0 < found <= LONGEST:
        raise UserError(f"--lookback: expected a duration from 1s to 7d, such as 6h, got {text!r}.")
    return found


def _fitted(prometheus: SourceInput, pool: Pool, lookback: float) -> MeasuredReplica | str:
    source, now = open_prometheus(prometheus), time.time()
    series: list[Series] = []
    try:
        # One hour per query: the raw samples of a large pool exceed the limits of one response.
        start = now - lookback
        while start < now:
            series += source.series(selectors(pool), start, min(now, start + HOUR))
            start += HOUR
    except SourceError as error:
        raise UserError(f"--prometheus {error}") from error
    finally:
        source.close()
    fit = calibrate(series)
    return fit if isinstance(fit, str) else measured_replica(pool, fit)


def _written(pool: str, found: MeasuredReplica | str) -> dict[str, Any]:
    """Return the object that the service's API returns for a pool."""
    replica, reason = (None, found) if isinstance(found, str) else (found, None)
    return PoolCalibration.of(pool, replica, reason).model_dump(mode="json", by_alias=True)


def _print(pool: str, found: MeasuredReplica | str) -> None:
    if isinstance(found, str):
        print(f"{pool}: no calibration: {found}")
        return
    fit = found.step_times
    print(f"{pool}, {', '.join(fit.replicas)}{' (simulated)' if fit.simulated else ''}: {sentence(fit)}")
    for name, times in fit.excluded_replicas.items():
        print(f"  {name} differs and is excluded: its step time is {times:.2f} times that of the others")
    print(
        f"  KV cache {fit.kv_cache_capacity_tokens:,} tokens per rank; largest batch {fit.max_observed_batch} requests"
    )
    _print_table(fit)


def _print_table(fit: Calibration) -> None:
    """Print the time per output token by requests and context, and the time of a prompt, within the range of the fit."""
    low, high = fit.batch_size_range
    contexts = sorted({round(fit.context_tokens_range[0]), round(fit.context_tokens_range[1])})
    print(f"  {'requests':>10}" + "".join(f"{f'ms/token at {context:,}':>22}" for context in contexts))
    for batch in sorted({round(low + (high - low) * share) for share in (0, 0.25, 0.5, 0.75, 1)}):
        print(f"  {batch:>10}" + "".join(f"{fit.tpot(batch, context) * 1e3:>22.2f}" for context in contexts))
    if fit.input_tokens_range is None:
        print("  no prompt was computed")
        return
    for prompt in sorted(set(map(round, fit.input_tokens_range))):
        print(f"  a prompt of {prompt:,} tokens: {fit.model.prefill(prompt) * 1e3:.1f} ms")
