"""A real engine that gets more requests than its settings let through, and what the service would advise from its pages."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import randrange
from typing import NamedTuple

import httpx

from clients import client, grown, read
from plimsoll.exporters.collector import Point
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.slo import metrics
from plimsoll.slo.capacity.calibration.fit import calibrate
from plimsoll.slo.capacity.calibration.measured_replica import measured_replica
from plimsoll.slo.capacity.model.signals import read as read_signals
from plimsoll.slo.capacity.recommendation.attainment_simulation import calibrated
from plimsoll.slo.capacity.recommendation.demand import INTERVAL, LatencyTarget
from plimsoll.slo.capacity.recommendation.settings.models import SettingsAdvice
from plimsoll.slo.capacity.recommendation.settings.observed import observed_settings
from plimsoll.slo.sources import Series
from pool_signals import POOL, recommend
from real_engine import Engine, start
from sample_list import sample_list

SCRAPED = 0.5  # seconds between two scrapes
WITHIN = 2.5  # seconds to the first token; a bound of vLLM's own histogram
TARGET = LatencyTarget(WITHIN, float("inf"), 0.9)
IN_FLIGHT, FILLED = 24, 8.0  # requests that keep an engine busy, and for how many seconds
SENT = INTERVAL  # seconds in which requests come


@contextlib.contextmanager
def started(limits: Mapping[str, int]) -> Iterator[Engine]:
    """Start an engine with these limits; raises Unavailable where it cannot be installed."""
    tokens = ("--max-num-batched-tokens", str(limits["max_num_batched_tokens"]))
    with start(sequences=limits["max_num_seqs"], arguments=tokens) as engine:
        yield engine


@dataclass(frozen=True, slots=True)
class Shape:
    """Tokens of a request."""

    prompt: int
    output: int


CHAT = Shape(60, 60)


@dataclass(slots=True)
class Watched:
    """A server's pages while it serves, as a source holds them."""

    engine: Engine
    series: dict[tuple[str, ...], Series] = field(default_factory=dict)
    last: Sequence[Point] = ()

    def scrape(self, collector: EngineCollector) -> None:
        now, self.last = time.time(), list(collector.collect(time.monotonic() + 10))
        for point in self.last:
            name = point.metric.name + point.suffix
            key = (name, *point.labels.values())
            sample_list(self.series.setdefault(key, Series(name, dict(point.labels), []))).append((now, point.value))

    async def follow(self) -> None:
        collector = EngineCollector(self.engine.url)
        while True:
            await asyncio.to_thread(self.scrape, collector)
            await asyncio.sleep(SCRAPED)


async def ask(session: httpx.AsyncClient, engine: Engine, shape: Shape, ended: list[float]) -> None:
    """Ask once, with a prompt that shares no prefix with others, and add the moment of the answer."""
    prompt = [randrange(1, 250) for _ in range(shape.prompt)]  # noqa: S311 - tokens, not secrets
    body = {"model": engine.model, "prompt": prompt, "max_tokens": shape.output, "ignore_eos": True}
    (await session.post(f"{engine.url}/v1/completions", json=body)).raise_for_status()
    ended.append(time.monotonic())


async def filled(engine: Engine, shape: Shape, in_flight: int, seconds: float) -> float:
    """Keep so many requests in flight; returns the requests per second of the second half."""
    ended, until = list[float](), time.monotonic() + seconds
    async with client() as session:

        async def one() -> None:
            while time.monotonic() < until:
                await ask(session, engine, shape, ended)

        await asyncio.gather(*(one() for _ in range(in_flight)))
    return sum(until - seconds / 2 < at <= until for at in ended) / (seconds / 2)


async def varied(engine: Engine, shape: Shape) -> float:
    """Keep batches of several sizes in flight, and then as many requests as fill the engine; returns its requests per second then."""
    for in_flight in (1, 3, IN_FLIGHT // 2):
        await filled(engine, CHAT, in_flight, FILLED / 2)
    return await filled(engine, shape, IN_FLIGHT, FILLED)


async def overload(engine: Engine, shape: Shape, rate: float) -> float:
    """Send `rate` requests per second for SENT seconds, evenly; returns the attainment, as the engine counted it."""
    before, count, began = read(engine), round(rate * SENT), time.monotonic()
    async with client() as session, asyncio.TaskGroup() as tasks:
        for place in range(count):
            await asyncio.sleep(max(0.0, began + place / rate - time.monotonic()))
            tasks.create_task(ask(session, engine, shape, []))
    after = read(engine)
    assert grown(before, after, metrics.TTFT, "_count") == count
    return grown(before, after, metrics.TTFT, "_bucket", le=str(WITHIN)) / count


class Overloaded(NamedTuple):
    """Requests per second that were sent, the attainment, and the advice."""

    rate: float
    attained: float
    advice: SettingsAdvice


async def overloaded(watched: Watched, shape: Shape, times: float) -> Overloaded:
    """Watch an engine while it serves batches of several sizes, and then gets `times` as many requests as it can answer."""
    follow = asyncio.create_task(watched.follow())
    # Twice, so that a machine that gets slower or faster isn't taken for a cost of one of them.
    rate = times * [await varied(watched.engine, shape) for _ in range(2)][-1]
    since = await slot()
    attained = await overload(watched.engine, shape, rate)
    follow.cancel()
    return Overloaded(rate, attained, advised(list(watched.series.values()), since))


async def slot() -> float:
    """Wait until a slot of the demand begins, as arrivals are taken to be spread within one; returns the time."""
    await asyncio.sleep(-time.time() % INTERVAL)
    return time.time()


def advised(series: Sequence[Series], since: float) -> SettingsAdvice:
    """What the service would advise: step times from all samples, traffic from those `since`, as long as requests came.

    A slot in which they had ended would look like bursts.
    """
    until = since + SENT
    recent = [one._replace(samples=[item for item in one.samples if since <= item[0] < until]) for one in series]
    recent = [one for one in recent if one.samples]
    now = max(one.samples[-1][0] for one in recent)
    fit = calibrate(series)
    assert not isinstance(fit, str), fit
    engine = calibrated(measured_replica(POOL, fit), observed_settings(recent, now))
    found = recommend(POOL, read_signals(recent, now), now, TARGET, None, engine).recommendation.settings
    assert found is not None
    return found


# What an engine is started with that hurts: largest batch, tokens of a step; and requests of which it lets too few through.
HURTS = {
    "max_num_seqs": ({"max_num_seqs": 4, "max_num_batched_tokens": 2048}, Shape(16, 100)),
    "max_num_batched_tokens": ({"max_num_seqs": 16, "max_num_batched_tokens": 16}, Shape(400, 20)),
}
