"""The plugin, the mapping and the derived counters against a real vLLM, evaluated by what its clients saw."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from clients import ask_whole, client, come_and_go, grown, in_flight, pace, read, total
from export_process import exporting
from plimsoll.exporters.collector import Point
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.exporters.engines.vllm import VLLM
from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric, bucket_bound
from real_engine import Engine, start
from real_server import Unavailable
from stack import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

# Bounds of vLLM's histograms, among them the default objectives' limits (600 ms, 40 ms, 4 s): so its page counts them exactly.
BUCKETS = {
    "time_to_first_token": [0.1, 0.25, 0.5, 0.6, 0.75, 1, 2.5, 5, 10, 20, 40],
    "inter_token_latency": [0.01, 0.025, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5, 1],
    "request_latency": [0.25, 0.5, 1, 2, 4, 5, 10, 20, 40],
}
LIMITS = {"chat-ttft": 0.6, "chat-tpot": 0.04, "chat-e2e": 4.0}
# A client's clock starts before the engine's and stops after it: what is in time for the client is in time for the engine.
# The other way round, so much is spent on the way at most.
ON_THE_WAY = 1.5


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """A real vLLM with our plugin, shared by the tests: compare counters before and after."""
    try:
        with start(arguments=("--custom-histogram-buckets", json.dumps(BUCKETS))) as running:
            yield running
    except Unavailable as why:
        pytest.skip(f"no real engine: {why}")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw of one request, in seconds."""

    first: float
    total: float
    tokens: int


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


async def mixed(engine: Engine) -> list[Seen]:
    """Twelve short requests one by one, then a burst in which 24 long ones want the 16 places: some wait long."""
    async with client() as session:
        alone = [await ask(session, engine, tokens) for tokens in (1, 2, 5, 1, 8, 3, 1, 4, 6, 1, 2, 10)]
        burst = [ask(session, engine, tokens) for tokens in (1, 20, 1000) * 24]
        return alone + await asyncio.gather(*burst)


def test_plugin_engine_and_clients_count_the_same_requests_good_and_bad(engine: Engine) -> None:
    before = read(engine)
    seen = asyncio.run(mixed(engine))
    wait_for(lambda: grown(before, read(engine), metrics.FINISHED) == len(seen), "every request to be finished")
    after = read(engine)

    def evaluated(objective: str, outcome: str) -> int:
        return grown(before, after, metrics.OBJECTIVE_REQUESTS, objective=objective, outcome=outcome)

    def within(metric: Metric, limit: float) -> int:
        return grown(before, after, metric, "_bucket", le=bucket_bound(limit))

    single = sum(request.tokens == 1 for request in seen)
    assert single > 0
    assert grown(before, after, metrics.GENERATION_TOKENS) == sum(request.tokens for request in seen)
    # Against the engine's own histograms, exactly.
    assert evaluated("chat-ttft", "good") == within(metrics.TTFT, LIMITS["chat-ttft"])
    assert evaluated("chat-e2e", "good") == within(metrics.DURATION, LIMITS["chat-e2e"])
    assert evaluated("chat-tpot", "good") == within(metrics.TPOT, LIMITS["chat-tpot"]) - single
    totals = {name: evaluated(name, "good") + evaluated(name, "bad") for name in (*LIMITS, "chat-goodput")}
    assert totals == dict.fromkeys(totals, len(seen)) | {"chat-tpot": len(seen) - single}
    # Against the clients: in time for a client is in time for the engine, and far too late for both.
    for objective, times in (("chat-ttft", [s.first for s in seen]), ("chat-e2e", [s.total for s in seen])):
        limit = LIMITS[objective]
        surely, possibly = sum(t <= limit for t in times), sum(t <= limit + ON_THE_WAY for t in times)
        assert surely > 0 and possibly < len(seen), "the traffic must have both outcomes, far apart"
        assert surely <= evaluated(objective, "good") <= possibly
    worst = max(evaluated(name, "bad") for name in LIMITS)
    assert worst <= evaluated("chat-goodput", "bad") <= sum(evaluated(name, "bad") for name in LIMITS)


def test_its_process_is_found_by_an_exporter_that_was_not_given_its_address(engine: Engine, tmp_path: Path) -> None:
    address = engine.url.removeprefix("http://")
    with exporting(tmp_path, "--no-gpu", "--discover", "processes") as exporter:
        wait_for(lambda: exporter.values().get(("llm_replica_up", address)) == 1, "the engine to be found", 30)


def test_every_metric_that_vllm_has_is_on_our_page_under_its_replica_and_rank(engine: Engine) -> None:
    points = read(engine)
    address = engine.url.removeprefix("http://")
    names = {point.metric.name for point in points}
    others = {"uuid", "pool"}  # what GPUs and the SLO service tell of a replica
    engine_metrics = {
        metric.name for metric in metrics.ALL if "replica" in metric.labels and not others & {*metric.labels}
    }
    required = {source.metric.name for source in VLLM.sources if not source.optional}
    required |= {one.name for one in (metrics.OBJECTIVE_REQUESTS, metrics.REPLICA_AWAKE, metrics.WAITING_BY_REASON)}
    assert required <= names <= engine_metrics  # a name that is missing is told by a metric without `replica`
    assert {p.labels["replica"] for p in points} == {address}
    assert {p.labels["engine"] for p in points if "engine" in p.labels} == {"vllm"}
    assert {p.labels["model"] for p in points if "model" in p.labels} == {engine.model}
    assert {p.labels["rank"] for p in points if "rank" in p.labels} == {"0"}
    info = next(point for point in points if point.metric == metrics.REPLICA_INFO)
    assert (info.labels["version"], info.labels["simulated"]) == ("0.32.0", "false")
    settings = {p.labels["setting"]: p.value for p in points if p.metric == metrics.ENGINE_SETTING}
    assert settings == {"max_num_seqs": 16, "max_num_batched_tokens": 2048, "kv_cache_bits": 32}
    bytes_a_token = 16 * 2 * 2 * 32 * 4  # layers, K and V, heads, dimension, float32
    assert total(points, metrics.KV_CACHE_CAPACITY) == 2 * 2**30 // bytes_a_token


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
    wait_for(lambda: grown(before, read(engine), metrics.ABANDONED, stage="queued") >= 4, "the last HTTP status")
    after = read(engine)
    assert grown(before, after, metrics.ABANDONED, stage="queued") == 4
    assert grown(before, after, metrics.ABANDONED, stage="streaming") == 3
    assert grown(before, after, metrics.FINISHED) == 14
    assert grown(before, after, metrics.FINISHED, reason="abort") == 0
    assert grown(before, after, metrics.REJECTED) == 0
    for objective in ("chat-ttft", "chat-e2e", "chat-goodput"):
        assert grown(before, after, metrics.OBJECTIVE_REQUESTS, objective=objective) == 14


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
        return grown(before, scrape(), metrics.ABANDONED, stage=stage)

    wait_for(lambda: in_flight(engine) == (0, 0), "the engine to be at rest")
    wait_for(
        lambda: gone("queued") + gone("streaming") + grown(before, scrape(), metrics.FINISHED) == len(sent),
        "every request to be accounted for",
    )
    after = scrape()
    queued, streaming = gone("queued"), gone("streaming")
    finished = grown(before, after, metrics.FINISHED)
    assert queued + streaming + finished == len(sent)
    # A client knows less than the engine: a token may be on its way to one that leaves. Never the other way round.
    whole = sum(leaver.whole for leaver in sent)
    saw_nothing = sum(leaver.tokens == 0 for leaver in sent)
    assert 0 < queued <= saw_nothing
    assert whole <= finished
    assert streaming > 0
    assert grown(before, after, metrics.FINISHED, reason="abort") == 0
    assert grown(before, after, metrics.REJECTED) == 0
    evaluated = grown(before, after, metrics.OBJECTIVE_REQUESTS, objective="chat-ttft")
    assert evaluated == finished
