"""What the plugin costs: microseconds of one record() at batch 256, and a real engine's throughput with and without it.

Run as a script: `.venv/bin/python tests/benchmarks/bench_plugin.py [--pairs N] [--version V]`. Pairs are run side by side in time, in turn first with and
first without; a pair gives one ratio, and their median is told with its exact 95 % interval (by order statistics), since single runs
scatter by several percent. Not a test: its figures depend on the machine.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time

import httpx
from scipy import stats

import real_engine
from paths import PACKAGES

REQUESTS, TOKENS, AT_ONCE = 64, 64, 16
# Runs in the engine's Python: steps of a batch of 256, of which two requests finish a step and two begin.
RECORD = """
import json, logging, statistics, time
from types import SimpleNamespace
from vllm.v1.engine import FinishReason
from vllm.v1.metrics.stats import IterationStats, RequestStateStats
from plimsoll.exporters.vllm import plugin

logger = plugin.PlimsollStatLogger(SimpleNamespace(model_config=SimpleNamespace(served_model_name="%s")), 0)
times = []
for _ in range(20000):
    stats = IterationStats()
    stats.inter_token_latencies_iter = [0.02] * 254
    stats.time_to_first_tokens_iter = [0.1, 0.2]
    for _ in range(2):
        request = RequestStateStats(arrival_time=stats.iteration_timestamp - 0.5, num_generation_tokens=128)
        request.first_token_ts, request.last_token_ts = 100.0, 100.4
        stats.update_from_finished_request(FinishReason.STOP, "id", 1, None, request)
    began = time.perf_counter()
    logger.record(None, stats)
    times.append((time.perf_counter() - began) * 1e6)
print(json.dumps({"median": statistics.median(times), "p99": statistics.quantiles(times, n=100)[98]}))
"""


def record_cost(version: str) -> dict[str, float]:
    """Microseconds of one record(), median and 99th percentile."""
    installation = real_engine.prepare(version)
    done = subprocess.run(
        [installation.python, "-c", RECORD % real_engine.MODEL],
        env={**os.environ, "PYTHONPATH": str(PACKAGES)},
        capture_output=True,
        text=True,
        check=True,
    )
    cost: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return cost


async def _load(engine: real_engine.Engine) -> float:
    """Tokens a second of REQUESTS requests, AT_ONCE at a time."""
    places = asyncio.Semaphore(AT_ONCE)
    body = {"model": engine.model, "prompt": "The load line", "max_tokens": TOKENS, "ignore_eos": True}
    async with httpx.AsyncClient(timeout=300, trust_env=False) as session:

        async def ask() -> None:
            async with places:
                (await session.post(f"{engine.url}/v1/completions", json=body)).raise_for_status()

        await ask()
        began = time.monotonic()
        await asyncio.gather(*(ask() for _ in range(REQUESTS)))
        return REQUESTS * TOKENS / (time.monotonic() - began)


def throughput(version: str, pairs: int) -> dict[str, list[float]]:
    """Tokens a second of each run with and without the plugin, both engines up at once and loaded in turn."""
    found: dict[str, list[float]] = {"with": [], "without": []}
    with contextlib.ExitStack() as stack:
        engines = {
            "with": stack.enter_context(real_engine.start(version)),
            # A list of plugins that leaves ours out.
            "without": stack.enter_context(real_engine.start(version, environment={"VLLM_PLUGINS": "none"})),
        }
        for pair in range(pairs):
            for name in sorted(engines, reverse=bool(pair % 2)):
                found[name].append(asyncio.run(_load(engines[name])))
                print(f"pair {pair + 1}: {name} {found[name][-1]:.1f} tokens/s", file=sys.stderr, flush=True)
        counted = {name: "llm_objective_requests_total" in engine.metrics() for name, engine in engines.items()}
    assert counted == {"with": True, "without": False}, counted
    return found


def compared(runs: dict[str, list[float]]) -> dict[str, object]:
    """Medians, and the median of the pairs' ratios with its interval."""
    ratios = [ours / bare for ours, bare in zip(runs["with"], runs["without"], strict=True)]
    interval = stats.quantile_test(ratios, q=1, p=0.5).confidence_interval(0.95)
    return {
        "tokens_per_second": {name: statistics.median(values) for name, values in runs.items()},
        "pairs": len(ratios),
        "ratio": statistics.median(ratios),
        "ratio_95_percent": [interval.low, interval.high],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=60, help="pairs of runs; 0: only record()")
    parser.add_argument("--version", default=real_engine.VERSION, choices=real_engine.versions(), help="of vLLM")
    options = parser.parse_args()
    print(json.dumps({"record_microseconds": record_cost(options.version)}), flush=True)
    if options.pairs:
        print(json.dumps(compared(throughput(options.version, options.pairs))))
