"""The service's /metrics: budgets, data coverage, recommendations, ingest lag, and jobs."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy.exc import SQLAlchemyError

from plimsoll.slo import metrics
from plimsoll.slo.ledger.manual_changes import announced_rollouts
from plimsoll.slo.service.change_events import OUTCOMES
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.sequential import VERDICTS


class ServiceCollector:
    """Reads the service's state at each scrape. Unknown values have no sample."""

    def __init__(self, service: Service) -> None:
        """Collect from `service`."""
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """Yield one family per metric. What needs the ledger is absent without it; the jobs' failures show why."""
        yield from (*self._jobs(), *self._problems(), *self._rollouts(), *self._reloads(), *self._changes())
        try:
            yield from (*self._of_ledger(), *self._announced())
        except SQLAlchemyError:
            return

    def _of_ledger(self) -> Iterator[Metric]:
        remaining, coverage = _family(metrics.BUDGET_REMAINING), _family(metrics.COVERAGE)
        upper_bound, exhaustion = _family(metrics.BUDGET_REMAINING_UPPER_BOUND), _family(metrics.EXHAUSTION)
        evaluation = self._service.evaluated()
        for name, budget in evaluation.budgets.items():
            labels = [budget.objective.id, budget.objective.pool]
            coverage.add_metric(labels, budget.coverage)
            if budget.budget_remaining is not None:
                remaining.add_metric(labels, budget.budget_remaining)
            if budget.budget_remaining_upper_bound is not None and budget.objective.has_bounds:
                upper_bound.add_metric(labels, budget.budget_remaining_upper_bound)
            projected = evaluation.exhaustions[name]
            for bound, seconds in (
                ("earliest", projected.earliest),
                ("estimate", projected.seconds),
                ("latest", projected.latest),
            ):
                if seconds is not None:
                    exhaustion.add_metric([*labels, bound], seconds)
        nodes, lag = _family(metrics.RECOMMENDED_NODES), _family(metrics.INGEST_LAG)
        capacity = _family(metrics.REPLICA_CAPACITY)
        for pool in self._service.spec.pools:
            found = self._service.recommendation(pool.name)
            if found.recommended_nodes is not None:
                nodes.add_metric([pool.name], found.recommended_nodes)
            throughput = self._service.throughput(pool.name)
            if throughput is not None:
                for replica in throughput.present:
                    capacity.add_metric([pool.name, replica], throughput.of(replica))
        if self._service.ingested_at is not None:
            lag.add_metric([], max(0.0, self._service.clock() - self._service.ingested_at))
        yield from (remaining, upper_bound, exhaustion, coverage, nodes, capacity, self._excluded(), lag)
        yield from self._deliveries()

    def _problems(self) -> Iterator[Metric]:
        problems, current = self._service.problems, _family(metrics.DATA_PROBLEMS)
        for (pool, code), number in Counter((one.pool, one.code) for one in problems.current).items():
            current.add_metric([pool, code], number)
        metric = metrics.REJECTED_SLOTS
        rejected = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        for code, number in problems.rejected.items():
            rejected.add_metric([code], number)
        yield from (current, rejected)

    def _rollouts(self) -> Iterator[Metric]:
        difference, verdict = _family(metrics.ROLLOUT_DIFFERENCE), _family(metrics.ROLLOUT_VERDICT)
        for standing in filter(None, (watch.current for watch in self._service.rollouts.values())):
            rollout = standing.rollout
            for one in standing.judged:
                labels = [one.objective, rollout.pool, rollout.baseline, rollout.candidate]
                found = one.found.verdict if one.found else "undecided"
                for name in VERDICTS:
                    verdict.add_metric([*labels, name], float(name == found))
                if one.found:
                    bounds = {"estimate": one.found.difference, "lower": one.found.low, "upper": one.found.high}
                    for bound, value in bounds.items():
                        difference.add_metric([*labels, bound], value)
        yield from (difference, verdict)

    def _reloads(self) -> Iterator[Metric]:
        if (found := self._service.reloads) is not None:
            successful, at = _family(metrics.RELOAD_SUCCESSFUL), _family(metrics.RELOAD_SUCCESS_TIME)
            successful.add_metric([], float(found.successful))
            at.add_metric([], found.succeeded_at)
            yield from (successful, at)

    def _changes(self) -> Iterator[Metric]:
        if (events := self._service.change_events) is not None:
            metric = metrics.CHANGE_EVENTS
            family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
            for outcome in OUTCOMES:
                family.add_metric([outcome], events.outcomes[outcome])
            yield family

    def _jobs(self) -> Iterator[Metric]:
        runs, leader = self._service.runs, _family(metrics.LEADER)
        leader.add_metric([], float(self._service.leading))
        failures = CounterMetricFamily(metrics.JOB_FAILURES.name, metrics.JOB_FAILURES.help, labels=["task"])
        success = _family(metrics.JOB_LAST_SUCCESS)
        for job, at in sorted(runs.last_success.items()):
            success.add_metric([job], at)
        for job in sorted({*runs.last_success, *runs.failures}):
            failures.add_metric([job], runs.failures[job])
        yield from (leader, failures, success)

    def _deliveries(self) -> Iterator[Metric]:
        if (reviews := self._service.deliveries) is not None:
            delivered, metric = _family(metrics.REVIEW_DELIVERED), metrics.REVIEW_DELIVERY_FAILURES
            failures = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
            for name, has_it in reviews.delivered(self._service.ledger.engine):
                delivered.add_metric([name], float(has_it))
            for receiver in reviews.receivers:
                failures.add_metric([receiver.name], reviews.failures[receiver.name])
            yield from (delivered, failures)

    def _excluded(self) -> GaugeMetricFamily:
        """Whether an exclusion covers each SLO now; alert rules are muted by it."""
        family, now = _family(metrics.EXCLUDED), self._service.clock()
        running = [one for one in self._service.records.exclusions() if one.start <= now < one.end]
        for objective in self._service.spec.objectives:
            covered = any(one.covers(objective) for one in running)
            family.add_metric([objective.id, objective.pool], float(covered))
        return family

    def _announced(self) -> Iterator[GaugeMetricFamily]:
        """Which pools an announced rollout is in; alert rules are lowered by it."""
        announced, unavailable = _family(metrics.ROLLOUT_ANNOUNCED), _family(metrics.ROLLOUT_UNAVAILABLE)
        found = announced_rollouts(self._service.ledger.engine, self._service.clock())
        for pool in self._service.spec.pools:
            one = found.get(pool.name)
            announced.add_metric([pool.name], float(one is not None))
            unavailable.add_metric([pool.name], one.max_unavailable if one else 0)
        yield from (announced, unavailable)


def registry(service: Service) -> CollectorRegistry:
    """Return a separate registry, without the process's global metrics."""
    own = CollectorRegistry()
    own.register(ServiceCollector(service))
    return own


def _family(metric: metrics.Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
