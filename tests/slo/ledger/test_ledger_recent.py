"""Reading only what is new gives the same ledger as reading everything each time, whatever comes late, is lost, or fails."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import select

from plimsoll.slo.ledger.ingest import Recorded as Progress
from plimsoll.slo.ledger.ingest import ingest
from plimsoll.slo.ledger.schema import pool_slots, slots
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.metrics import (
    FINISHED,
    GPU_ASSIGNMENT,
    GPU_ENERGY,
    OBJECTIVE_REQUESTS,
    REPLICA_START,
    REQUESTS_RUNNING,
)
from plimsoll.slo.sources import SourceError
from plimsoll.slo.sources.batches import Batch
from plimsoll.slo.sources.prometheus import Key, PrometheusSource
from plimsoll.slo.sources.recent import RecentSource
from plimsoll.slo.sources.samples import Line, Samples, Shared
from plimsoll.slo.sources.selector import Selector
from world import MODEL, spec

Opener = Callable[[str], Ledger]
T0 = 1_700_000_100.0
LENGTH = 3600.0


@dataclass
class Stored:
    """One sample: when it was taken, its value, and from when on the store has it."""

    at: float
    value: float
    arrives: float


@dataclass
class Api(PrometheusSource):
    """A store's API. Samples taken before `lost[0]` aren't there from lost[1] to lost[2]; `fails` answers are errors."""

    series_stored: dict[Key, tuple[dict[str, str], list[Stored]]]
    lost: tuple[float, float, float]
    now: float = 0.0
    fails: int = 0
    read_samples: int = 0
    requests: int = 0
    name: str = field(default="api", init=False)

    def _fail(self) -> None:
        self.requests += 1
        if self.fails:
            self.fails -= 1
            raise SourceError("api: down")

    def _visible(self, selector: Selector, start: float, end: float) -> dict[Key, list[Stored]]:
        before, since, until = self.lost
        hidden = before if since <= self.now < until else 0.0
        return {
            key: [one for one in samples if start < one.at <= end and one.arrives <= self.now and one.at >= hidden]
            for key, (labels, samples) in self.series_stored.items()
            if selector.matches(key[0], labels)
        }

    def read(
        self, batch: Batch, start: float, end: float, deadline: float, shared: Shared
    ) -> dict[Selector, dict[Key, Line]]:
        """Answer as the API does."""
        self._fail()
        found: dict[Selector, dict[Key, Line]] = {selector: {} for selector in batch.selectors}
        for selector, lines in found.items():
            for key, samples in self._visible(selector, start, end).items():
                if samples:
                    self.read_samples += len(samples)
                    columns = Samples.of([(one.at, one.value) for one in samples], shared.times)
                    lines[key] = Line(key[0], dict(self.series_stored[key][0]), columns)
        return found

    def counts(self, selectors: list[Selector], start: float, end: float, deadline: float) -> list[int]:  # type: ignore[override]
        """Answer as the API does."""
        self._fail()
        return [sum(map(len, self._visible(one, start, end).values())) for one in selectors]

    def earliest(self, since: float, now: float) -> float:
        """Begin before everything."""
        return max(since, T0 - 1)


def fleet(draw: Random) -> Api:
    """Three replicas that restart, are scraped with gaps, and whose samples come late, one by one or a whole page at a time."""
    found: dict[Key, tuple[dict[str, str], list[Stored]]] = {}
    for replica in ("a", "b", "c"):
        target = {"instance": f"{replica}:9800"}
        own = {**target, "replica": replica, "model": MODEL, "engine": "vllm"}
        start, counts = T0 - draw.choice([50.0, 90_000.0]), dict.fromkeys(("good", "bad", "stop", "error"), 0)
        at, joules = T0 + draw.random() * 15, 0.0
        while at < T0 + LENGTH:
            if draw.random() < 0.01:  # a restart: counters begin again
                start, counts = at - draw.random() * 10, dict.fromkeys(counts, 0)
            if draw.random() < 0.005:  # a counter that falls without a restart
                counts["good"] = 0
            page_arrives = at + draw.random() * 5 + (draw.choice([40.0, 200.0, 700.0]) if draw.random() < 0.03 else 0.0)
            counts = {name: count + draw.randrange(5) for name, count in counts.items()}
            joules += draw.random() * 100
            page = [(REPLICA_START.name, own, start), (GPU_ASSIGNMENT.name, {**own, "uuid": replica}, 1.0)]
            page += [(GPU_ENERGY.name, {**target, "uuid": replica}, joules)]
            page += [(REQUESTS_RUNNING.name, {**own, "rank": "0"}, float(draw.randrange(9)))]
            page += [
                (OBJECTIVE_REQUESTS.name, {**own, "objective": "fast", "outcome": name}, float(counts[name]))
                for name in ("good", "bad")
            ]
            page += [(FINISHED.name, {**own, "reason": name}, float(counts[name])) for name in ("stop", "error")]
            for name, labels, value in page:
                arrives = page_arrives + (draw.random() * 800 if draw.random() < 0.01 else 0.0)
                key = name, tuple(sorted(labels.items()))
                found.setdefault(key, (labels, []))[1].append(Stored(round(at, 3), value, arrives))
            at += draw.choice([15.0, 15.0, 15.0, 14.9, 30.0, 75.0, 400.0] if draw.random() < 0.1 else [15.0])
    lost = T0 + draw.random() * LENGTH
    return Api(found, (lost, lost + 100, lost + 100 + draw.random() * 600))


def everything(ledger: Ledger) -> list[list[tuple[object, ...]]]:
    with ledger.engine.connect() as connection:
        return [
            [tuple(row) for row in connection.execute(select(table).order_by(table.c.slot))]
            for table in (slots, pool_slots)
        ]


@pytest.mark.parametrize("seed", range(4))
def test_reading_only_what_is_new_gives_the_same_ledger(seed: int, open_ledger: Opener, tmp_path: Path) -> None:
    draw = Random(seed)  # noqa: S311 - a test's own
    api = fleet(draw)
    full, recent = (open_ledger(f"sqlite:///{tmp_path}/{name}.db") for name in ("full", "recent"))
    held, progress = RecentSource(api), dict[str, Progress]()
    read = dict.fromkeys(("full", "recent"), 0)
    api.now = T0
    while api.now < T0 + LENGTH + 2000:
        api.now += draw.choice([10.0, 40.0, 61.3])
        if draw.random() < 0.02:  # the service is restarted, and remembers nothing
            held, progress = RecentSource(api), {}
        before = api.read_samples
        ingest(spec(), api, full, api.now)
        read["full"] += api.read_samples - before
        before = api.read_samples
        if draw.random() < 0.1:
            api.fails = draw.randrange(1, 3)
        for _ in range(4):  # a job that failed is tried again
            try:
                ingest(spec(), held, recent, api.now, progress)
            except SourceError:
                continue
            break
        read["recent"] += api.read_samples - before
        assert everything(recent) == everything(full), api.now - T0
    assert len(everything(full)[0]) > LENGTH // 300 * 0.7
    assert read["recent"] < read["full"] / 3, read


def test_what_is_new_of_many_pools_is_read_by_one_request() -> None:
    pools = [Selector(REPLICA_START.name, (("model", (model,)),)) for model in ("a", "b", "c")]
    stored = {}
    for model in ("a", "b", "c"):
        labels = {"model": model, "replica": model}
        samples = [Stored(T0 + 15 * i, 1.0, T0 + 15 * i) for i in range(200)]
        stored[REPLICA_START.name, tuple(sorted(labels.items()))] = labels, samples
    api = Api(stored, (0.0, 0.0, 0.0), now=T0 + 1800)
    held = RecentSource(api)
    for pool in pools:
        held.series([pool], T0, T0 + 1800)
    api.now, before = T0 + 1830, api.requests
    held.renew([[pool] for pool in pools], T0 + 30, T0 + 1830)
    assert api.requests - before == 2, "the new samples, and the numbers of the others"
    found = [held.series([pool], T0 + 30, T0 + 1830) for pool in pools]
    assert api.requests - before == 2
    assert [[len(item.samples) for item in one] for one in found] == [[120], [120], [120]]
