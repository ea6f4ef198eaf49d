"""What the past fleet's gateway and SLO service would have shown, from what its replicas counted."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from plimsoll.exporters.collector import Point
from plimsoll.slo import metrics as c
from plimsoll.slo.spec.objectives import Pool, Spec

TENANTS = {"assistant": 0.5, "search": 0.3, "batch": 0.2}
DAY = 86400
# The budget's window had begun before the past: so many days at so many requests a second had spent so much of it.
DAYS, RATE, SPENT = 19, 12.0, 0.35
CAPACITY = 9000.0  # tokens a second that one replica did in the incident of traffic x4
WATCHED = {
    c.GATEWAY_TTFT: c.TTFT,
    c.GATEWAY_TPOT: c.TPOT,
    c.GATEWAY_DURATION: c.DURATION,
}


class Counts:
    """Totals over all replicas and their lives: increments added up, so that a restart takes nothing away."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.totals: dict[tuple[str, str], float] = defaultdict(float)
        self.waiting = 0.0
        self._last: dict[tuple[str, ...], float] = {}

    def see(self, points: Iterable[Point]) -> None:
        """Take the points of one round of scrapes."""
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
        """Total of a sample name, of some kinds or of all."""
        return sum(
            value for (found, kind), value in self.totals.items() if found == name and (not kinds or kind in kinds)
        )


def gateway_points(counts: Counts, pool: Pool) -> Iterator[Point]:
    """The gateway's view: every tenant gets its share of what the replicas did."""
    failed = counts.of(c.REJECTED.name)
    for tenant, share in TENANTS.items():
        labels = {"gateway": "edge", "model": pool.model, "tenant": tenant}
        for metric, value in (
            (c.GATEWAY_REQUESTS, counts.of(c.FINISHED.name) + failed),
            (c.GATEWAY_PROMPT_TOKENS, counts.of(c.PROMPT_TOKENS.name)),
            (c.GATEWAY_GENERATION_TOKENS, counts.of(c.GENERATION_TOKENS.name)),
        ):
            yield Point(metric, labels, round(share * value))
        yield Point(c.GATEWAY_FAILURES, {**labels, "reason": "5xx"}, round(share * failed))
        for ours, theirs in WATCHED.items():
            for (name, le), value in sorted(counts.totals.items()):
                if name == theirs.bucket:
                    yield Point(ours, {**labels, "le": le}, round(share * value), "_bucket")
            yield Point(ours, labels, share * counts.of(theirs.sum), "_sum")
            yield Point(ours, labels, round(share * counts.of(theirs.count)), "_count")


def service_points(counts: Counts, spec: Spec, seconds: float) -> Iterator[Point]:
    """Budgets, coverage and the recommendation."""
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
        yield Point(c.BUDGET_REMAINING, labels, 1 - (SPENT * objective.budget_ratio * before + bad) / allowed)
        yield Point(c.EXCLUDED, {"objective": objective.id}, 0)
        yield Point(c.COVERAGE, labels, min(1.0, (DAYS * DAY + seconds) / (28 * DAY)))
    for pool in spec.pools:
        wanted = 3 + min(5, int(counts.waiting / pool.max_waiting_per_node))
        yield Point(c.RECOMMENDED_NODES, {"pool": pool.name}, wanted)
        yield Point(c.REPLICA_CAPACITY, {"pool": pool.name, "replica": "each"}, CAPACITY)  # of like replicas
    yield Point(c.INGEST_LAG, {}, seconds % 60)
