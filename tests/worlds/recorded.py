"""A source over recorded samples, fast enough for a month of them: what a Prometheus would hold, and when; and slots of a pool to keep."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from plimsoll.slo.metrics import GATEWAY_REQUESTS, REPLICA_START
from plimsoll.slo.sources import Series, SourceError
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.usage.slots import PoolSlot


@dataclass
class Recorded:
    """Series of which `late` samples (series index, time) come into view only `delay` seconds after their time."""

    recorded: list[Series]
    name: str = "recorded"
    down: bool = False
    now: float = float("inf")
    delay: float = 0.0
    late: set[tuple[int, float]] = field(default_factory=set)
    twice: bool = False

    def __post_init__(self) -> None:
        self._times = [[at for at, _ in item.samples] for item in self.recorded]

    def series(self, selectors: Sequence[Selector], start: float, end: float) -> list[Series]:
        """Answer as a source does; with `twice` it gives every sample two times."""
        if self.down:
            raise SourceError("recorded: down")
        found = []
        for index, item in enumerate(self.recorded):
            if any(selector.matches(item.name, item.labels) for selector in selectors):
                times = self._times[index]
                samples = item.samples[bisect_right(times, start) : bisect_right(times, min(end, self.now))]
                if self.late:
                    samples = [s for s in samples if (index, s[0]) not in self.late or s[0] + self.delay <= self.now]
                if samples:
                    found.append(Series(item.name, item.labels, [*samples, *samples] if self.twice else samples))
        return found

    def earliest(self, since: float, now: float) -> float:
        """Return the time just before the first observation after `since`."""
        times = [
            t[bisect_right(t, since)]
            for t, item in zip(self._times, self.recorded, strict=True)
            if item.name in (REPLICA_START.name, GATEWAY_REQUESTS.name) and t and t[-1] > since
        ]
        return max(since, min(times) - 1) if times else now


def pool_slot(at: int, back: float) -> PoolSlot:
    """A calm slot; six hours ago requests queue for an hour, and two hours ago a replica is lost."""
    queued, lost = 5 < back <= 6, 1.9 < back <= 2.1
    return PoolSlot(
        at,
        300.0,
        arrivals=200,
        finished=198,
        errors=0,
        rejected=None,
        abandoned_queued=2 if queued else 0,
        input_tokens=90_000,
        output_tokens=40_000,
        preemptions=0,
        waiting_max=80.0 if queued else 2.0,
        waiting_mean=35.0 if queued else 0.1,
        kv_cache_usage_max=0.84 if queued else 0.4,
        kv_cache_usage_mean=0.7 if queued else 0.3,
        replicas=3.0 if lost else 4.0,
        nodes=3.0 if lost else 4.0,
        replica_disruptions=int(lost),
    )
