"""What a source would hold of engines whose step times are known: the simulator's pages, read through the real exporter."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
from prometheus_client import generate_latest

from plimsoll.compose.demo.exposition import Page
from plimsoll.compose.demo.fleet import LIMITS
from plimsoll.compose.demo.replica import Replica
from plimsoll.compose.demo.traffic import Profile, calls, profile
from plimsoll.compose.inputs import DEFAULT_OBJECTIVES
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.slo.capacity.simulator.engine import Engine
from plimsoll.slo.capacity.simulator.step_time import StepModel
from plimsoll.slo.sources import Series, SourceError
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import load
from sample_list import sample_list

SPEC = load(DEFAULT_OBJECTIVES.read_text())
POOL = SPEC.pools[0]
NIGHT = msgspec.structs.replace(profile(), burst_every=1e9, burst_first=1e9, calm=0.3, swing=0.0)
DAY = msgspec.structs.replace(profile(), burst_every=1e9, burst_first=1e9, calm=4.0, swing=0.8, swing_period=3600.0)


class _Reader:
    """Answers the exporter in place of the network."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def get(self, url: str, deadline: float) -> bytes:
        return b'{"version": "0.32.0"}' if url.endswith("/version") else generate_latest(self._page.registry)


def watched(
    name: str,
    model: StepModel,
    shape: Profile,
    start: float,
    seconds: float = 3600.0,
    every: float = 15.0,
) -> list[Series]:
    """Serve traffic with one replica from `start` (Unix seconds), and scrape it."""
    page = Page(SPEC, POOL, LIMITS)
    replica, collector = Replica(Engine(model, LIMITS), page), EngineCollector(f"{name}=http://{name}:8000")
    collector._reader = _Reader(page)  # type: ignore[assignment]
    coming = calls(shape, 1, seed=1)
    found: dict[tuple[str, ...], Series] = {}
    upcoming = next(coming)
    for number in range(int(seconds / every) + 1):
        at = number * every
        while upcoming.arrival <= at:
            replica.submit(upcoming)
            upcoming = next(coming)
        replica.advance(at)
        for point in collector.collect(math.inf):
            sample = point.metric.name + point.suffix
            labels = {**point.labels, "instance": f"{name}:9800"}
            key = (sample, *map(str, sorted(labels.items())))
            sample_list(found.setdefault(key, Series(sample, labels, []))).append((start + at, point.value))
    return list(found.values())


@dataclass
class Held:
    """A source that holds these series."""

    held: list[Series] = field(default_factory=list)
    name: str = "held"
    down: bool = False

    def series(self, selectors: Sequence[Selector], start: float, end: float) -> list[Series]:
        """Answer as a source does."""
        if self.down:
            raise SourceError("held: down")
        cut = (
            Series(one.name, one.labels, [sample for sample in one.samples if start < sample[0] <= end])
            for one in self.held
            if any(selector.matches(one.name, one.labels) for selector in selectors)
        )
        return [one for one in cut if one.samples]

    def earliest(self, since: float, now: float) -> float:
        """Return the time of the first sample."""
        return max(since, min((one.samples[0][0] for one in self.held), default=now))
