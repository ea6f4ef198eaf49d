"""Latency indicators: the requests whose time to first token, time per output token or duration is at most a threshold."""

from typing import ClassVar, Self

from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric
from plimsoll.slo.sli.evidence import Way, by_histogram, per_request
from plimsoll.slo.sources.selector import Labels, Selector
from plimsoll.slo.spec.indicator import COMPLETED, LATENCIES, FinishedRequest, Indicator, Outcome, register
from plimsoll.slo.spec.objectives import Objective, Pool
from plimsoll.slo.units import Duration

# Latency -> its histogram, of engines and of gateways; each subclass of Latency enters its own.
HISTOGRAMS: dict[str, Metric] = {}
GATEWAY_HISTOGRAMS: dict[str, Metric] = {}


class Latency(Indicator):
    """A latency that the engine measures in a histogram; `gateway_histogram` is the one that gateways keep by tenant, if any."""

    histogram: ClassVar[Metric]
    gateway_histogram: ClassVar[Metric | None] = None

    def __init_subclass__(cls) -> None:
        cls.syntax = f"{{{cls.kind}: 600ms}}"
        cls.per_request = cls.kind in LATENCIES
        cls.at_gateways = cls.gateway_histogram is not None
        HISTOGRAMS[cls.kind] = cls.histogram
        if cls.gateway_histogram is not None:
            GATEWAY_HISTOGRAMS[cls.kind] = cls.gateway_histogram

    @classmethod
    def read(cls, body: object) -> Self | None:
        """Read the threshold."""
        return cls({cls.kind: Duration.parse(body)})

    def to_file(self) -> dict[str, str]:
        """Return `{kind: threshold}`."""
        return {self.kind: str(self.thresholds[self.kind])}

    @property
    def latency(self) -> str:
        """Its kind."""
        return self.kind

    def evidence(self, objective: Objective, pool: Pool) -> tuple[Way, ...]:
        """Count what the plugin evaluated (it measures LATENCIES), else the histogram's buckets."""
        labels, threshold = pool.labels, self.thresholds[self.kind]
        buckets = by_histogram(self.histogram, labels, threshold, objective.bucket_mismatch, self.without(pool))
        return (per_request(objective, pool), buckets) if self.per_request else (buckets,)

    def gateway_evidence(self, objective: Objective, labels: Labels) -> tuple[Way, ...]:
        """Count the buckets of the gateways' histogram, if they have one."""
        if self.gateway_histogram is None:
            return ()
        return (by_histogram(self.gateway_histogram, labels, self.thresholds[self.kind], objective.bucket_mismatch),)

    def without(self, pool: Pool) -> tuple[Selector, ...]:
        """Select requests that the histogram counts although they have no such latency."""
        del pool
        return ()

    def evaluate(self, request: FinishedRequest) -> Outcome | None:
        """Return whether a completed request met the threshold. A failed request has no latency."""
        met = request.meets(self.thresholds) if self.per_request and request.reason in COMPLETED else None
        return None if met is None else "good" if met else "bad"


@register
class TimeToFirstToken(Latency):
    """TTFT, the wait for the first output token."""

    kind = "time_to_first_token"
    spans_roles = True
    histogram, gateway_histogram = metrics.TTFT, metrics.GATEWAY_TTFT


@register
class TimePerOutputToken(Latency):
    """TPOT, a request's mean time per output token after the first."""

    kind = "time_per_output_token"
    histogram, gateway_histogram = metrics.TPOT, metrics.GATEWAY_TPOT

    def without(self, pool: Pool) -> tuple[Selector, ...]:
        """Select requests with a single output token: engines record a time of 0 for them, and they have none."""
        return (Selector(metrics.GENERATION_LENGTH.bucket, (*pool.labels, ("le", (metrics.bucket_bound(1),)))),)


@register
class RequestDuration(Latency):
    """E2E, the duration of the whole request."""

    kind = "request_duration"
    spans_roles = True
    histogram, gateway_histogram = metrics.DURATION, metrics.GATEWAY_DURATION
