"""The gateway's metrics of completed requests, by model and tenant, with a bounded number of each."""

from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram

from plimsoll.exporters.gateway.response import Response
from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric

OTHER = "other"
MAX_NAME = 200
REASONS = ("4xx", "5xx", "client_closed", "stream_interrupted")
# Bucket bounds in seconds. They include the thresholds of the default SLOs (600 ms, 40 ms, 4 s).
TTFT_BOUNDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 1, 1.5, 2, 2.5, 5, 10, 20, 40, 80)
TPOT_BOUNDS = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5)
DURATION_BOUNDS = (0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 7.5, 10, 15, 20, 30, 60, 120, 240)


class EndedRequest(NamedTuple):
    """One completed request. `reason` is None if it succeeded; `duration` is in seconds since arrival."""

    model: str
    tenant: str
    reason: str | None
    duration: float
    response: Response


class Counts:
    """The metrics of one gateway on a registry."""

    def __init__(self, gateway: str, most: int, registry: CollectorRegistry) -> None:
        self._gateway = gateway
        self._models, self._tenants = Bounded(most), Bounded(most)

        def counter(metric: Metric) -> Counter:
            return Counter(metric.name, metric.help, metric.labels, registry=registry)

        def histogram(metric: Metric, bounds: tuple[float, ...]) -> Histogram:
            return Histogram(metric.name, metric.help, metric.labels, buckets=bounds, registry=registry)

        self._requests = counter(metrics.GATEWAY_REQUESTS)
        self._failures = counter(metrics.GATEWAY_FAILURES)
        self._prompt = counter(metrics.GATEWAY_PROMPT_TOKENS)
        self._generated = counter(metrics.GATEWAY_GENERATION_TOKENS)
        self._ttft = histogram(metrics.GATEWAY_TTFT, TTFT_BOUNDS)
        self._tpot = histogram(metrics.GATEWAY_TPOT, TPOT_BOUNDS)
        self._duration = histogram(metrics.GATEWAY_DURATION, DURATION_BOUNDS)

    def add(self, ended: EndedRequest) -> None:
        """Count one request."""
        response, served = ended.response, ended.response.status < 400
        labels = (self._gateway, self._models.name(ended.model, served), self._tenants.name(ended.tenant, served))
        self._requests.labels(*labels).inc()
        for reason in REASONS:  # each starts at 0 with the first request
            self._failures.labels(*labels, reason).inc(reason == ended.reason)
        self._prompt.labels(*labels).inc(response.prompt_tokens or 0)
        self._generated.labels(*labels).inc(response.tokens or 0)
        if response.first is not None:
            self._ttft.labels(*labels).observe(response.first)
        if ended.reason is not None:
            return
        self._duration.labels(*labels).observe(ended.duration)
        if response.time_per_output_token is not None:
            self._tpot.labels(*labels).observe(response.time_per_output_token)


class Bounded:
    """Limits a label to `most` names; later ones become `other`.

    Only a served request adds a name, so that rejected requests can't use up the limit.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def name(self, name: str, may_add: bool) -> str:
        """Return the name or OTHER."""
        if name not in self._known:
            if not may_add or len(self._known) >= self._most or len(name) > MAX_NAME:
                return OTHER
            self._known.add(name)
        return name
