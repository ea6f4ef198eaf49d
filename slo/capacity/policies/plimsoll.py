"""Ours: the recommender of the service, unchanged, with the same signals."""

from slo.capacity.answer import Recommendation
from slo.capacity.demand import Promise
from slo.capacity.policies import View
from slo.capacity.recommend import recommend
from slo.spec import Pool


class Plimsoll:
    """Follows every recommendation; where there is none, changes nothing."""

    interval = 15.0

    def __init__(self, pool: Pool, promise: Promise) -> None:
        self.pool, self.promise = pool, promise
        self.last: Recommendation | None = None

    def decide(self, view: View) -> int:
        """Return what is recommended for the pool."""
        self.last = recommend(self.pool, view.replicas, view.now, self.promise, view.pending, self.last)
        nodes = self.last.recommended_nodes
        return view.nodes if nodes is None else nodes
