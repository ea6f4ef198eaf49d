"""A simulated past of a fleet with seven incidents, from the demo fleet's engine model and the real exporter's code.

Four replicas of the default pool, each on a node with two GPUs, for 170 minutes of the demo's traffic. Each replica's metrics
go through the exporter's parser, mapping and writer; those of GPUs, gateway and SLO service are generated.
SIMULATED: it shows how panels behave, not how GPUs do.
"""

import hashlib
import heapq
import json
import math
import random
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from prometheus_client import generate_latest

from backfill import Backfill, PastPrometheus, levels
from past_features import with_features
from past_gpus import pair
from past_service import Counts, gateway_points, service_points
from paths import OBJECTIVES, TESTS
from plimsoll.compose.demo.exposition import Page
from plimsoll.compose.demo.fleet import LIMITS, REPLICA
from plimsoll.compose.demo.replica import Replica
from plimsoll.compose.demo.traffic import Call, Profile, profile
from plimsoll.exporters.collector import CollectorError, Point
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.exporters.exposition import Renderer
from plimsoll.slo import metrics as c
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.engine import Engine
from plimsoll.slo.spec.objectives import load

SPEC = load(OBJECTIVES.read_text())
POOL = SPEC.pools[0]
NODES, SCRAPE, MINUTE = 4, 15, 60
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
# Incident -> its first and last minute. The fleet recovers in between.
INCIDENTS = {
    "prefill burst": (30, 37),
    "KV full": (50, 57),
    "cold start": (70, 74),
    "lost GPU": (88, 95),
    "slow node": (108, 115),
    "traffic x4": (128, 135),
    "wedged engine": (150, 156),
}
EPOCH = int(datetime(2026, 11, 21, 10, tzinfo=UTC).timestamp())  # fixed, for reproducible pictures
MINUTES = 170
QUIET = 60  # seconds without requests at the beginning, so that the exporter's derived counters start exact
SHORT = 160  # maximum output tokens, so that a normal request ends well within its threshold of 4 s
CALM = 2.9  # requests per second and replica: fewer than in the demo, whose own bursts would be incidents here
LENGTH = MINUTES * MINUTE


class Node:
    """A GPU host with one replica and its exporter."""

    def __init__(self, index: int) -> None:
        self.name = f"node-{index}"
        self.targets = {"instance": f"{self.name}:9800", "node": self.name, "region": ("north", "south")[index % 2]}
        self.gpus = pair(self.name)
        self.stuck_until = 0.0
        self.down = False
        self._renderer = Renderer()
        self._now = float(EPOCH)
        self._collector = EngineCollector(f"{self.name}=http://{self.name}:8000", clock=lambda: self._now)
        self._collector._reader = self  # type: ignore[assignment]  # metrics come from here instead of the network
        self._born = 0.0
        self.start(-3600.0)

    def start(self, born: float) -> None:
        """Restart the engine, with empty caches and counters."""
        self.replica = Replica(Engine(step_time.load(REPLICA), LIMITS), Page(SPEC, POOL, LIMITS))
        self.replica.advance(max(born, 0.0))
        self.down, self._born = False, born

    def slow(self, factor: float) -> None:
        """Multiply the engine's step times by `factor`."""
        model = step_time.load(REPLICA)
        self.replica.engine.model = replace(model, **{name: factor * getattr(model, name) for name in model.__slots__})

    def get(self, url: str, deadline: float) -> bytes:
        """Respond as the engine's server does."""
        if self.down:
            raise CollectorError(f"{url}: not reachable")
        if url.endswith("/version"):
            return b'{"version": "0.32.0"}'
        text = generate_latest(self.replica.page.registry)
        return re.sub(
            rb"(?m)^process_start_time_seconds .*$",
            b"process_start_time_seconds %.1f" % (EPOCH + self._born),
            text,
        )

    def scrape(self, at: float, more: list[Point]) -> tuple[str, list[Point]]:
        """Return the exporter's metrics as text at `at`, and the engine's points in it."""
        self._now = EPOCH + at
        try:
            points, succeeded = list(with_features(list(self._collector.collect(math.inf)))), 1
        except CollectorError:
            points, succeeded = list(self._collector.fallback), 0
        busy = 0.0 if self.down else min(1.0, self.replica.running / 40)
        gpus = [point for gpu in self.gpus for point in gpu.points(EPOCH + at, SCRAPE, busy, POOL.model)]
        own = [
            Point(c.COLLECTOR_SUCCESS, {"collector": name}, one)
            for name, one in ((self._collector.name, succeeded), ("nvml", 1))
        ]
        return self._renderer.render([*points, *gpus, *own, *more], OPENMETRICS).body.decode(), points


class Past:
    """Runs the fleet from second 0 to LENGTH; `samples` returns what Prometheus would have stored."""

    def __init__(self, seed: int = 1) -> None:
        self.nodes = [Node(index) for index in range(NODES)]
        self._random = random.Random(seed)  # noqa: S311 - traffic, not secrets
        self._turn = count()

    def samples(self) -> dict[str, list[str]]:
        """Return the lines `value time` of every series, in time order."""
        found: dict[str, list[str]] = {}
        counts, renderer = Counts(SPEC), Renderer()
        coming = _calls(profile(), self._random)
        upcoming = next(coming)
        for at in range(SCRAPE, LENGTH, SCRAPE):
            while upcoming.arrival <= at:
                if upcoming.arrival > QUIET:
                    self._deal(upcoming)
                upcoming = next(coming)
            for node in self.nodes:
                self._live(node, float(at))
            pages = [(node.targets, *node.scrape(at, [])) for node in self.nodes]
            counts.see([point for _, _, points in pages for point in points])
            more = [*gateway_points(counts, POOL), *service_points(counts, SPEC, at)]
            pages.append(({"instance": "service:8080"}, renderer.render(more, OPENMETRICS).body.decode(), []))
            for targets, page, _ in pages:
                for series, value in _lines(page, targets):
                    found.setdefault(series, []).append(f"{value} {EPOCH + at:.0f}")
        return found

    def _deal(self, call: Call) -> None:
        """Route calls round-robin to the replicas that are up."""
        up = [node for node in self.nodes if not node.down]
        up[next(self._turn) % len(up)].replica.submit(call)

    def _live(self, node: Node, at: float) -> None:
        """Advance a node to `at`, with its incidents."""
        index = self.nodes.index(node)
        if index == 3 and _begins("cold start", at):
            node.start(at - SCRAPE)
            node.stuck_until = at + 75  # it accepts requests while its model is loading
        if index == 2 and _begins("lost GPU", at):
            node.down, node.gpus[1].lost = True, EPOCH + at
        if index == 2 and _ends("lost GPU", at):
            node.gpus[1].lost = math.inf
            node.start(at)
        if index == 1 and (_begins("slow node", at) or _ends("slow node", at)):
            hot = _begins("slow node", at)
            node.slow(2.6 if hot else 1)
            node.gpus[0].hot = hot
        if index == 0 and _begins("wedged engine", at):
            node.stuck_until = INCIDENTS["wedged engine"][1] * MINUTE
        if index == 0 and _ends("wedged engine", at):
            node.start(at)
        if not node.down and at >= node.stuck_until:
            node.replica.advance(at)
        elif not node.down:
            node.replica._take(at)  # it accepts and queues, and does no step
            node.replica._clock = at
            node.replica.page.set_state(
                node.replica.running, node.replica.waiting, node.replica._step.blocks if node.replica._step else 0
            )


@contextmanager
def past(folder: Path) -> Iterator[PastPrometheus]:
    """Yield a Prometheus with this data, which begins at EPOCH; it is kept in `folder`.

    The data is rebuilt after a change to this code or to a recording rule, which takes a minute; not after a change to an alert.
    """
    recipe = hashlib.sha256(repr((_recipe(), levels(SPEC)[:-1])).encode()).hexdigest()
    note = Backfill(folder).made
    if not note or json.loads(note)["made"] != recipe:
        shutil.rmtree(folder)
        backfill = Backfill(folder)
        backfill.openmetrics(f"{series} {line}\n" for series, lines in Past().samples().items() for line in lines)
        backfill.rules(SPEC, EPOCH + 5 * MINUTE, EPOCH + LENGTH)
        backfill.done(json.dumps({"made": recipe}))
    backfill = Backfill(folder)
    with backfill.prometheus() as prometheus:
        yield prometheus


def _recipe() -> list[bytes]:
    """Return the source of the modules that build the data."""
    names = ("past_fleet", "past_features", "past_gpus", "past_service", "backfill")
    return [(TESTS / "worlds" / f"{name}.py").read_bytes() for name in names]


def _begins(incident: str, at: float) -> bool:
    return 0 <= at - INCIDENTS[incident][0] * MINUTE < SCRAPE


def _ends(incident: str, at: float) -> bool:
    return 0 <= at - INCIDENTS[incident][1] * MINUTE < SCRAPE


def _during(incident: str, at: float) -> bool:
    return INCIDENTS[incident][0] * MINUTE <= at < INCIDENTS[incident][1] * MINUTE


def _calls(shape: Profile, random: random.Random) -> Iterator[Call]:
    """Yield Poisson arrivals with the demo's lengths, four times as many in one incident, plus long inputs and long outputs in two."""
    plain = _poisson(random, lambda at: NODES * CALM * (4 if _during("traffic x4", at) else 1), 4 * NODES * CALM)
    long = _poisson(random, lambda at: NODES * 0.3 if _during("prefill burst", at) else 0, NODES * 0.3)
    wide = _poisson(random, lambda at: NODES * 4.0 if _during("KV full", at) else 0, NODES * 4.0)
    tagged = heapq.merge(((at, 0) for at in plain), ((at, 1) for at in long), ((at, 2) for at in wide))
    for at, kind in tagged:
        if kind == 1:
            yield Call(at, random.randint(10_000, 16_000), 150, max_tokens=200)
        elif kind == 2:
            yield Call(at, random.randint(1500, 2500), 900, max_tokens=900, patience=random.uniform(20, 60))
        else:
            patience = random.uniform(*shape.patience) if random.random() < shape.impatient_share else math.inf
            output = min(shape.draw(shape.output_tokens, random), SHORT)
            fails = random.random() < shape.error_share
            yield Call(
                at,
                shape.draw(shape.prompt_tokens, random),
                output,
                max_tokens=shape.max_tokens,
                patience=patience,
                fails=fails,
            )


def _poisson(random: random.Random, rate: Callable[[float], float], highest: float) -> Iterator[float]:
    at = 0.0
    while True:
        at += random.expovariate(highest)
        if random.random() * highest <= rate(at):
            yield at
        if at > LENGTH + 60:
            yield math.inf


def _lines(page: str, targets: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each sample as Prometheus stores it, with the target's labels, without the exporter's process metrics."""
    added = ",".join(f'{name}="{value}"' for name, value in targets.items())
    for line in page.splitlines():
        if line.startswith(("llm_", "gpu_", "plimsoll_")):
            series, _, value = line.rpartition(" ")
            name, _, inside = series.partition("{")
            yield f"{name}{{{inside[:-1]},{added}}}" if inside else f"{name}{{{added}}}", value
