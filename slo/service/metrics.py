"""The service's own metrics page: budgets, coverage and recommendations for dashboards, and how its own work goes."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily

from slo import catalogue
from slo.service.state import Service


class ServiceCollector:
    """Reads the service's state at each scrape; what is unknown is left out."""

    def __init__(self, service: Service) -> None:
        """Collect from `service`."""
        self._service = service

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield one family per metric."""
        left, coverage = _family(catalogue.BUDGET_LEFT), _family(catalogue.COVERAGE)
        for budget in self._service.judged().budgets.values():
            labels = [budget.objective.id, budget.objective.pool]
            coverage.add_metric(labels, budget.coverage)
            if budget.budget_left is not None:
                left.add_metric(labels, budget.budget_left)
        nodes, lag = _family(catalogue.RECOMMENDED_NODES), _family(catalogue.INGEST_LAG)
        for pool in self._service.spec.pools:
            recommended = self._service.recommendation(pool.name).recommended_nodes
            if recommended is not None:
                nodes.add_metric([pool.name], recommended)
        if self._service.booked_at is not None:
            lag.add_metric([], max(0.0, self._service.clock() - self._service.booked_at))
        yield from (left, coverage, nodes, lag)


def registry(service: Service) -> CollectorRegistry:
    """Return a registry of its own, so that nothing global leaks onto the page."""
    own = CollectorRegistry()
    own.register(ServiceCollector(service))
    return own


def _family(metric: catalogue.Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
