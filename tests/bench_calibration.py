"""How well a real engine's step time is known from its own metrics: `python tests/bench_calibration.py`. Prints figures; judges nothing.

The engine decodes batches of many sizes, one after the other, while its page is scraped. The model is fitted to what the pages
of the FITTED sizes said; for the UNSEEN ones its prediction stands beside the time per token that their clients took. Sizes
take turns, so that a machine that slows down does so for both. Wants a quiet machine: on a busy one it measures the neighbours.
"""

import asyncio
import time
from collections import defaultdict
from statistics import median

import httpx

import real_engine
from exporters.engine import EngineCollector
from slo import catalogue
from slo.capacity.calibrate import Calibration, calibrate
from slo.capacity.signals import SIGNALS, ReplicaSignals

FITTED, UNSEEN = (1, 2, 4, 8, 12, 16), (3, 6, 10, 14)
ROUNDS = 2  # of every size
TOKENS, PROMPT = 1000, "The load line"
SCRAPED = 0.5  # seconds between two scrapes

Samples = dict[str, list[tuple[float, float]]]


async def ask(client: httpx.AsyncClient, engine: real_engine.Engine) -> float:
    """Seconds per token after the first chunk, as a client sees them."""
    body = {"model": engine.model, "prompt": PROMPT, "max_tokens": TOKENS, "ignore_eos": True, "stream": True}
    moments = []
    async with client.stream("POST", f"{engine.url}/v1/completions", json=body) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                moments.append(time.monotonic())
    return (moments[-1] - moments[0]) / (TOKENS - 1)


async def scrape(collector: EngineCollector, samples: Samples) -> float:
    """Read the page once; returns the tokens that the KV cache holds."""
    before = time.time()
    points = await asyncio.to_thread(lambda: list(collector.collect(time.monotonic() + 5)))
    now = (before + time.time()) / 2
    sums: dict[str, float] = defaultdict(float)
    for point in points:
        sums[point.metric.name] += point.value
    for signal, metric in SIGNALS.items():
        samples[signal].append((now, sums[metric.name]))
    return sums[catalogue.KV_CACHE_CAPACITY.name]


async def batch(engine: real_engine.Engine, collector: EngineCollector, size: int) -> tuple[float, Samples]:
    """Serve a batch; returns its median seconds per token, and what the page said meanwhile."""
    samples: Samples = defaultdict(list)

    async def watch() -> None:
        while True:
            await scrape(collector, samples)
            await asyncio.sleep(SCRAPED)

    async with httpx.AsyncClient(timeout=300, trust_env=False, limits=httpx.Limits(max_connections=None)) as client:
        watching = asyncio.create_task(watch())
        taken = median(await asyncio.gather(*(ask(client, engine) for _ in range(size))))
        watching.cancel()
    return taken, samples


async def measure(engine: real_engine.Engine) -> tuple[dict[int, list[float]], list[Samples], float]:
    """Serve all batches; returns what their clients took by size, the pages of the fitted ones, the KV cache's tokens."""
    collector = EngineCollector(engine.url)
    for _ in range(2):  # what an engine loads on its first requests is not its step time
        await batch(engine, collector, max(FITTED))
    taken: dict[int, list[float]] = defaultdict(list)
    pages = []
    for _ in range(ROUNDS):
        for size in sorted((*FITTED, *UNSEEN)):
            seconds, samples = await batch(engine, collector, size)
            taken[size].append(seconds)
            print(f"batch {size:3}: {seconds * 1e3:.2f} ms per token, {len(samples['running'])} scrapes", flush=True)
            if size in FITTED:
                pages.append(samples)
    return taken, pages, await scrape(collector, defaultdict(list))


def main() -> None:
    """Print the fit and, for each batch size, prediction and truth."""
    with real_engine.start() as engine:
        taken, pages, capacity = asyncio.run(measure(engine))
    found = calibrate([ReplicaSignals("real", seen=True, simulated=False, **page) for page in pages], capacity)
    if found is None:
        print("too little was seen")
        return
    print(
        f"step = {found.base * 1e3:.2f} ms + {found.per_sequence * 1e3:.3f} ms x batch + {found.per_kv_token * 1e6:.3f} us x KV tokens;"
        f" R2 {found.r_squared:.3f}, median error {found.error:.1%}, {found.intervals} intervals"
    )
    for size, seconds in sorted(taken.items()):
        show(found, size, seconds)


def show(found: Calibration, size: int, seconds: list[float]) -> None:
    """Print one batch size."""
    predicted, truth = found.tpot(size, TOKENS / 2), median(seconds)
    print(
        f"batch {size:3} {'fitted' if size in FITTED else 'UNSEEN'}: predicted {predicted * 1e3:6.2f} ms, clients saw "
        f"{truth * 1e3:6.2f} ms ({min(seconds) * 1e3:.2f} to {max(seconds) * 1e3:.2f}), {predicted / truth - 1:+.1%}"
    )


if __name__ == "__main__":
    main()
