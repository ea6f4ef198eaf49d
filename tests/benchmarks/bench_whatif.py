"""What-if for twelve pairs of model and GPU, in one process: the result or the reason for a refusal, and how long each takes.

python tests/benchmarks/bench_whatif.py
"""

import time

from plimsoll.slo.capacity.model.prices import packaged
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.whatif.evaluate import in_flight, whatif
from plimsoll.slo.capacity.whatif.request import WhatIfRequest
from plimsoll.slo.capacity.whatif.scenario import timing

LLAMA, SMALL = "meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-3.1-8B-Instruct"
PAIRS = (
    (LLAMA, "H100-80GB", 2, 8),
    (LLAMA, "H200-141GB", 1, 8),
    (LLAMA, "B200-192GB", 1, 8),
    (LLAMA, "L40S-48GB", 4, 8),
    (LLAMA, "MI300X-192GB", 1, 8),
    ("Qwen/Qwen3.5-27B", "H200-141GB", 1, None),
    ("deepseek-ai/DeepSeek-V4-Flash", "H200-141GB", 2, None),
    ("google/gemma-4-31B-it", "H100-80GB", 1, None),
    ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "H100-80GB", 4, None),
    (SMALL, "A100-80GB", 1, None),
    (SMALL, "L4-24GB", 1, None),
    ("BAAI/bge-m3", "L4-24GB", 1, None),
)
TARGET = LatencyTarget(2.0, 0.1, 0.95)


def row(model: str, gpu: str, gpus: int, bits: int | None) -> str:
    """Return one row of the table."""
    asked = WhatIfRequest(model=model, gpu=gpu, tensor_parallel_size=gpus, weight_bits=bits, concurrency=32)
    name = f"| {model.rpartition('/')[2]} | {gpus} x {gpu} |"
    try:
        scenario = asked.scenario(TARGET, None, {}, packaged())
        result, times = whatif(scenario), timing(scenario)
        loaded = in_flight(scenario)
    except ValueError as error:
        return f"{name} rejected: {str(error).partition(';')[0]} | | | |"
    source = "operators" if "measured operators of" in times.steps[0] else "roofline"
    requests = "-" if result is None else f"{result.memory.requests:,}"
    rate = "none at the slow end" if result is None else "{:.1f} to {:.1f}".format(*result.max_requests_per_second)
    tokens = "does not fit" if not loaded else "{:,.0f} to {:,.0f}".format(*loaded[0].output_tokens_per_second)
    return f"{name} {source}, {scenario.hardware.weight_bits if scenario.hardware else '-'} bits | {requests} | {rate} | {tokens} |"


if __name__ == "__main__":
    print(
        "| Model | Replica | Step times | Requests in memory | Requests/s at 2000/100 | Output tokens/s, 32 in flight | Processor seconds |\n"
        + "|---" * 7
        + "|"
    )
    for pair in PAIRS:
        began = time.process_time()
        text = row(*pair)
        print(f"{text} {time.process_time() - began:.1f} |", flush=True)
