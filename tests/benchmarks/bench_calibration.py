"""How well a real engine's step time is known from its own metrics: `python tests/benchmarks/bench_calibration.py`. Prints figures; evaluates nothing.

The engine decodes batches of many sizes, one after the other, while its page is scraped. The model is fitted to what the pages
of the FITTED sizes said; for the UNSEEN ones its prediction stands beside the time per token that their clients took. The same for
prompts that are computed while others decode, by their length, beside what the engine's own prefill times say. Sizes take turns, so that a machine that slows down does so for both. Wants a quiet machine: on a busy one it measures the neighbors.
"""

import asyncio
import time
from random import Random
from statistics import median

import httpx

import real_engine
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.slo import metrics
from plimsoll.slo.capacity.calibration.fit import Calibration, calibrate
from plimsoll.slo.sources import Series
from sample_list import sample_list

FITTED, UNSEEN = (1, 2, 4, 8, 12, 16), (3, 6, 10, 14)
ROUNDS = 2  # of every size
FITTED_PROMPTS, UNSEEN_PROMPTS = (100, 400, 1600), (200, 800)  # tokens
BESIDE, PROMPTS = 6, 5.0  # requests that decode while prompts are computed, and seconds of prompts
TOKENS, PROMPT = 1000, "The load line"
SCRAPED = 0.5  # seconds between two scrapes

Pages = dict[tuple[str, ...], Series]  # by name and labels, as a source holds them


async def ask(client: httpx.AsyncClient, engine: real_engine.Engine) -> float:
    """Seconds per token after the first chunk, as a client sees them."""
    body = {"model": engine.model, "prompt": PROMPT, "max_tokens": TOKENS, "ignore_eos": True, "stream": True}
    moments = []
    async with client.stream("POST", f"{engine.url}/v1/completions", json=body) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                moments.append(time.monotonic())
    return (moments[-1] - moments[0]) / (TOKENS - 1)


async def scrape(collector: EngineCollector, pages: Pages) -> None:
    """Read the page once."""
    before = time.time()
    points = await asyncio.to_thread(lambda: list(collector.collect(time.monotonic() + 5)))
    now = (before + time.time()) / 2
    for point in points:
        name = point.metric.name + point.suffix
        key = (name, *point.labels.values())
        sample_list(pages.setdefault(key, Series(name, dict(point.labels), []))).append((now, point.value))


async def batch(engine: real_engine.Engine, collector: EngineCollector, size: int, pages: Pages) -> float:
    """Serve a batch and watch the page meanwhile; returns its median seconds per token."""

    async def watch() -> None:
        while True:
            await scrape(collector, pages)
            await asyncio.sleep(SCRAPED)

    async with httpx.AsyncClient(timeout=300, trust_env=False, limits=httpx.Limits(max_connections=None)) as client:
        watching = asyncio.create_task(watch())
        taken = median(await asyncio.gather(*(ask(client, engine) for _ in range(size))))
        watching.cancel()
    return taken


async def beside(engine: real_engine.Engine, collector: EngineCollector, length: int, pages: Pages) -> float:
    """Compute prompts of a length while others decode; returns their mean seconds in the engine, as its page says."""
    random = Random(length)  # noqa: S311 - traffic, not secrets
    told: Pages = {}

    async def watch() -> None:
        while True:
            await scrape(collector, pages)
            await asyncio.sleep(SCRAPED)

    async with httpx.AsyncClient(timeout=300, trust_env=False) as client:
        decoding = [asyncio.create_task(ask(client, engine)) for _ in range(BESIDE)]
        await asyncio.sleep(1)
        watching = asyncio.create_task(watch())
        await scrape(collector, told)
        until = time.monotonic() + PROMPTS
        while time.monotonic() < until:
            tokens = [random.randrange(10, 100) for _ in range(length)]
            body = {"model": engine.model, "prompt": tokens, "max_tokens": 1}
            (await client.post(f"{engine.url}/v1/completions", json=body)).raise_for_status()
            await asyncio.sleep(random.expovariate(5))
        await scrape(collector, told)
        watching.cancel()
        await asyncio.gather(*decoding)
    sums, counts = (_grown(told, name) for name in (metrics.PREFILL.sum, metrics.PREFILL.count))
    return sums / counts


def _grown(pages: Pages, name: str) -> float:
    return sum(one.samples[-1][1] - one.samples[0][1] for one in pages.values() if one.name == name)


async def measure(engine: real_engine.Engine) -> tuple[dict[int, list[float]], dict[int, float], list[Pages]]:
    """Serve all batches; returns what their clients took by size, what prompts took by length, and the pages of the fitted ones, of
    each on their own."""
    collector = EngineCollector(engine.url)
    for _ in range(2):  # what an engine loads on its first requests is not its step time
        await batch(engine, collector, max(FITTED), {})
    taken: dict[int, list[float]] = {size: [] for size in sorted((*FITTED, *UNSEEN))}
    seen = []
    for _ in range(ROUNDS):
        for size, seconds in taken.items():
            pages: Pages = {}
            seconds.append(await batch(engine, collector, size, pages))
            print(f"batch {size:3}: {seconds[-1] * 1e3:.2f} ms per token", flush=True)
            if size in FITTED:
                seen.append(pages)
    alone = {}
    for length in sorted((*FITTED_PROMPTS, *UNSEEN_PROMPTS)):
        pages = {}
        alone[length] = await beside(engine, collector, length, pages)
        print(f"prompts of {length}: {alone[length] * 1e3:.2f} ms", flush=True)
        if length in FITTED_PROMPTS:
            seen.append(pages)
    return taken, alone, seen


def main() -> None:
    """Print the fit and, for each batch size, prediction and truth."""
    with real_engine.start() as engine:
        taken, alone, seen = asyncio.run(measure(engine))
    # Told apart by their time, so that nothing is read of the batches in between.
    apart = [
        Series(one.name, {**one.labels, "rank": f"{number}"}, one.samples)
        for number, pages in enumerate(seen)
        for one in pages.values()
    ]
    found = calibrate(apart)
    if isinstance(found, str):
        print(found)
        return
    print(
        f"step = {found.base_seconds * 1e3:.2f} ms + {found.seconds_per_sequence * 1e3:.3f} ms x batch + {found.seconds_per_kv_token * 1e6:.3f} us x KV tokens"
        f" + {found.seconds_per_prompt * 1e3:.2f} ms x prompts + {found.seconds_per_prompt_token * 1e6:.1f} us x prompt tokens;"
        f" R2 {found.r_squared:.3f}, median error {found.median_relative_error:.1%}, {found.intervals} intervals"
    )
    for size, seconds in taken.items():
        show(found, size, seconds)
    for length, truth in alone.items():
        predicted = found.model.prefill(length) + found.tpot(BESIDE, TOKENS / 2)
        print(
            f"prompt {length:4} {'fitted' if length in FITTED_PROMPTS else 'UNSEEN'}: predicted {predicted * 1e3:6.2f} ms, "
            f"the engine took {truth * 1e3:6.2f} ms, {predicted / truth - 1:+.1%}"
        )


def show(found: Calibration, size: int, seconds: list[float]) -> None:
    """Print one batch size."""
    predicted, truth = found.tpot(size, TOKENS / 2), median(seconds)
    print(
        f"batch {size:3} {'fitted' if size in FITTED else 'UNSEEN'}: predicted {predicted * 1e3:6.2f} ms, clients saw "
        f"{truth * 1e3:6.2f} ms ({min(seconds) * 1e3:.2f} to {max(seconds) * 1e3:.2f}), {predicted / truth - 1:+.1%}"
    )


if __name__ == "__main__":
    main()
