"""A real LiteLLM proxy with two workers before a real vLLM: its clients' tally is what the ledger counts at the gateway."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import real_engine
import real_litellm
from clients import client
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.slo import metrics as c
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.ingest import ingest
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.metrics import Metric
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import load
from real_server import Unavailable
from recorded import Recorded
from world import SPEC_TEXT

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
T0 = 1_700_000_100.0  # a slot's start: the pages are read as if half a minute apart
ALIAS = "chat"
AT = "target: 95%, window: 28d, count_at: gateway}"
SPEC = load(
    SPEC_TEXT.replace("model: m", f"model: {ALIAS}")
    .replace("{time_to_first_token: 600ms}", "{time_to_first_token: 300s}")
    .replace("target: 95%, window: 28d}", AT)
    + f"  - {{id: up, pool: pool, indicator: availability, {AT}\n"
)
TOKENS = [1, 5, 9, 20] * 3


@pytest.fixture(scope="module")
def engine() -> Iterator[real_engine.Engine]:
    try:
        real_litellm.prepare()
        with real_engine.start() as running:
            yield running
    except Unavailable as why:
        pytest.skip(f"no real engine behind a real LiteLLM: {why}")


@pytest.fixture(scope="module")
def proxy(engine: real_engine.Engine) -> Iterator[real_litellm.Proxy]:
    with real_litellm.start({ALIAS: (engine.url, engine.model)}) as running:
        yield running


class Readings:
    """The gateway's pages as a source gives them, one every half a minute."""

    def __init__(self, proxy: real_litellm.Proxy) -> None:
        self._collector = EngineCollector(f"edge={proxy.url}", token=proxy.token)
        self._samples: dict[tuple[str, frozenset[tuple[str, str]]], list[tuple[float, float]]] = {}
        self._at = T0

    def read(self) -> None:
        for point in self._collector.collect(time.monotonic() + 20):
            key = point.metric.name + point.suffix, frozenset({**point.labels, "instance": "g:9800"}.items())
            self._samples.setdefault(key, []).append((self._at, point.value))
        self._at += 30

    def total(self, metric: Metric, suffix: str = "", **labels: str) -> float:
        """Sum of the last values."""
        return sum(
            samples[-1][1]
            for (name, found), samples in self._samples.items()
            if name == metric.name + suffix and labels.items() <= dict(found).items()
        )

    def until(self, requests: int) -> None:
        """Read until the proxy has counted so many of the alias: it counts after it has answered."""
        end = time.monotonic() + 60
        while self.total(c.GATEWAY_REQUESTS, model=ALIAS) < requests and time.monotonic() < end:
            self.read()
            self._at -= 29  # a slot has room for them
            time.sleep(0.2)

    def counted(self, folder: Path) -> dict[str, tuple[float, float]]:
        """Good and total of each objective in a new ledger."""
        rows = [Series(name, dict(labels), samples) for (name, labels), samples in self._samples.items()]
        database = open_database(f"sqlite:///{folder}/{len(rows)}.db")
        ledger, end = Ledger(database), T0 + 600
        assert ingest(SPEC, Recorded(rows), ledger, end) == []
        slots = {one.id: ledger.slots(one.id, int(T0), int(end)) for one in SPEC.objectives}
        database.dispose()
        return {
            name: (sum(slot.good for slot in mine), sum(slot.total for slot in mine)) for name, mine in slots.items()
        }


async def ask(
    session: httpx.AsyncClient, proxy: real_litellm.Proxy, tokens: int, stream: bool, model: str = ALIAS
) -> int:
    """The status of the response, which is read to its end."""
    body = {"model": model, "messages": [{"role": "user", "content": "The load line"}], "max_tokens": tokens}
    response = await session.post(
        f"{proxy.url}/v1/chat/completions",
        json=body | {"ignore_eos": True, "stream": stream},
        headers={"Authorization": f"Bearer {proxy.token.read_text()}"},
    )
    return response.status_code


def test_the_clients_tally_is_what_is_counted_at_the_gateway(
    engine: real_engine.Engine, proxy: real_litellm.Proxy, tmp_path: Path
) -> None:
    readings = Readings(proxy)
    readings.read()

    async def everyone(tokens: list[int], model: str = ALIAS) -> list[int]:
        async with client() as session:
            return await asyncio.gather(
                *(ask(session, proxy, count, index % 3 == 0, model) for index, count in enumerate(tokens))
            )

    # A first request gives the series their names: what one counted before it was seen has no known time.
    assert asyncio.run(everyone([1])) == [200]
    readings.until(1)
    statuses = [*asyncio.run(everyone(TOKENS)), *asyncio.run(everyone(TOKENS))]
    too_long, unknown = asyncio.run(everyone([100_000] * 3)), asyncio.run(everyone([1, 1], "another"))
    readings.until(1 + len(statuses) + len(too_long))
    assert statuses == [200] * 24 and too_long == [400] * 3 and unknown == [400] * 2
    assert readings.counted(tmp_path) == {"fast": (8, 8), "up": (24, 24)}
    assert readings.total(c.GATEWAY_REQUESTS, model=ALIAS, tenant="none") == 28
    assert readings.total(c.GATEWAY_DURATION, "_count", model=ALIAS) == 25
    assert readings.total(c.GATEWAY_GENERATION_TOKENS, model=ALIAS) == 1 + 2 * sum(TOKENS)

    os.kill(engine.pid, signal.SIGKILL)
    refused = asyncio.run(everyone([1] * 5))
    assert all(status >= 500 for status in refused)
    readings.until(28 + 5)
    assert readings.counted(tmp_path)["up"] == (24, 29)
