"""Expected SLO attainment on another number of nodes: the ratio of requests that would be within the latency target."""

from functools import cached_property
from typing import Any

from plimsoll.slo.capacity.recommendation.attainment_simulation import Calibrated, Simulated, simulate
from plimsoll.slo.capacity.recommendation.demand import INTERVAL, Demand, LatencyTarget
from plimsoll.slo.capacity.recommendation.demand_plan import expected_again
from plimsoll.slo.capacity.recommendation.models import Method
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot
from plimsoll.slo.capacity.recommendation.texts import minutes, nodes
from plimsoll.slo.units import percent_text

# A target is out of reach where even the most nodes miss it by this many times the misses that it allows.
OUT_OF_REACH = 3.0
# Of the misses that the target allows, how many fewer nodes may have in a simulation: at the limit, chance would soon add the node again.
SCALE_IN_SPENDS = 0.9
# Attainment that the most nodes need at least: a queue on fewer then shows in it.
SHOWS = 0.1


class AttainmentEstimate:
    """Estimates for one pool snapshot, if its traffic came again behind the current queue: by simulation where the pool's step times are
    known (`engine`), else by a queue that is served at the measured throughput."""

    def __init__(self, case: PoolSnapshot, engine: Calibrated | None = None, seconds: float | None = None) -> None:
        """Replay the last `seconds` of traffic; by default those that the queue replay expects again."""
        self.case, self.engine, self.seconds = case, engine, seconds
        self._runs: dict[int, Simulated] = {}

    @property
    def method(self) -> Method | None:
        """How it is estimated; None where it is not."""
        if self.recent is None or not any(self.recent[0].arrived):
            return None
        return "simulation" if self.engine else "queue_replay" if self.case.plan else None

    @property
    def unavailable_reason(self) -> str | None:
        """Reason for a missing estimate; None with an estimate."""
        if self.method:
            return None
        if self.case.target is None:
            return "Unavailable: no latency SLO."
        if self.recent is None:
            return "Unavailable: no request counters."
        if not any(self.recent[0].arrived):
            return "Unavailable: no requests."
        return "Unavailable: no replica has been saturated yet."

    @property
    def lookback_seconds(self) -> float | None:
        """Seconds of traffic that are replayed."""
        return len(self.recent[0].arrived) * INTERVAL if self.recent and self.method else None

    def of(self, nodes: int) -> float | None:
        """Return the attainment of `nodes` nodes, 0 to 1."""
        if self.recent is None or self.method is None:
            return None
        demand, target = self.recent
        replicas = nodes * self.case.pool.node.replicas
        if self.engine is None:
            return 1 - demand.miss_ratio(replicas, target.max_wait, demand.backlog)
        if nodes not in self._runs:
            self._runs[nodes] = simulate(demand, replicas, target, self.engine)
        return self._runs[nodes].attainment

    def evidence(self, nodes: int) -> dict[str, Any]:
        """Return the size of the simulation of `nodes` nodes and its step-time model as text; empty without a simulation."""
        run = self._runs.get(nodes)
        if run is None or self.engine is None:
            return {}
        model = {"step_time_model": self.engine.summary} if self.engine.summary else {}
        return {"simulated_requests": run.simulated, "simulated_requests_total": run.requests, **model}

    def too_few(self, nodes: int) -> str | None:
        """State by how much a simulation of `nodes` nodes misses what scale-in requires; None if it doesn't, or without a simulation."""
        return self.broken(nodes, SCALE_IN_SPENDS) if self.method == "simulation" else None

    def broken(self, count: int, spends: float = 1.0) -> str | None:
        """State by how much `count` nodes would miss the target, with `spends` of the misses that it allows; None if they would meet it, or
        if unknown."""
        ratio, target = self.of(count), self.case.target
        if ratio is None or target is None or ratio >= 1 - spends * (1 - target.target):
            return None
        allowed = percent_text(round(spends * (1 - target.target), 9)) + (" for scale-in" if spends < 1 else "")
        by = "queue replay" if self.engine is None else "simulation"
        return f"with {nodes(count)}, {1 - ratio:.1%} of requests are expected to miss the target (allowed {allowed}), by {by} of {self.traffic}"

    @cached_property
    def at_most(self) -> "AttainmentEstimate | None":
        """The estimate for the stabilization window, where the target is out of reach in a simulation even with the pool's most nodes.

        None elsewhere. Long prompts without a cache are late on any number of nodes. A peak that comes again is then missed with all
        of them, so that only what they would bring now counts.
        """
        target, ratio = self.case.target, self.of(self.case.pool.nodes.max)
        if self.method != "simulation" or target is None or ratio is None:
            return None
        if ratio < SHOWS or 1 - ratio < OUT_OF_REACH * (1 - target.target):
            return None
        return AttainmentEstimate(self.case, self.engine, self.case.pool.timing.scale_in_stabilization)

    def short_of_most(self, count: int) -> tuple[float, float]:
        """Return by how much `count` nodes attain less than the pool's most nodes: as a ratio, and in simulated requests."""
        short = (self.of(self.case.pool.nodes.max) or 0.0) - (self.of(count) or 0.0)
        return short, short * (self._runs[count].simulated if count in self._runs else 0)

    @cached_property
    def traffic(self) -> str:
        """Name the traffic that is replayed."""
        intervals = len(self.recent[0].arrived) if self.recent else 0
        return f"the last {minutes(intervals * INTERVAL)}"

    @cached_property
    def recent(self) -> tuple[Demand, LatencyTarget] | None:
        """The demand that is expected again, and the target."""
        target, found = self.case.target, self.case.plan.recent if self.case.plan else self.case.demand
        if not found or not target:
            return None
        return found.recent(self.seconds or expected_again(self.case.pool, target)), target
