"""Ours against other scaling rules on recorded traffic: `PLIMSOLL_DATA=... python tests/benchmarks/bench_backtest.py`. Prints tables; evaluates nothing.

For each trace and rate: every policy's goodput and node-hours, whether ours dominates it, and where not, why, from the
figures themselves (slo/capacity/backtest/comparison.py). The replays are deterministic, whatever the machine. With `held-out` behind it: on traffic
that no variant of ours was ever chosen on, which is made of the same traces: both at once, as a pool that serves either would
see them, and each backwards, which turns every slow rise into a slow fall and the ends of bursts into beginnings.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from plimsoll.slo.capacity.backtest.comparison import against, near
from plimsoll.slo.capacity.backtest.run import OTHERS, Backtest, summary
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.simulator import fleet, step_time
from plimsoll.slo.capacity.simulator.fleet import Setup
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.traces import Arrival, load

TRACES = ("conv", "code")
SCALES = (0.5, 1, 2, 3, 5)
SETUP = Setup(step_time.load("70b-fp8-h100-tp4"), Limits(), least=2, most=12, cold_start=150.0)
PROMISED, KEY, NODE_USD = LatencyTarget(2.0, 0.2, 0.99), "2000/200", 8.0
FRUGAL = tuple(share / 100 for share in range(95, 4, -5))


def compare(arrivals: Sequence[Arrival]) -> Iterator[list[str]]:
    """Yield the rows of one table."""
    test = Backtest(arrivals, SETUP, PROMISED, NODE_USD)
    ours = test.run("plimsoll")
    yield [*figures(ours), "", ""]
    frugal = [
        {**replace(test, target=replace(PROMISED, target=share)).run("plimsoll"), "planned_target": share}
        for share in FRUGAL
    ]
    for name in OTHERS:
        other = test.run(name)
        found = against(ours, other, frugal, KEY, PROMISED.target)
        yield [*figures(other), found.word, found.why]
    schedule = test.clairvoyant()
    outcome = fleet.run(arrivals, schedule, SETUP)
    best = summary("clairvoyant", len(arrivals), outcome, NODE_USD)
    found = near(ours, best, test.bounds(schedule, best["goodput"][KEY]), KEY)
    yield [*figures(best), "within 15 % and 99 %" if found.word == "same" else found.word, found.why]


def figures(found: dict[str, Any]) -> list[str]:
    """Write what a table has for every policy."""
    return [
        found["policy"],
        f"{found['goodput'][KEY]:.4f}",
        f"{found['node_hours']:.2f}",
        str(found["flaps"]),
        f"{found['seconds_queued']:.0f}",
    ]


def cases(held_out: bool) -> Iterator[tuple[str, list[Arrival]]]:
    """Yield names and traffic."""
    folder = Path(os.environ["PLIMSOLL_DATA"]) / "traces"
    files = {name: folder / f"AzureLLMInferenceTrace_{name}.csv.gz" for name in TRACES}
    if not held_out:
        yield from ((f"{name} x{scale:g}", load(files[name], scale)) for name in TRACES for scale in SCALES)
        return
    for scale in (0.5, 1, 2, 3):
        yield f"both x{scale:g}", sorted(row for file in files.values() for row in load(file, scale))
    for name, scale in (("conv", 3), ("conv", 5), ("code", 1), ("code", 2), ("code", 3)):
        rows = load(files[name], scale)
        yield f"{name} backwards x{scale:g}", [row._replace(time=rows[-1].time - row.time) for row in reversed(rows)]


def main() -> None:
    """Print a table for each trace and rate."""
    for name, arrivals in cases(sys.argv[1:] == ["held-out"]):
        print(f"\n### {name}: {len(arrivals):,} requests, {arrivals[-1].time:,.0f} s\n")
        print(f"| policy | good {KEY} | node-hours | flaps | s under water | ours | why |")
        print("|---" * 7 + "|")
        for row in compare(arrivals):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
