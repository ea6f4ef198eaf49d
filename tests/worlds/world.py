"""A small world with known truth: replicas that serve requests, restart, and are scraped; and what a source saw of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from plimsoll.slo.metrics import OBJECTIVE_REQUESTS, REPLICA_START
from plimsoll.slo.sources import Series, SourceError
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Spec, load
from sample_list import sample_list

MODEL = "m"
SPEC_TEXT = """
version: plimsoll/v1
pools:
  - name: pool
    model: m
    node: {gpu: H100-80GB, gpus: 1}
    nodes: {min: 1, max: 4, warm_spares: 1}
    timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}
objectives:
  - {id: fast, pool: pool, indicator: {time_to_first_token: 600ms}, target: 95%, window: 28d}
"""


def spec() -> Spec:
    """One pool, one objective named fast."""
    return load(SPEC_TEXT)


@dataclass
class Process:
    """One life of a replica: when it began, and its requests as (time, good)."""

    start: float
    requests: list[tuple[float, bool]]
    end: float = float("inf")


@dataclass
class World:
    """A source over replicas with known lives and scrape times. `down` holds spans in which it does not answer."""

    lives: dict[str, list[Process]]
    scrapes: dict[str, list[float]]
    name: str = "world"
    down: bool = False
    reads: int = 0
    _scraped: tuple[int, list[Series]] = field(default_factory=lambda: (-1, []))

    def pages(self) -> list[tuple[float, str, float, dict[str, int]]]:
        """Return every scrape that found a process: (time, replica, its start, outcome -> count)."""
        found = []
        for replica, times in self.scrapes.items():
            for at in times:
                life = next((p for p in self.lives[replica] if p.start <= at < p.end), None)
                if life is not None:
                    seen = [good for when, good in life.requests if when <= at]
                    counts = {"good": sum(seen), "bad": len(seen) - sum(seen)}
                    found.append((at, replica, life.start, counts))
        return sorted(found)

    def all_series(self) -> list[Series]:
        """Return everything that was ever scraped (worked out once, as long as no scrape is added or taken away)."""
        scrapes = sum(map(len, self.scrapes.values()))
        if self._scraped[0] != scrapes:
            self._scraped = (scrapes, self._scrape())
        return self._scraped[1]

    def _scrape(self) -> list[Series]:
        found: dict[tuple[str, ...], Series] = {}
        for at, replica, start, counts in self.pages():
            labels = {"replica": replica, "model": MODEL, "engine": "vllm", "instance": "node:9800"}
            item = found.setdefault((replica,), Series(REPLICA_START.name, labels, []))
            sample_list(item).append((at, start))
            for outcome, count in counts.items():
                mine = {**labels, "rank": "0", "objective": "fast", "outcome": outcome}
                sample_list(found.setdefault((replica, outcome), Series(OBJECTIVE_REQUESTS.name, mine, []))).append(
                    (at, float(count))
                )
        return list(found.values())

    def series(self, selectors: Sequence[Selector], start: float, end: float) -> list[Series]:
        """Answer as a source does."""
        self.reads += 1
        if self.down:
            raise SourceError("world: down")
        found = []
        for item in self.all_series():
            samples = [(at, value) for at, value in item.samples if start < at <= end]
            if samples and any(s.matches(item.name, item.labels) for s in selectors):
                found.append(Series(item.name, item.labels, samples))
        return found

    def earliest(self, since: float, now: float) -> float:
        """Return the first scrape's time."""
        times = [at for at, *_ in self.pages() if at <= now]
        return max(since, min(times) - 1) if times else now
