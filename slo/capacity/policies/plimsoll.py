"""The service's own recommendation, with the same signals."""

from plimsoll.slo.capacity.recommendation.attainment_simulation import Calibrated
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.recommendation.measured_state import MeasuredState
from plimsoll.slo.capacity.recommendation.pool_snapshot import look
from plimsoll.slo.capacity.recommendation.recommend import decide
from plimsoll.slo.capacity.simulator.policy import View
from plimsoll.slo.spec.objectives import Pool


class Plimsoll:
    """Follows every recommendation; where there is none, changes nothing."""

    interval = 15.0

    def __init__(self, pool: Pool, target: LatencyTarget, engine: Calibrated | None = None) -> None:
        """`engine` is the replica for the simulator; None: unknown."""
        self.pool, self.target, self.engine = pool, target, engine
        self.state: MeasuredState | None = None

    def decide(self, view: View) -> int:
        """Return the recommended nodes of the pool."""
        case = look(self.pool, view.replicas, view.now, self.target, view.pending, self.state)
        recommendation, self.state = decide(case, self.engine, explain=False)
        nodes = recommendation.recommended_nodes
        return view.nodes if nodes is None else nodes
