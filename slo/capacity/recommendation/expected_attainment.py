"""What users would feel on another number of nodes: the share of the traffic that would be within the promise."""

from functools import cached_property
from typing import Any

from plimsoll.slo.capacity.recommendation.attainment_simulation import Calibrated, Trial, trial
from plimsoll.slo.capacity.recommendation.demand import SLOT, Demand, LatencyTarget
from plimsoll.slo.capacity.recommendation.demand_plan import expected_again
from plimsoll.slo.capacity.recommendation.models import By
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot
from plimsoll.slo.units import duration_text, percent_text


class ExpectedAttainment:
    """What is expected of numbers of nodes in one situation, if its traffic came again with what waits now ahead of it: by simulation where
    the pool's step times are known (`engine`), else by what replicas did when full."""

    def __init__(self, case: PoolSnapshot, engine: Calibrated | None = None) -> None:
        self.case, self.engine = case, engine
        self._tried: dict[int, Trial] = {}

    @property
    def by(self) -> By | None:
        """How it is known; None where it is not."""
        if self._lately is None or not any(self._lately[0].arrived):
            return None
        return "simulation" if self.engine else "queue replay" if self.case.plan else None

    @property
    def why(self) -> str | None:
        """Why nothing is known; None where something is."""
        if self.by:
            return None
        if self.case.promise is None:
            return "the pool has no objective on time to first token or per token"
        if self._lately is None:
            return "what requests arrive is not known: no counters of them"
        if not any(self._lately[0].arrived):
            return "no request came lately"
        return "not known before a replica was seen full"

    @property
    def seconds(self) -> float | None:
        """Seconds of traffic that it rests on."""
        return len(self._lately[0].arrived) * SLOT if self._lately and self.by else None

    def of(self, nodes: int) -> float | None:
        """Share within the promise on so many nodes, 0 to 1."""
        if self._lately is None or self.by is None:
            return None
        demand, promise = self._lately
        replicas = nodes * self.case.pool.node.replicas
        if self.engine is None:
            return 1 - demand.late(replicas, promise.wait, demand.backlog)
        if nodes not in self._tried:
            self._tried[nodes] = trial(demand, replicas, promise, self.engine)
        return self._tried[nodes].share

    def sample(self, nodes: int) -> dict[str, Any]:
        """Tell as evidence how many requests the trial of so many nodes stands on, of how many, and how well step times are known;
        nothing without a trial."""
        found = self._tried.get(nodes)
        if found is None or self.engine is None:
            return {}
        known = {"step_times": self.engine.says} if self.engine.says else {}
        return {"simulated_requests": found.simulated, "simulated_requests_of": found.requests, **known}

    def failed(self, nodes: int) -> str | None:
        """Say by how much the promise is broken on so many nodes in a trial; None where it is kept, or there is no trial."""
        return self.broken(nodes) if self.by == "simulation" else None

    def broken(self, nodes: int) -> str | None:
        """Say by how much the promise would be broken on so many nodes; None where it would be kept, or nothing is known."""
        share, promise = self.of(nodes), self.case.promise
        if share is None or promise is None or share >= promise.target:
            return None
        allowed = percent_text(round(1 - promise.target, 9))
        return f"{1 - share:.1%} of {self.traffic} would be late, by {self.by}; promised: at most {allowed}"

    @cached_property
    def traffic(self) -> str:
        """Name the traffic that it rests on."""
        slots = len(self._lately[0].arrived) if self._lately else 0
        return f"the traffic of the last {duration_text(60 * round(max(60.0, slots * SLOT) / 60))}"

    @cached_property
    def _lately(self) -> tuple[Demand, LatencyTarget] | None:
        """The demand that is expected again, and what is promised."""
        promise, found = self.case.promise, self.case.plan.lately if self.case.plan else self.case.demand
        return (found.lately(expected_again(self.case.pool, promise)), promise) if found and promise else None
