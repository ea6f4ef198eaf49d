"""Availability: the requests that the service completed, of all that it should have."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric
from plimsoll.slo.sli.evidence import COUNTER, SERVED, Counting
from plimsoll.slo.sources.selector import Labels, Matcher, Selector
from plimsoll.slo.spec.indicator import FAILED, FinishedRequest, Indicator, register
from plimsoll.slo.spec.objectives import Objective, Pool

# Reasons of failures at a gateway that are its client's: a departure, `4xx`, or the exact status, such as `400`. What a gateway's own
# words mean is data of its mapping (plimsoll.exporters.engines.gateways), which calls our overload `overloaded`.
BY_CLIENT = "client_closed|4.*"
_OPS: tuple[Literal["=~"], Literal["!~"]] = ("=~", "!~")


@register
class Availability(Indicator):
    """Good: completed. Bad: failed, rejected, or abandoned while queued."""

    kind = syntax = "availability"
    per_request = False  # what never reaches the scheduler counts too, and the plugin doesn't see it
    bad_outcomes = ("errors", "rejected")
    optional_metrics: ClassVar[Mapping[Metric, str]] = {
        metrics.REJECTED: "rejected requests aren't counted as bad",
        metrics.ABANDONED: "requests abandoned in the queue aren't counted as bad",
    }

    @classmethod
    def read(cls, body: object) -> Self | None:
        """Accept the bare word."""
        return cls() if body is None else None

    def to_file(self) -> str:
        """Return the bare word."""
        return self.kind

    def evidence(self, objective: Objective, pool: Pool) -> tuple[Counting]:
        """Count completed over completed, failed, rejected and abandoned while queued. A client's stop mid-stream is left out."""
        del objective
        finished = metrics.FINISHED.name
        completed = Selector(finished, (*pool.labels, ("reason", SERVED)))
        bad = (
            Selector(finished, (*pool.labels, ("reason", tuple(FAILED)))),
            Selector(metrics.REJECTED.name, pool.labels),
            Selector(metrics.ABANDONED.name, (*pool.labels, ("stage", ("queued",)))),
        )
        return (Counting(COUNTER, (completed,), (completed, *bad)),)

    def gateway_evidence(self, objective: Objective, labels: Labels) -> tuple[Counting]:
        """Count requests at gateways, without those that failed by the client's fault or whose client left; bad are those that failed otherwise."""
        del objective
        every, failures = Selector(metrics.GATEWAY_REQUESTS.name, labels), metrics.GATEWAY_FAILURES.name
        clients, ours = (Selector(failures, labels, (Matcher("reason", op, BY_CLIENT),)) for op in _OPS)
        return (Counting(COUNTER, (every,), (every,), (clients,), bad=(ours,)),)

    def evaluate(self, request: FinishedRequest) -> None:
        """Leave every request out: the counters of the engine count availability."""
