"""The source documents' KEDA rule: average waiting requests per node above 20, 300 s until scale-in."""

from math import ceil

from plimsoll.slo.capacity.policies.hpa import Behavior
from plimsoll.slo.capacity.simulator.policy import View


class Keda:
    """A ScaledObject with an AverageValue of 20 waiting requests, polled every 30 s; HPA follows with its defaults.

    A query without a result is 0 to KEDA (`ignoreNullValues` is true by default): without data it scales in.
    """

    interval = 30.0

    def __init__(self, threshold: float = 20.0) -> None:
        self.threshold = threshold
        self._behavior = Behavior()

    def decide(self, view: View) -> int:
        """Return ceil(total waiting / threshold), followed as HPA follows it."""
        return self._behavior.follow(view.now, view.nodes, max(1, ceil(view.waiting / self.threshold)))
