"""A real vLLM with two API servers, whose page has no start, or two data-parallel ranks: the client's tally is what the ledger counts."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence

import pytest

from clients import ask_whole, client
from plimsoll.exporters.collector import CollectorError, Point
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric
from plimsoll.slo.sli.increments import increments, replicas
from plimsoll.slo.sources import Series
from real_engine import Engine, start
from real_server import Unavailable
from stack import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
TOKENS = [1, 5, 9, 20] * 4  # of one round's requests
Page = tuple[float, list[Point]]


@pytest.fixture(scope="module", params=[1, 2], ids=["two servers", "two ranks"])
def ranks(request: pytest.FixtureRequest) -> int:
    found: int = request.param
    return found


@pytest.fixture(scope="module")
def engine(ranks: int) -> Iterator[Engine]:
    try:
        with start(servers=3 - ranks, ranks=ranks) as running:
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


def test_the_clients_tally_is_what_is_counted(engine: Engine, ranks: int) -> None:
    before = time.time()
    collector = EngineCollector(engine.url)
    pages: list[Page] = []

    def read() -> None:
        pages.append((time.time(), list(collector.collect(time.monotonic() + 20))))

    async def ask(rank: int) -> None:
        async with client() as session:
            session.headers["X-data-parallel-rank"] = str(rank)
            await asyncio.gather(*(ask_whole(session, engine, count) for count in TOKENS))

    read()
    # Of two ranks, one serves two rounds, and the other one.
    for turn in range(3):
        asyncio.run(ask(turn % ranks))
        read()
    finished = time.monotonic() + 30
    while (
        sum(p.value for p in pages[-1][1] if p.metric == c.FINISHED) < 3 * len(TOKENS) and time.monotonic() < finished
    ):
        read()
    (replica,) = replicas(series(pages, c.REPLICA_START)).values()
    assert {start for _, start in replica.observed} == {replica.observed[0][1]} and 0 < replica.observed[0][1] < before

    def counted(metric: Metric, suffix: str = "", **labels: str) -> float:
        rows = [one for one in series(pages, metric, suffix) if labels.items() <= one.labels.items()]
        return sum(by for one in rows for _, by in increments(one.samples, replica))

    assert counted(c.GENERATION_TOKENS) == 3 * sum(TOKENS)
    assert counted(c.OBJECTIVE_REQUESTS, objective="chat-goodput") == 48
    for metric, suffix in ((c.FINISHED, ""), (c.TTFT, "_count")):
        by_rank = {f"{rank}": counted(metric, suffix, rank=f"{rank}") for rank in range(ranks)}
        assert by_rank == ({"0": 48} if ranks == 1 else {"0": 32, "1": 16})
        assert counted(metric, suffix) == 48


@pytest.mark.parametrize("ranks", [2], ids=["two ranks"], indirect=True)
def test_a_rank_that_dies_takes_its_replica_down(engine: Engine) -> None:
    collector = EngineCollector(engine.url)
    first = list(collector.collect(time.monotonic() + 20))
    assert {p.labels["rank"] for p in first if p.metric == c.KV_CACHE_USAGE} == {"0", "1"}
    assert [p.value for p in first if p.metric == c.REPLICA_UP] == [1]
    engine.kill("EngineCore_DP1")

    def down() -> list[Point]:
        with contextlib.suppress(CollectorError):
            return [p for p in collector.collect(time.monotonic() + 20) if p.metric == c.REPLICA_UP and not p.value]
        return list(collector.fallback)

    points = wait_for(down, "the server to end with its rank", 60)
    assert [(p.metric, p.labels.get("reason"), p.value) for p in points] == [
        (c.REPLICA_UP, None, 0),
        (c.REPLICA_DOWN_REASON, "unreachable", 1),
    ]
