"""Metrics of the past fleet's gateway and SLO service, derived from its replicas' counters."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from plimsoll.exporters.collector import Point
from plimsoll.slo import metrics as c
from plimsoll.slo.spec.objectives import Pool, Spec

TENANTS = {"assistant": 0.5, "search": 0.3, "batch": 0.2}
DAY = 86400
# The budget window began earlier: days, requests per second, and the fraction of the budget consumed by then.
DAYS, RATE, CONSUMED = 19, 12.0, 0.35
CAPACITY = 9000.0  # tokens/s of one replica in the incident "traffic x4"
SOURCES = {
    c.GATEWAY_TTFT: c.TTFT,
    c.GATEWAY_TPOT: c.TPOT,
    c.GATEWAY_DURATION: c.DURATION,
}


class Counts:
    """Totals over all replicas, from increments, so that a restart doesn't decrease them."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.totals: dict[tuple[str, str], float] = defaultdict(float)
        self.waiting = 0.0
        self._last: dict[tuple[str, ...], float] = {}

    def see(self, points: Iterable[Point]) -> None:
        """Add the points of one scrape of all replicas."""
        self.waiting = 0.0
        for metric, labels, value, suffix in points:
            if metric is c.REQUESTS_WAITING:
                self.waiting += value
            if metric.kind == "gauge":
                continue
            key = (metric.name + suffix, *labels.values())
            before = self._last.get(key, 0.0)
            self._last[key] = value
            kind = "/".join(labels.get(name, "") for name in ("reason", "stage", "objective", "outcome", "le")).strip(
                "/"
            )
            self.totals[metric.name + suffix, kind] += value - before if value >= before else value

    def of(self, name: str, *kinds: str) -> float:
        """Return the total of a sample name, of some kinds or of all."""
        return sum(
            value for (found, kind), value in self.totals.items() if found == name and (not kinds or kind in kinds)
        )


def gateway_points(counts: Counts, pool: Pool) -> Iterator[Point]:
    """Yield the gateway's points: each tenant has a fixed fraction of the replicas' counts."""
    failed = counts.of(c.REJECTED.name)
    for tenant, fraction in TENANTS.items():
        labels = {"gateway": "edge", "model": pool.model, "tenant": tenant}
        for metric, value in (
            (c.GATEWAY_REQUESTS, counts.of(c.FINISHED.name) + failed),
            (c.GATEWAY_PROMPT_TOKENS, counts.of(c.PROMPT_TOKENS.name)),
            (c.GATEWAY_GENERATION_TOKENS, counts.of(c.GENERATION_TOKENS.name)),
        ):
            yield Point(metric, labels, round(fraction * value))
        yield Point(c.GATEWAY_FAILURES, {**labels, "reason": "5xx"}, round(fraction * failed))
        for ours, theirs in SOURCES.items():
            for (name, le), value in sorted(counts.totals.items()):
                if name == theirs.bucket:
                    yield Point(ours, {**labels, "le": le}, round(fraction * value), "_bucket")
            yield Point(ours, labels, fraction * counts.of(theirs.sum), "_sum")
            yield Point(ours, labels, round(fraction * counts.of(theirs.count)), "_count")


def service_points(counts: Counts, spec: Spec, seconds: float) -> Iterator[Point]:
    """Yield budgets, data coverage and the recommendation."""
    for objective in spec.objectives:
        labels = {"objective": objective.id, "pool": objective.pool}
        if objective.indicator.kind == "availability":
            good = counts.of(c.FINISHED.name, "stop", "length")
            bad = counts.of(c.REJECTED.name) + counts.of(c.ABANDONED.name, "queued")
        else:
            good, bad = (
                counts.of(c.OBJECTIVE_REQUESTS.name, f"{objective.id}/{outcome}") for outcome in ("good", "bad")
            )
        before = DAYS * DAY * RATE
        allowed = objective.budget_ratio * (before + good + bad)
        yield Point(c.BUDGET_REMAINING, labels, 1 - (CONSUMED * objective.budget_ratio * before + bad) / allowed)
        yield Point(c.EXCLUDED, {"objective": objective.id}, 0)
        yield Point(c.COVERAGE, labels, min(1.0, (DAYS * DAY + seconds) / (28 * DAY)))
    for pool in spec.pools:
        wanted = 3 + min(5, int(counts.waiting / pool.max_waiting_per_node))
        yield Point(c.RECOMMENDED_NODES, {"pool": pool.name}, wanted)
        yield Point(c.REPLICA_CAPACITY, {"pool": pool.name, "replica": "each"}, CAPACITY)  # all replicas are alike
    yield Point(c.INGEST_LAG, {}, seconds % 60)
