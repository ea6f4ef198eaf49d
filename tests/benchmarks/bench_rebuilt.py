"""Traffic rebuilt from what counters keep, against the recorded: `PLIMSOLL_DATA=... python tests/benchmarks/bench_rebuilt.py`. Prints a table; evaluates nothing.

Requests per 15 s and vLLM's histograms of lengths, as plimsoll.slo.capacity.backtest.traffic_history reads them, are taken from the Azure traces; what is rebuilt of
them is replayed on as many replicas as the recorded, and under our policy. Besides, each with one thing less: arrivals inside a slot by
chance (a Poisson process), and one histogram of lengths for the whole trace.
"""

import os
from bisect import bisect_left
from math import ceil, inf
from pathlib import Path
from unittest.mock import patch

from plimsoll.slo.capacity.backtest import traffic_history
from plimsoll.slo.capacity.backtest.run import Backtest
from plimsoll.slo.capacity.backtest.traffic_history import Part, Stretch
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.fleet import Setup
from plimsoll.slo.capacity.simulator.replay import percentile, replay
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.traces import Arrival, load

BOUNDS = tuple(float(digit * 10**power) for power in range(6) for digit in (1, 2, 5))[:-2]  # of vLLM, up to 100,000
BOUNDS += (inf,)
MODEL, SLOT = step_time.load("70b-fp8-h100-tp4"), 15.0
CASES = (
    ("conv", 1, 1),
    ("conv", 2, 2),
    ("conv", 3, 2),
    ("conv", 5, 3),
    ("code", 1, 2),
    ("code", 1, 6),
    ("code", 2, 4),
    ("code", 5, 8),
)


def rebuilt(recorded: list[Arrival], part: float = traffic_history.PART) -> list[Arrival]:
    """Make the requests again from counts, and from histograms of so many seconds."""
    end = recorded[-1].time + 1e-3
    parts = [Part(simulated=False) for _ in range(ceil(end / traffic_history.PART))]
    for slot in range(ceil(end / SLOT)):
        rows = [row for row in recorded if slot * SLOT <= row.time < (slot + 1) * SLOT]
        into = parts[int(slot * SLOT / traffic_history.PART)]
        into.stretches.append(Stretch(slot * SLOT, (slot + 1) * SLOT, len(rows)))
        of = parts[int(slot * SLOT // part * part / traffic_history.PART)]
        for row in rows:
            for tokens, length in ((of.prompt, row.prompt), (of.output, row.output)):
                tokens.count(BOUNDS[bisect_left(BOUNDS, length)], 1)
                tokens.count(None, length)
    return traffic_history.rebuilt(parts, 0.0, end).arrivals


def figures(rows: list[Arrival], replicas: int) -> str:
    """Goodput and TTFT p95 on so many replicas, then goodput and node-hours under our policy."""
    found = replay(rows, replicas, MODEL, Limits())
    ours = Backtest(rows, Setup(MODEL, Limits(), 2, 12), LatencyTarget(2.0, 0.2, 0.99), 8.0).run("plimsoll")
    late = 1000 * (percentile(found.ttft, 0.95) or 0)
    return f"{found.goodput(2.0, 0.2):.4f} | {late:,.0f} | {ours['goodput']['2000/200']:.4f} | {ours['node_hours']:.2f}"


def main() -> None:
    """Print four rows for each case."""
    print("| trace | replicas | traffic | good | TTFT p95 ms | good, plimsoll | node-hours |")
    print("|---" * 7 + "|")
    for name, scale, replicas in CASES:
        recorded = load(Path(os.environ["PLIMSOLL_DATA"]) / "traces" / f"AzureLLMInferenceTrace_{name}.csv.gz", scale)
        made = {"recorded": recorded, "rebuilt": rebuilt(recorded)}
        made["one histogram"] = rebuilt(recorded, recorded[-1].time + 1)
        with patch("plimsoll.slo.capacity.backtest.traffic_history.unevenness", return_value=0.0):
            made["by chance"] = rebuilt(recorded)
        for kind, rows in made.items():
            print(f"| {name} x{scale} | {replicas} | {kind} | {figures(rows, replicas)} |", flush=True)


if __name__ == "__main__":
    main()
