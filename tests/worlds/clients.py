"""Clients of a real engine that stay or leave early, and counters read from its page through the exporter."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import mean

import httpx

from plimsoll.exporters.collector import Point
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric
from real_engine import Engine

SEQUENCES = 16  # that the engine serves at once


TOKENS = (1, 5, 100, 600)  # of clients that may leave


def read(engine: Engine) -> list[Point]:
    return list(EngineCollector(engine.url).collect(time.monotonic() + 10))


def total(points: Sequence[Point], metric: Metric, suffix: str = "", **labels: str) -> int:
    found = [p for p in points if p.metric == metric and p.suffix == suffix and labels.items() <= p.labels.items()]
    assert found, f"{metric}{suffix}{labels} is not on the page"
    return int(sum(point.value for point in found))


def in_flight(engine: Engine) -> tuple[int, int]:
    """Requests that run and that wait."""
    points = read(engine)
    return total(points, metrics.REQUESTS_RUNNING), total(points, metrics.REQUESTS_WAITING)


def client() -> httpx.AsyncClient:
    # A connection per request: one kept alive may be closed by the server just as it is used again.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(timeout=600, trust_env=False, limits=limits)


def grown(before: Sequence[Point], after: Sequence[Point], metric: Metric, suffix: str = "", **labels: str) -> int:
    return total(after, metric, suffix, **labels) - total(before, metric, suffix, **labels)


async def ask_whole(client: httpx.AsyncClient, engine: Engine, tokens: int) -> None:
    """Ask without streaming: nothing is answered before the last token."""
    body = {"model": engine.model, "prompt": "The load line", "max_tokens": tokens, "ignore_eos": True}
    (await client.post(f"{engine.url}/v1/completions", json=body)).raise_for_status()


@dataclass(slots=True)
class Leaver:
    """A client that may leave at any moment, and what it had seen by then."""

    moment: float | None
    sent: bool = False
    tokens: int = 0
    whole: bool = False

    async def trace(self, name: str, _: object) -> None:
        """Record that the request was sent (httpx reports its steps)."""
        self.sent = self.sent or name == "http11.send_request_body.complete"

    async def ask(self, session: httpx.AsyncClient, engine: Engine, tokens: int) -> None:
        body = {"model": engine.model, "prompt": "The load line", "max_tokens": tokens, "ignore_eos": True}
        url, extensions = f"{engine.url}/v1/completions", {"trace": self.trace}
        with contextlib.suppress(TimeoutError):
            async with (
                asyncio.timeout(self.moment),
                session.stream("POST", url, json=body | {"stream": True}, extensions=extensions) as response,
            ):
                async for line in response.aiter_lines():
                    self.tokens += line.startswith("data: {")
                    self.whole = self.whole or line == "data: [DONE]"


async def pace(engine: Engine) -> float:
    """Seconds that the engine takes for one token of each sequence in a full batch."""
    began = time.monotonic()
    async with client() as session, asyncio.TaskGroup() as tasks:
        for _ in range(SEQUENCES):
            tasks.create_task(ask_whole(session, engine, 200))
    return (time.monotonic() - began) / 200


async def come_and_go(engine: Engine, clients: int, step: float) -> list[Leaver]:
    """Clients that come faster than the engine serves; three of four leave at a random moment of the time that it needs for all."""
    random = Random(7)  # noqa: S311 - moments, not secrets
    work = clients * mean(TOKENS) / SEQUENCES * step
    # Squared: many leave early, so that some do whether the engine turns out faster or slower than it was; but none before
    # a busy server has read the request, which no metric reports.
    leavers = [Leaver(0.5 + work * random.random() ** 2 if random.random() < 0.75 else None) for _ in range(clients)]
    async with client() as session, asyncio.TaskGroup() as tasks:
        for leaver in leavers:
            tasks.create_task(leaver.ask(session, engine, random.choice(TOKENS)))
            await asyncio.sleep(random.uniform(0, work / clients / 5))
    return leavers
