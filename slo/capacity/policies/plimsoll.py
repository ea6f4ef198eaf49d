"""Ours: the recommender of the service, unchanged, with the same signals."""

from plimsoll.slo.capacity.recommendation.attainment_simulation import Calibrated
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.capacity.recommendation.pool_snapshot import look
from plimsoll.slo.capacity.recommendation.recommend import answer
from plimsoll.slo.capacity.simulator.policy import View
from plimsoll.slo.spec.objectives import Pool


class Plimsoll:
    """Follows every recommendation; where there is none, changes nothing."""

    interval = 15.0

    def __init__(self, pool: Pool, promise: LatencyTarget, engine: Calibrated | None = None) -> None:
        """`engine` is what a replica is to the simulator; None: not known."""
        self.pool, self.promise, self.engine = pool, promise, engine
        self.last: Recommendation | None = None

    def decide(self, view: View) -> int:
        """Return what is recommended for the pool."""
        case = look(self.pool, view.replicas, view.now, self.promise, view.pending, self.last)
        self.last = answer(case, self.engine, explain=False)
        nodes = self.last.recommended_nodes
        return view.nodes if nodes is None else nodes
