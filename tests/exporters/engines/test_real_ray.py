"""A real Ray Serve with two replicas of a real vLLM: its clients' tally is what is counted, by replica, on the agent's one page."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from clients import client
from plimsoll.exporters.collector import CollectorError, Point
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric
from real_engine import MODEL
from real_ray import Node, start
from real_server import Unavailable
from stack import wait_for

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
TOKENS = [1, 5, 9, 20] * 4


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    try:
        with start() as running:
            yield running
    except Unavailable as why:
        pytest.skip(f"no real Ray Serve: {why}")


async def ask(node: Node) -> list[dict[str, Any]]:
    async with client() as session:
        bodies = [{"prompt": "The load line", "max_tokens": tokens} for tokens in TOKENS]
        responses = await asyncio.gather(*(session.post(node.url, json=body) for body in bodies))
    return [response.raise_for_status().json() for response in responses]


def test_the_clients_tally_is_what_is_counted_by_replica(node: Node) -> None:
    began = time.time()
    collector = EngineCollector(f"node={node.metrics}")

    def read() -> list[Point]:
        return list(collector.collect(time.monotonic() + 20))

    def by_replica(metric: Metric, suffix: str = "") -> dict[str, float]:
        found: Counter[str] = Counter()
        for point in read():
            if point.metric == metric and point.suffix == suffix:
                found[point.labels["replica"]] += int(point.value)
        return dict(found)

    def both() -> bool:
        with contextlib.suppress(CollectorError):
            return len(by_replica(c.REPLICA_INFO)) == 2
        return False

    # The agent learns of both replicas some seconds after they began; before that its page has nothing of vLLM.
    wait_for(both, "both replicas on the page", 60)
    requests: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for _ in range(2):
        for answer in asyncio.run(ask(node)):
            requests[f"node/{answer['replica'][:12]}"] += 1
            tokens[f"node/{answer['replica'][:12]}"] += answer["tokens"]
    assert requests.total() == 2 * len(TOKENS) and tokens.total() == 2 * sum(TOKENS)
    wait_for(lambda: by_replica(c.GENERATION_TOKENS) == tokens, "the agent's page to have every token", 60)
    assert by_replica(c.FINISHED) == by_replica(c.TTFT, "_count") == requests
    infos = [point.labels for point in read() if point.metric == c.REPLICA_INFO]
    assert {info["replica"] for info in infos} == set(by_replica(c.REPLICA_UP))
    assert {info["model"] for info in infos} == {MODEL}
    assert all(0 < point.value <= began for point in read() if point.metric == c.REPLICA_START)
    assert not [point for point in read() if point.metric == c.METRIC_MISSING]
