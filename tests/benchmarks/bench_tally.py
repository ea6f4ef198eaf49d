"""Clients, engine and plugin count the same: `python tests/benchmarks/bench_tally.py [CLIENTS]`, on every version of vLLM that has a lock file.

Three of four clients leave at a random moment. Prints one line per version: requests that were sent, what became of them by the
engine's and our derived counters, and what the plugin evaluated.
"""

import asyncio
import sys
import time

import real_engine
from clients import come_and_go, grown, in_flight, pace
from plimsoll.exporters.collector import Point
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.slo import metrics
from stack import wait_for

CLIENTS = 2000


def tally(version: str, clients: int) -> dict[str, int | bool]:
    """Run the clients against one version and count."""
    with real_engine.start(version) as engine:
        collector = EngineCollector(engine.url)

        def scrape() -> list[Point]:
            return list(collector.collect(time.monotonic() + 10))

        step = asyncio.run(pace(engine))
        wait_for(lambda: in_flight(engine) == (0, 0), "the engine to be at rest")
        scrape()
        before = scrape()
        sent = [leaver for leaver in asyncio.run(come_and_go(engine, clients, step)) if leaver.sent]

        def count(stage: str) -> int:
            return grown(before, scrape(), metrics.ABANDONED, stage=stage)

        wait_for(lambda: in_flight(engine) == (0, 0), "the engine to be at rest", 60)
        wait_for(lambda: count("queued") == count("queued"), "two pages that agree", 60)
        after = scrape()
        evaluated = {
            outcome: grown(before, after, metrics.OBJECTIVE_REQUESTS, objective="chat-ttft", outcome=outcome)
            for outcome in ("good", "bad")
        }
        queued, streaming, finished = count("queued"), count("streaming"), grown(before, after, metrics.FINISHED)
    return {
        "sent": len(sent),
        "served whole, by the clients": sum(leaver.whole for leaver in sent),
        "finished": finished,
        "left queued": queued,
        "left streaming": streaming,
        **{f"evaluated {outcome}": number for outcome, number in evaluated.items()},
        "all accounted for": finished + queued + streaming == len(sent),
        "all finished ones evaluated": sum(evaluated.values()) == finished,
    }


if __name__ == "__main__":
    for each in real_engine.versions():
        print(f"vLLM {each}: {tally(each, int(sys.argv[1]) if len(sys.argv) > 1 else CLIENTS)}", flush=True)
