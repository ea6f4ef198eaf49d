"""Ours: the recommender of the service, unchanged, with the same signals."""

from slo.capacity.answer import Recommendation
from slo.capacity.demand import Promise
from slo.capacity.policies import View
from slo.capacity.recommend import answer
from slo.capacity.situation import look
from slo.capacity.trial import Calibrated
from slo.spec import Pool


class Plimsoll:
    """Follows every recommendation; where there is none, changes nothing."""

    interval = 15.0

    def __init__(self, pool: Pool, promise: Promise, engine: Calibrated | None = None) -> None:
        """`engine` is what a replica is to the simulator; None: not known."""
        self.pool, self.promise, self.engine = pool, promise, engine
        self.last: Recommendation | None = None

    def decide(self, view: View) -> int:
        """Return what is recommended for the pool."""
        case = look(self.pool, view.replicas, view.now, self.promise, view.pending, self.last)
        self.last = answer(case, self.engine, explain=False)
        nodes = self.last.recommended_nodes
        return view.nodes if nodes is None else nodes
