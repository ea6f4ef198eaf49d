"""A real llama.cpp server: its clients' tally is what the exporter counts."""

import asyncio
import time
from collections.abc import Iterator

import httpx
import pytest

from plimsoll.exporters.collector import Point
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric
from real_llama import start
from real_server import Unavailable
from stack import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
SLOTS = 2
TOKENS = [1, 5, 9, 20] * 4


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    try:
        with start(SLOTS) as running:
            yield running
    except Unavailable as why:
        pytest.skip(f"no real llama.cpp: {why}")


def value(points: list[Point], metric: Metric) -> float:
    (found,) = [point.value for point in points if point.metric == metric]
    return found


async def ask(session: httpx.AsyncClient, url: str, number: int, tokens: int) -> tuple[int, int, int]:
    """Prompt tokens, those of them from the cache, and tokens of the answer, as the server reports them to its client."""
    body = {"prompt": f"{number} The load line", "max_tokens": tokens, "ignore_eos": True}
    response = (await session.post(f"{url}/v1/completions", json=body)).raise_for_status()
    usage = response.json()["usage"]
    return usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"], usage["completion_tokens"]


def test_the_clients_tally_is_what_is_counted(url: str) -> None:
    began = time.time()
    collector = EngineCollector(url)

    def read() -> list[Point]:
        return list(collector.collect(time.monotonic() + 20))

    async def everyone() -> list[tuple[int, int, int]]:
        async with httpx.AsyncClient(timeout=120, trust_env=False) as session:
            return await asyncio.gather(*(ask(session, url, number, count) for number, count in enumerate(TOKENS)))

    read()
    seen = asyncio.run(everyone()) + asyncio.run(everyone())
    prompt, cached, generated = (sum(column) for column in zip(*seen, strict=True))
    assert generated == 2 * sum(TOKENS) and cached > 0
    wait_for(lambda: value(read(), c.GENERATION_TOKENS) == generated, "the last request to be counted")
    after = read()
    assert value(after, c.PROMPT_TOKENS) == value(after, c.PREFIX_QUERIED) == prompt
    assert value(after, c.PREFIX_HIT) == cached
    assert (value(after, c.REQUESTS_RUNNING), value(after, c.REQUESTS_WAITING)) == (0, 0)
    assert 0 < value(after, c.REPLICA_START) <= began
    (info,) = [point.labels for point in after if point.metric == c.REPLICA_INFO]
    assert (info["engine"], info["model"], info["version"][:1]) == ("llamacpp", "tiny", "b")
    assert not [point for point in after if point.metric == c.METRIC_MISSING]


def test_requests_beyond_its_slots_wait(url: str) -> None:
    collector = EngineCollector(url)

    def in_flight() -> tuple[float, float]:
        points = list(collector.collect(time.monotonic() + 20))
        return value(points, c.REQUESTS_RUNNING), value(points, c.REQUESTS_WAITING)

    async def everyone() -> None:
        async with (
            httpx.AsyncClient(timeout=300, trust_env=False) as session,
            asyncio.timeout(300),
            asyncio.TaskGroup() as tasks,
        ):
            asking = [tasks.create_task(ask(session, url, number, 1000)) for number in range(SLOTS + 2)]
            while (await asyncio.to_thread(in_flight)) != (SLOTS, 2):
                assert not all(one.done() for one in asking), "no reading saw two that ran and two that waited"

    asyncio.run(everyone())
    wait_for(lambda: in_flight() == (0, 0), "the server to be at rest")
