"""The traffic of a backtest, as a user names it: a recorded trace, or a pool's own history in a Prometheus."""

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path

from plimsoll.compose.inputs import UserError
from plimsoll.compose.sources import SourceInput, add_source_config, open_prometheus, read_prometheus
from plimsoll.slo.capacity.backtest.traffic_history import READ, History, HistoryError, Part, parts, rebuilt, selectors
from plimsoll.slo.capacity.simulator.traces import UNITS, Arrival, TraceError, load, superposed
from plimsoll.slo.sli.increments import MAX_GAP
from plimsoll.slo.sources import SourceError
from plimsoll.slo.spec.objectives import Pool

DAY = 86400.0
Progress = Callable[[str], None]


def add_traffic(parser: argparse.ArgumentParser) -> None:
    """Declare the traffic to replay."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--trace",
        metavar="FILE",
        help="plain or gz: Azure's or BurstGPT's CSV; JSON lines of Mooncake (also sessions), of Bailian, or of another trace for `vllm bench serve "
        "--dataset-name timed_trace`; a result of `vllm bench serve --save-result --save-detailed`, AIPerf (profile_export.jsonl), or GuideLLM",
    )
    source.add_argument(
        "--prometheus",
        metavar="URL",
        help="reconstruct the traffic of --pool from this Prometheus",
    )
    add_source_config(parser)
    parser.add_argument(
        "--timestamp-unit",
        choices=UNITS,
        help="unit of the timestamps of JSON lines (default: s where one has a decimal point, else ms as Mooncake's)",
    )
    parser.add_argument(
        "--from", dest="since", metavar="TIME", help="start, with --prometheus (default: 24 hours before --to)"
    )
    parser.add_argument("--to", dest="until", metavar="TIME", help="end, such as 2026-11-20T18:00:00Z (default: now)")
    parser.add_argument("--scale", type=float, default=1.0, metavar="K", help="replay at K times the recorded rate")
    parser.add_argument(
        "--multiply",
        type=int,
        default=1,
        metavar="K",
        help="superpose K copies, each a K-th of an hour later than the one before, so that a week keeps its hours",
    )


def read_traffic(args: argparse.Namespace, pool: Pool | None, progress: Progress) -> tuple[list[Arrival], str, str]:
    """Return requests in time order, the name of their source, and a note about it (may be empty). Raises UserError."""
    if args.multiply < 1:
        raise UserError(f"--multiply {args.multiply}: write a whole number, 1 or above.")
    arrivals, source, note = _recorded(args, pool, progress)
    return superposed(arrivals, args.multiply), source, note


def _recorded(args: argparse.Namespace, pool: Pool | None, progress: Progress) -> tuple[list[Arrival], str, str]:
    if not (args.scale > 0 and isfinite(args.scale)):
        raise UserError(f"--scale: expected a number above 0, got {args.scale:g}.")
    if args.prometheus is None:
        for option, given in (("--from", args.since), ("--to", args.until)):
            if given is not None:
                raise UserError(f"{option} requires --prometheus. A trace is replayed as a whole.")
        arrivals = read_trace(args.trace, args.scale, args.timestamp_unit)
        turns = sum(row.delay is not None for row in arrivals)
        note = f"{turns} turns of sessions are sent after the response to the turn before." if turns else ""
        return arrivals, Path(args.trace).name, note
    if pool is None:
        raise UserError("--prometheus requires --pool NAME.")
    if args.timestamp_unit is not None:
        raise UserError("--timestamp-unit requires --trace.")
    end = time.time() if args.until is None else moment("--to", args.until)
    start = end - DAY if args.since is None else moment("--from", args.since)
    if not start < end:
        raise UserError(f"--from {args.since} isn't before --to. Swap them.")
    found = _history(read_prometheus(args.prometheus, args.source_config), pool, start, end, progress)
    scaled = [row._replace(time=row.time / args.scale) for row in found.arrivals]
    return scaled, f"{pool.name}, {_written(start)} to {_written(end)}", _summary(found)


def read_trace(file: str, scale: float, unit: str | None) -> list[Arrival]:
    """Return the requests of a recorded trace in time order. Raises UserError."""
    try:
        return load(Path(file), scale, unit)
    except (TraceError, UnicodeDecodeError) as error:
        raise UserError(f"--trace {error}") from error
    except OSError as error:
        raise UserError(f"--trace {file}: can't be read: {error.strerror or error}. Check the path.") from error


def _history(prometheus: SourceInput, pool: Pool, start: float, end: float, progress: Progress) -> History:
    source = open_prometheus(prometheus)
    read: list[Part] = []
    begin = start
    try:
        while begin < end:
            progress(f"reading, {(begin - start) / (end - start):.0%}")
            until = min(end, begin + READ)
            read += parts(source.series(selectors(pool), begin - MAX_GAP, until), begin, until)
            begin = until
        return rebuilt(read, start, end)
    except SourceError as error:
        raise UserError(f"--prometheus {error}") from error
    except HistoryError as error:
        raise UserError(f"--prometheus {prometheus.urls[0]}, pool {pool.name}: {error}") from error
    finally:
        source.close()


def _summary(found: History) -> str:
    """Return a note on the quality of reconstructed traffic."""
    text = (
        f"{len(found.arrivals):,} requests reconstructed from counts per {found.slot:g} s and histograms of their lengths; "
        f"{found.observed:.1%} of the time was observed"
    )
    if found.gaps:
        first = min(found.gaps)
        text += f", {len(found.gaps)} gaps are left out (first at {_written(first[0])}, {first[1] - first[0]:.0f} s)"
    return text + (". Counted from the demo fleet: SIMULATED." if found.simulated else ".")


def moment(option: str, text: str) -> float:
    """Return a time in Unix seconds. Raises UserError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UserError(f"{option}: expected a time such as 2026-11-20T18:00:00Z, got {text!r}.") from error
    if found.tzinfo is None:
        raise UserError(f"{option} {text!r}: no time zone. Append Z for UTC, or an offset such as +01:00.")
    return found.timestamp()


def _written(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
