"""What users would feel on another number of nodes: the share of the traffic that would be within the promise."""

from functools import cached_property

from slo.capacity.answer import By
from slo.capacity.demand import SLOT
from slo.capacity.situation import Situation
from slo.quantities import duration_text, percent_text

UNPLANNED = "not known before a replica was seen full"


class Expectation:
    """What is expected of numbers of nodes in one situation, if its traffic came again with what waits now ahead of it."""

    def __init__(self, case: Situation) -> None:
        self.case = case

    @property
    def by(self) -> By | None:
        """How it is known; None where it is not."""
        return "queue replay" if self.case.plan else None

    @property
    def why(self) -> str | None:
        """Why nothing is known; None where something is."""
        if self.case.promise is None:
            return "the pool has no objective on time to first token or per token"
        return None if self.by else UNPLANNED

    @property
    def seconds(self) -> float | None:
        """Seconds of traffic that it rests on."""
        return len(self.case.plan.lately.arrived) * SLOT if self.case.plan else None

    def of(self, nodes: int) -> float | None:
        """Share within the promise on so many nodes, 0 to 1."""
        plan, promise = self.case.plan, self.case.promise
        if plan is None or promise is None:
            return None
        return 1 - plan.lately.late(nodes * self.case.pool.node.replicas, promise.wait, plan.lately.backlog)

    def broken(self, nodes: int) -> str | None:
        """Say by how much the promise would be broken on so many nodes; None where it would be kept, or nothing is known."""
        share, promise = self.of(nodes), self.case.promise
        if share is None or promise is None or share >= promise.target:
            return None
        return f"{1 - share:.1%} of {self.traffic} would be late; promised: at most {percent_text(round(1 - promise.target, 9))}"

    @cached_property
    def traffic(self) -> str:
        """Name the traffic that it rests on."""
        return f"the traffic of the last {duration_text(60 * round(max(60.0, self.seconds or 0.0) / 60))}"
