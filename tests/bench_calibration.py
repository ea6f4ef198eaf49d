"""How well a real engine's step time is known from its own metrics: `python tests/bench_calibration.py`. Prints figures; judges nothing.

The engine decodes batches of FITTED requests while its page is scraped every second; then batches of UNSEEN, whose time per token
the clients take. Prediction and what clients saw stand side by side.
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

FITTED, UNSEEN = (1, 2, 4, 12, 16), (3, 8, 14)
TOKENS, PROMPT = 1200, "The load line"


async def ask(client: httpx.AsyncClient, engine: real_engine.Engine) -> float:
    """Seconds per token after the first chunk, as a client sees them."""
    body = {"model": engine.model, "prompt": PROMPT, "max_tokens": TOKENS, "ignore_eos": True, "stream": True}
    moments = []
    async with client.stream("POST", f"{engine.url}/v1/completions", json=body) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                moments.append(time.monotonic())
    return (moments[-1] - moments[0]) / (TOKENS - 1)


async def batch(engine: real_engine.Engine, size: int) -> float:
    """Median seconds per token of a batch."""
    async with httpx.AsyncClient(timeout=300, trust_env=False, limits=httpx.Limits(max_connections=None)) as client:
        return median(await asyncio.gather(*(ask(client, engine) for _ in range(size))))


async def scraped(engine: real_engine.Engine, samples: dict[str, list[tuple[float, float]]]) -> float:
    """Scrape while the batches that are fitted run; returns the tokens that the KV cache holds."""
    collector, capacity = EngineCollector(engine.url), 0.0

    async def scrape() -> None:
        nonlocal capacity
        while True:
            points = await asyncio.to_thread(lambda: list(collector.collect(time.monotonic() + 5)))
            now = time.time()
            sums: dict[str, float] = defaultdict(float)
            for point in points:
                sums[point.metric.name] += point.value
            capacity = sums[catalogue.KV_CACHE_CAPACITY.name]
            for signal, metric in SIGNALS.items():
                samples[signal].append((now, sums[metric.name]))
            await asyncio.sleep(1)

    scraping = asyncio.create_task(scrape())
    for size in FITTED:
        await batch(engine, size)
    scraping.cancel()
    return capacity


def main() -> None:
    """Print the fit and, for each batch that it has not seen, prediction and truth."""
    samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with real_engine.start() as engine:
        asyncio.run(batch(engine, 4))  # what an engine loads on its first requests is not its step time
        capacity = asyncio.run(scraped(engine, samples))
        found = calibrate([ReplicaSignals("real", seen=True, simulated=False, **samples)], capacity)
        if found is None:
            print("too little was seen")
            return
        print(
            f"step = {found.base * 1e3:.2f} ms + {found.per_sequence * 1e3:.3f} ms x batch + {found.per_kv_token * 1e6:.3f} us x KV tokens;"
            f" R2 {found.r_squared:.3f}, median error {found.error:.1%}, {found.intervals} intervals"
        )
        for size in UNSEEN:
            show(found, size, asyncio.run(batch(engine, size)))


def show(found: Calibration, size: int, truth: float) -> None:
    """Print one batch."""
    predicted = found.tpot(size, TOKENS / 2)
    print(
        f"batch {size:3}: predicted {predicted * 1e3:6.2f} ms, clients saw {truth * 1e3:6.2f} ms, {predicted / truth - 1:+.1%}"
    )


if __name__ == "__main__":
    main()
