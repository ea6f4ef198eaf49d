"""Policies at equal attainment: each swept over its own knob, and constant fleets of every size beside them.

A policy that attains more for more node-hours says nothing by itself: so does any larger fleet. What counts is whether another
policy, at any value of its knob, attains as much for fewer node-hours, and how many node-hours a constant fleet takes for the same.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from typing import Any

from plimsoll.slo.capacity.backtest.run import PERCENT, Backtest, Progress
from plimsoll.slo.capacity.simulator.fleet import Outcome

DAY = 86400.0  # seconds
PROCESSES = 2
MOST_FLEETS = 16  # constant fleets that are run; a larger range is thinned out
# Each policy's default is among them. Coarse, as a week of traffic takes minutes per run.
KNOBS: dict[str, tuple[float, ...]] = {
    "plimsoll": (90, 95, 97, 99),
    "keda": (5, 20),
    "hpa-queue": (1, 5),
    "hpa-util": (0.65, 0.8, 0.9),
    "wva": (5, 10),
    "apa": (0.1, 0.5),
}
Report = dict[str, Any]
_shared: Backtest | None = None  # of the parent process: traffic is inherited, as copying it takes longer than a run


def names(backtest: Backtest, kinds: Sequence[str] = ()) -> list[str]:
    """Return the names of the runs: constant fleets within the limits, and each policy (of `kinds`, if any) by knob."""
    least, most, asked = backtest.setup.least, backtest.setup.most, PERCENT * backtest.target.target
    step = -(-(most - least + 1) // MOST_FLEETS)
    fleets = sorted({*range(least, most + 1, step), most})
    chosen = [kind for kind in KNOBS if not kinds or kind in kinds]
    values = {kind: {*KNOBS[kind], *([asked] if kind == "plimsoll" else [])} for kind in chosen}
    swept = (f"{kind}:{value:g}" for kind in chosen for value in sorted(values[kind]))
    return [*(f"fixed:{count}" for count in fleets), *swept]


def frontier(backtest: Backtest, kinds: Sequence[str] = (), progress: Progress = lambda _: None) -> list[Report]:
    """Run all, and return a report per run with `attained`, `worst_day`, `on_frontier` and `vs_constant`, by attainment.

    `on_frontier`: no other run attains as much for fewer node-hours. `vs_constant`: node-hours over those of a constant fleet with the
    same attainment, interpolated between two sizes; None outside of the sizes that were run.
    """
    global _shared  # noqa: PLW0603 - see above
    wanted = names(backtest, kinds)
    _shared = backtest
    found = []
    try:
        with ProcessPoolExecutor(PROCESSES, get_context("fork")) as pool:
            for done, report in enumerate(pool.map(_run, wanted), 1):
                found.append(report)
                progress(f"{done} of {len(wanted)} runs")
    finally:
        _shared = None
    return compared(found)


def _run(name: str) -> Report:
    assert _shared is not None  # noqa: S101 - set before the processes were started
    outcome = _shared.replay(name)
    return {**_shared.report(name, outcome), **attainment(_shared, outcome)}


def attainment(backtest: Backtest, outcome: Outcome) -> Report:
    """Return the ratio of all requests within the latency target, and that of the worst day, from the first request on."""
    ttft, tpot = backtest.target.ttft, backtest.target.tpot
    came: dict[int, int] = {}
    good: dict[int, int] = {}
    for arrival in backtest.arrivals:
        day = int(arrival.time // DAY)
        came[day] = came.get(day, 0) + 1
    for request in outcome.result.requests:
        if (request.ttft or 0.0) <= ttft and (request.tpot or 0.0) <= tpot:
            day = int(request.arrival // DAY)
            good[day] = good.get(day, 0) + 1
    worst = min(came, key=lambda day: good.get(day, 0) / came[day])
    return {
        "attained": round(sum(good.values()) / len(backtest.arrivals), 6),
        "worst_day": {"day": worst + 1, "attained": round(good.get(worst, 0) / came[worst], 6)},
    }


def compared(reports: Sequence[Report]) -> list[Report]:
    """Add what reports are compared by, best attainment first."""
    fleets = sorted((one["node_hours"], one["attained"]) for one in reports if one["policy"].startswith("fixed:"))

    def beaten(one: Report) -> bool:
        return any(
            other["attained"] >= one["attained"]
            and other["node_hours"] <= one["node_hours"]
            and (other["attained"], other["node_hours"]) != (one["attained"], one["node_hours"])
            for other in reports
        )

    return sorted(
        ({**one, "on_frontier": not beaten(one), "vs_constant": _ratio(one, fleets)} for one in reports),
        key=lambda one: (-one["attained"], one["node_hours"]),
    )


def _ratio(one: Report, fleets: Sequence[tuple[float, float]]) -> float | None:
    hours = next(_between(one["attained"], fleets), None)
    return None if hours is None else round(one["node_hours"] / hours, 4)


def _between(attained: float, fleets: Sequence[tuple[float, float]]) -> Iterator[float]:
    """Yield the node-hours of the smallest constant fleet that attains as much."""
    for hours, good in fleets[:1]:
        if good == attained:
            yield hours
    for (low, less), (high, more) in pairwise(fleets):
        if less < attained <= more:
            yield low + (high - low) * (attained - less) / (more - less)
