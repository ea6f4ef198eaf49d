"""The service's own recommendation, with the same signals."""

from collections import deque
from dataclasses import replace

from plimsoll.slo.capacity.recommendation.attainment_simulation import Calibrated
from plimsoll.slo.capacity.recommendation.demand import ATTAINED_SECONDS, LATEST_SECONDS, Attained, LatencyTarget
from plimsoll.slo.capacity.recommendation.measured_state import MeasuredState
from plimsoll.slo.capacity.recommendation.pool_snapshot import look
from plimsoll.slo.capacity.recommendation.recommend import decide
from plimsoll.slo.capacity.simulator.policy import View
from plimsoll.slo.spec.objectives import Pool

SLOW = 300.0  # seconds between evaluations once the loop on the error budget decides, which it does by the quarter of an hour


class Counted:
    """Counts requests as the ledger of a service does, here within all thresholds at once."""

    def __init__(self, target: LatencyTarget) -> None:
        self.target = target
        self._recent: deque[tuple[float, int, int]] = deque()
        self._good = self._total = 0

    def after(self, view: View) -> Attained:
        """Add the requests that finished since the last evaluation."""
        ttft, tpot = self.target.ttft, self.target.tpot
        good = sum((one.ttft or 0.0) <= ttft and (one.tpot or 0.0) <= tpot for one in view.finished)
        self._recent.append((view.now, good, len(view.finished)))
        while self._recent[0][0] <= view.now - ATTAINED_SECONDS:
            self._recent.popleft()
        self._good, self._total = self._good + good, self._total + len(view.finished)
        latest = [one for one in self._recent if one[0] > view.now - LATEST_SECONDS]
        return Attained(
            sum(one[1] for one in self._recent),
            sum(one[2] for one in self._recent),
            *(self._good, self._total),
            *(sum(one[1] for one in latest), sum(one[2] for one in latest)),
        )


class Plimsoll:
    """Follows every recommendation; where there is none, changes nothing."""

    interval = 15.0

    def __init__(self, pool: Pool, target: LatencyTarget, engine: Calibrated | None = None) -> None:
        """`engine` is the replica for the simulator; None: unknown."""
        self.pool, self.target, self.engine = pool, target, engine
        self.state: MeasuredState | None = None
        self.counted = Counted(target)

    def decide(self, view: View) -> int:
        """Return the recommended nodes of the pool."""
        target = replace(self.target, attained=self.counted.after(view))
        case = look(self.pool, view.replicas, view.now, target, view.pending, self.state)
        recommendation, self.state = decide(case, self.engine, self.state, explain=False)
        if self.state and self.state.loop and self.state.loop.decides:
            self.interval = SLOW
        nodes = recommendation.recommended_nodes
        return view.nodes if nodes is None else nodes
