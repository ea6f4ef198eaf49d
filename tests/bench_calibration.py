"""How well a real engine's step time is known from its own metrics: `python tests/bench_calibration.py`. Prints figures; judges nothing.

The engine decodes batches of many sizes, one after the other, while its page is scraped. The model is fitted to what the pages
of the FITTED sizes said; for the UNSEEN ones its prediction stands beside the time per token that their clients took. Sizes
take turns, so that a machine that slows down does so for both. Wants a quiet machine: on a busy one it measures the neighbours.
"""

import asyncio
import time
from statistics import median

import httpx

import real_engine
from exporters.engine import EngineCollector
from slo.capacity.calibrate import calibrate
from slo.capacity.calibration import Calibration
from slo.sources import Series

FITTED, UNSEEN = (1, 2, 4, 8, 12, 16), (3, 6, 10, 14)
ROUNDS = 2  # of every size
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
        pages.setdefault(key, Series(name, dict(point.labels), [])).samples.append((now, point.value))


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


async def measure(engine: real_engine.Engine) -> tuple[dict[int, list[float]], list[Pages]]:
    """Serve all batches; returns what their clients took by size, and the pages of the fitted ones, of each on their own."""
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
    return taken, seen


def main() -> None:
    """Print the fit and, for each batch size, prediction and truth."""
    with real_engine.start() as engine:
        taken, seen = asyncio.run(measure(engine))
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
        f"step = {found.base * 1e3:.2f} ms + {found.per_sequence * 1e3:.3f} ms x batch + {found.per_kv_token * 1e6:.3f} us x KV tokens"
        f" + {found.per_prompt * 1e3:.2f} ms x prompts + {found.per_prompt_token * 1e6:.1f} us x prompt tokens;"
        f" R2 {found.r_squared:.3f}, median error {found.error:.1%}, {found.intervals} intervals"
    )
    for size, seconds in taken.items():
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
