"""A real vLLM with two API server processes, whose page has no start: the client's tally is what the ledger counts."""

import asyncio
import time
from collections.abc import Iterator, Sequence

import pytest

from clients import ask_whole, client
from plimsoll.exporters.collector import Point
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric
from plimsoll.slo.sli.increments import increments, replicas
from plimsoll.slo.sources import Series
from real_engine import Engine, Unavailable, start

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
Page = tuple[float, list[Point]]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    try:
        with start(servers=2) as running:
            yield running
    except Unavailable as why:
        pytest.skip(f"no real engine: {why}")


def series(pages: Sequence[Page], metric: Metric, suffix: str = "") -> list[Series]:
    """A metric's series over all pages, as a source gives them."""
    rows: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    for at, points in pages:
        for point in points:
            if point.metric == metric and point.suffix == suffix:
                rows.setdefault(tuple(sorted(point.labels.items())), []).append((at, point.value))
    return [Series(metric.name + suffix, dict(labels), samples) for labels, samples in rows.items()]


def test_the_clients_tally_is_what_is_counted(engine: Engine) -> None:
    before, tokens = time.time(), [1, 5, 9, 20] * 4
    collector = EngineCollector(engine.url)
    pages: list[Page] = []

    def read() -> None:
        pages.append((time.time(), list(collector.collect(time.monotonic() + 20))))

    async def ask() -> None:
        async with client() as session:
            await asyncio.gather(*(ask_whole(session, engine, count) for count in tokens))

    read()
    for _ in range(3):
        asyncio.run(ask())
        read()
    finished = time.monotonic() + 30
    while (
        sum(p.value for p in pages[-1][1] if p.metric == c.FINISHED) < 3 * len(tokens) and time.monotonic() < finished
    ):
        read()
    (replica,) = replicas(series(pages, c.REPLICA_START)).values()
    assert {start for _, start in replica.observed} == {replica.observed[0][1]} and 0 < replica.observed[0][1] < before
    counted = {
        metric: sum(by for one in series(pages, metric, suffix) for _, by in increments(one.samples, replica))
        for metric, suffix in ((c.FINISHED, ""), (c.GENERATION_TOKENS, ""), (c.TTFT, "_count"))
    }
    assert counted == {c.FINISHED: 48, c.GENERATION_TOKENS: 3 * sum(tokens), c.TTFT: 48}
