"""The plugin, the mapping and the derived counters against a real vLLM, judged by what its clients saw."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from random import Random
from statistics import mean

import httpx
import pytest

from exporters.collector import Point
from exporters.engine import EngineCollector
from exporters.engines.vllm import VLLM
from real_engine import Engine
from slo import catalogue
from slo.catalogue import Metric, bucket_bound
from stack import wait_for

LIMITS = {"chat-ttft": 0.6, "chat-tpot": 0.04, "chat-e2e": 4.0}
# A client's clock starts before the engine's and stops after it: what is in time for the client is in time for the engine.
# The other way round, so much is spent on the way at most.
ON_THE_WAY = 1.5
SEQUENCES = 16  # that the engine serves at once
TOKENS = (1, 5, 100, 600)  # of clients that may leave


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw of one request, in seconds."""

    first: float
    total: float
    tokens: int


def read(engine: Engine) -> list[Point]:
    return list(EngineCollector(engine.url).collect(time.monotonic() + 10))


def total(points: Sequence[Point], metric: Metric, suffix: str = "", **labels: str) -> int:
    found = [p for p in points if p.metric == metric and p.suffix == suffix and labels.items() <= p.labels.items()]
    assert found, f"{metric}{suffix}{labels} is not on the page"
    return int(sum(point.value for point in found))


def in_flight(engine: Engine) -> tuple[int, int]:
    """Requests that run and that wait."""
    points = read(engine)
    return total(points, catalogue.REQUESTS_RUNNING), total(points, catalogue.REQUESTS_WAITING)


@contextlib.asynccontextmanager
async def stream(client: httpx.AsyncClient, engine: Engine, tokens: int) -> AsyncIterator[AsyncIterator[str]]:
    body = {
        "model": engine.model,
        "messages": [{"role": "user", "content": "The load line on a ship's hull " * (tokens % 7 + 1)}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": True,
    }
    async with client.stream("POST", f"{engine.url}/v1/chat/completions", json=body) as response:
        assert response.status_code == 200
        # The first event, with the role, is sent when there is a first token.
        yield (line async for line in response.aiter_lines() if line)


async def ask(client: httpx.AsyncClient, engine: Engine, tokens: int) -> Seen:
    began = time.monotonic()
    async with stream(client, engine, tokens) as lines:
        await anext(lines)
        first = time.monotonic() - began
        async for _ in lines:
            pass
    return Seen(first, time.monotonic() - began, tokens)


def client() -> httpx.AsyncClient:
    # A connection per request: one kept alive may be closed by the server just as it is used again.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(timeout=600, trust_env=False, limits=limits)


async def mixed(engine: Engine) -> list[Seen]:
    """Twelve short requests one by one, then a burst in which 24 long ones want the 16 places: some wait long."""
    async with client() as session:
        alone = [await ask(session, engine, tokens) for tokens in (1, 2, 5, 1, 8, 3, 1, 4, 6, 1, 2, 10)]
        burst = [ask(session, engine, tokens) for tokens in (1, 20, 1000) * 24]
        return alone + await asyncio.gather(*burst)


def grown(before: Sequence[Point], after: Sequence[Point], metric: Metric, suffix: str = "", **labels: str) -> int:
    return total(after, metric, suffix, **labels) - total(before, metric, suffix, **labels)


def test_plugin_engine_and_clients_count_the_same_requests_good_and_bad(engine: Engine) -> None:
    before = read(engine)
    seen = asyncio.run(mixed(engine))
    wait_for(lambda: grown(before, read(engine), catalogue.FINISHED) == len(seen), "every request to be finished")
    after = read(engine)

    def judged(objective: str, outcome: str) -> int:
        return grown(before, after, catalogue.OBJECTIVE_REQUESTS, objective=objective, outcome=outcome)

    def within(metric: Metric, limit: float) -> int:
        return grown(before, after, metric, "_bucket", le=bucket_bound(limit))

    single = sum(request.tokens == 1 for request in seen)
    assert single > 0
    assert grown(before, after, catalogue.GENERATION_TOKENS) == sum(request.tokens for request in seen)
    # Against the engine's own histograms, exactly.
    assert judged("chat-ttft", "good") == within(catalogue.TTFT, LIMITS["chat-ttft"])
    assert judged("chat-e2e", "good") == within(catalogue.DURATION, LIMITS["chat-e2e"])
    assert judged("chat-tpot", "good") == within(catalogue.TPOT, LIMITS["chat-tpot"]) - single
    totals = {name: judged(name, "good") + judged(name, "bad") for name in (*LIMITS, "chat-goodput")}
    assert totals == dict.fromkeys(totals, len(seen)) | {"chat-tpot": len(seen) - single}
    # Against the clients: in time for a client is in time for the engine, and far too late for both.
    for objective, times in (("chat-ttft", [s.first for s in seen]), ("chat-e2e", [s.total for s in seen])):
        limit = LIMITS[objective]
        surely, possibly = sum(t <= limit for t in times), sum(t <= limit + ON_THE_WAY for t in times)
        assert surely > 0 and possibly < len(seen), "the traffic must have both outcomes, far apart"
        assert surely <= judged(objective, "good") <= possibly
    worst = max(judged(name, "bad") for name in LIMITS)
    assert worst <= judged("chat-goodput", "bad") <= sum(judged(name, "bad") for name in LIMITS)


def test_every_metric_that_vllm_has_is_on_our_page_under_its_replica_and_rank(engine: Engine) -> None:
    points = read(engine)
    address = engine.url.removeprefix("http://")
    names = {point.metric.name for point in points}
    others = {"uuid", "pool"}  # what GPUs and the SLO service tell of a replica
    engine_metrics = {
        metric.name for metric in catalogue.ALL if "replica" in metric.labels and not others & {*metric.labels}
    }
    # This engine serves no LoRA adapters and does not speculate.
    unused = {source.metric.name for source in VLLM.sources if source.optional} - {catalogue.OBJECTIVE_REQUESTS.name}
    assert names == engine_metrics - unused
    assert {p.labels["replica"] for p in points} == {address}
    assert {p.labels["engine"] for p in points if "engine" in p.labels} == {"vllm"}
    assert {p.labels["model"] for p in points if "model" in p.labels} == {engine.model}
    assert {p.labels["rank"] for p in points if "rank" in p.labels} == {"0"}
    info = next(point for point in points if point.metric == catalogue.REPLICA_INFO)
    assert (info.labels["version"], info.labels["simulated"]) == ("0.32.0", "false")
    bytes_a_token = 16 * 2 * 2 * 32 * 2  # layers, K and V, heads, dimension, bf16
    assert total(points, catalogue.KV_CACHE_CAPACITY) == 2**30 // bytes_a_token


async def ask_whole(client: httpx.AsyncClient, engine: Engine, tokens: int) -> None:
    """Ask without streaming: nothing is answered before the last token."""
    body = {"model": engine.model, "prompt": "The load line", "max_tokens": tokens, "ignore_eos": True}
    (await client.post(f"{engine.url}/v1/completions", json=body)).raise_for_status()


async def leave_after_first_token(client: httpx.AsyncClient, engine: Engine, leave: asyncio.Event) -> None:
    async with stream(client, engine, 1900) as lines:
        await anext(lines)
        await leave.wait()


async def until(engine: Engine, running: int, waiting: int) -> None:
    async with asyncio.timeout(60):
        while (await asyncio.to_thread(in_flight, engine)) != (running, waiting):
            await asyncio.sleep(0.05)


async def give_up(engine: Engine) -> None:
    """Thirteen clients stay to the end and three leave mid-stream; of five that queue behind them, four leave."""
    leave = asyncio.Event()
    async with client() as session, asyncio.TaskGroup() as tasks:
        for _ in range(13):
            tasks.create_task(ask_whole(session, engine, 1900))
        for _ in range(3):
            tasks.create_task(leave_after_first_token(session, engine, leave))
        await until(engine, running=16, waiting=0)
        tasks.create_task(ask(session, engine, 5))
        queued = [tasks.create_task(ask(session, engine, 5)) for _ in range(2)]
        whole = [tasks.create_task(ask_whole(session, engine, 5)) for _ in range(2)]
        await until(engine, running=16, waiting=5)
        for task in (*queued, *whole):
            task.cancel()
        await until(engine, running=16, waiting=1)
        leave.set()


def test_clients_that_leave_are_counted_by_stage_and_judged_by_nothing(engine: Engine) -> None:
    before = read(engine)
    asyncio.run(give_up(engine))
    wait_for(lambda: in_flight(engine) == (0, 0), "the engine to be at rest")
    wait_for(lambda: grown(before, read(engine), catalogue.ABANDONED, stage="queued") >= 4, "the last HTTP status")
    after = read(engine)
    assert grown(before, after, catalogue.ABANDONED, stage="queued") == 4
    assert grown(before, after, catalogue.ABANDONED, stage="streaming") == 3
    assert grown(before, after, catalogue.FINISHED) == 14
    assert grown(before, after, catalogue.FINISHED, reason="abort") == 0
    assert grown(before, after, catalogue.REJECTED) == 0
    for objective in ("chat-ttft", "chat-e2e", "chat-goodput"):
        assert grown(before, after, catalogue.OBJECTIVE_REQUESTS, objective=objective) == 14


@dataclass(slots=True)
class Leaver:
    """A client that may leave at any moment, and what it had seen by then."""

    moment: float | None
    sent: bool = False
    tokens: int = 0
    whole: bool = False

    async def trace(self, name: str, _: object) -> None:
        """Note that the request is out (httpx tells of its steps)."""
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
    # a busy server has read the request, which nothing on its page would tell of.
    leavers = [Leaver(0.5 + work * random.random() ** 2 if random.random() < 0.75 else None) for _ in range(clients)]
    async with client() as session, asyncio.TaskGroup() as tasks:
        for leaver in leavers:
            tasks.create_task(leaver.ask(session, engine, random.choice(TOKENS)))
            await asyncio.sleep(random.uniform(0, work / clients / 5))
    return leavers


@pytest.mark.slow
def test_two_hundred_clients_that_leave_at_random_moments_are_all_accounted_for(engine: Engine) -> None:
    collector = EngineCollector(engine.url)

    def scrape() -> list[Point]:
        return list(collector.collect(time.monotonic() + 10))

    step = asyncio.run(pace(engine))
    wait_for(lambda: in_flight(engine) == (0, 0), "the engine to be at rest")
    scrape()
    before = scrape()
    leavers = asyncio.run(come_and_go(engine, 200, step))
    sent = [leaver for leaver in leavers if leaver.sent]

    def gone(stage: str) -> int:
        return grown(before, scrape(), catalogue.ABANDONED, stage=stage)

    wait_for(lambda: in_flight(engine) == (0, 0), "the engine to be at rest")
    wait_for(
        lambda: gone("queued") + gone("streaming") + grown(before, scrape(), catalogue.FINISHED) == len(sent),
        "every request to be accounted for",
    )
    after = scrape()
    queued, streaming = gone("queued"), gone("streaming")
    finished = grown(before, after, catalogue.FINISHED)
    assert queued + streaming + finished == len(sent)
    # A client knows less than the engine: a token may be on its way to one that leaves. Never the other way round.
    whole = sum(leaver.whole for leaver in sent)
    saw_nothing = sum(leaver.tokens == 0 for leaver in sent)
    assert 0 < queued <= saw_nothing
    assert whole <= finished
    assert streaming > 0
    assert grown(before, after, catalogue.FINISHED, reason="abort") == 0
    assert grown(before, after, catalogue.REJECTED) == 0
    judged = grown(before, after, catalogue.OBJECTIVE_REQUESTS, objective="chat-ttft")
    assert judged == finished
