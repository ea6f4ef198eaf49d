"""What-if of a pool's own replica: its fitted step times and reported KV cache, on its own or other hardware.

Unknown values are not guessed. The bits of weights and KV cache are known only if exactly one combination fits the reported cache
size. The difference in memory on other hardware goes to the KV cache. If the shape of the model is unknown, the cache
stays as reported, and the steps state so.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from plimsoll.slo.capacity.calibration.measured_replica import MeasuredReplica, sentence
from plimsoll.slo.capacity.model import memory
from plimsoll.slo.capacity.model.hardware import BITS, Hardware
from plimsoll.slo.capacity.model.memory import Deployment, Fit
from plimsoll.slo.capacity.simulator.step_time import Scaled
from plimsoll.slo.capacity.whatif.hardware_scaling import stretched
from plimsoll.slo.capacity.whatif.request_mix import Kind, mean_context

MEASURED = "measured"  # name of the replica in a request
CLOSE = 0.1  # relative tolerance between reported and computed KV cache size
UNSURE = 0.15  # median relative error of a fit above which the result is a range
UTILIZATION = 0.9  # of a GPU's memory, 0 to 1 (vLLM: gpu_memory_utilization)
OVERHEAD = 1e9  # bytes per GPU for activations and CUDA graphs: an assumption
KV_BYTES = 2  # bytes per value in the KV cache, if unknown


class Bits(NamedTuple):
    """Bits per weight, and bytes per value in the KV cache; None: unknown."""

    weight_bits: int | None
    kv_bytes: int | None


def bits_of(own: MeasuredReplica) -> Bits:
    """Infer the storage of weights and KV cache from the number of tokens that the cache holds."""
    shape = memory.shape_of(own.model)
    if shape is None or own.gpu not in memory.gpus():
        return Bits(None, None)
    model = memory.load(shape)
    likely = [
        Bits(bits, kv_bytes)
        for bits, kv_bytes in product(BITS, (1, KV_BYTES))
        if abs(
            memory.fit(model, _deployment(own.gpu, own.gpus, bits, kv_bytes), 1).tokens
            / own.step_times.kv_cache_capacity_tokens
            - 1
        )
        <= CLOSE
    ]
    return likely[0] if len(likely) == 1 else Bits(None, None)


def _bits_text(own: MeasuredReplica) -> list[str]:
    bits, stored = bits_of(own)
    if bits is None or stored is None:
        return []
    return [
        f"stored: weights of {bits} bits and a KV cache of {8 * stored} bits; only these fit the reported cache size"
    ]


def hardware_of(own: MeasuredReplica) -> Hardware:
    """Return the hardware of the replica. Raises ValueError for a number of GPUs that tensor parallelism does not support."""
    return Hardware(own.gpu, own.gpus, bits_of(own).weight_bits)


def timing(own: MeasuredReplica, target: Hardware) -> Scaled:
    """Return the replica's step models on `target`. Raises ValueError for data-parallel replicas and unknown hardware."""
    if own.step_times.data_parallel_size > 1:
        raise ValueError(
            f"replica {MEASURED!r}: its replicas have {own.step_times.data_parallel_size} data-parallel ranks, which what-if does not support yet"
        )
    fit, on = own.step_times, hardware_of(own)
    steps = [f"fitted: {sentence(fit)}"]
    if target == on:
        found = Scaled((fit.model,), True, ("step times: the pool's own",))
    else:
        found = stretched(fit.model, on, target, "the pool's own")
    models = found.models
    if fit.median_relative_error > UNSURE:
        models = (
            models[0].times(1 - min(fit.median_relative_error, 0.9)),
            models[-1].times(1 + fit.median_relative_error),
        )
        steps.append(
            f"uncertain: the fit's median error is {fit.median_relative_error:.0%}; both that much faster and slower are simulated"
        )
    return Scaled(models, found.measured, (*found.steps, *steps))


def room(own: MeasuredReplica, target: Hardware, kv_bytes: int | None, context: int, shared: int) -> Fit:
    """Return the KV cache on `target`, computed from the size that the engine reports.

    `kv_bytes` is the bytes per value (None: unchanged). A request has `context` tokens; `shared` of them are common to all requests.
    Raises ValueError for unknown GPUs.
    """
    on, stored = hardware_of(own), bits_of(own).kv_bytes
    tokens, per_token = own.step_times.kv_cache_capacity_tokens, None
    steps = [f"KV cache: {tokens:,} tokens, as reported by the pool's engines", *_bits_text(own)]
    shape = memory.shape_of(own.model)
    if shape is not None:
        per_token = memory.load(shape).kv_bytes_per_token(stored or KV_BYTES)
    if target != on:
        if shape is None or per_token is None:
            steps.append(f"other hardware: the same number of tokens is assumed; the shape of {own.model} is unknown")
        else:
            more = _usable(target) - _usable(on) - _weights(shape, target) + _weights(shape, on)
            tokens = max(0, tokens + int(more // per_token))
            steps.append(
                f"other hardware: {more / memory.GIB:+,.1f} GiB for the KV cache, {per_token:,} bytes per token: {tokens:,} tokens"
            )
    held = None if per_token is None else float(tokens * per_token)
    if kv_bytes is not None and kv_bytes != (stored or KV_BYTES):
        tokens = tokens * (stored or KV_BYTES) // kv_bytes
        assumed = "" if stored else f" (assumed {8 * KV_BYTES} bits now)"
        steps.append(f"KV cache of {8 * kv_bytes} bits{assumed}: {tokens:,} tokens")
    requests = max(0, tokens - shared) // (context - shared)
    once = [f"shared: {shared:,} tokens are common to all requests and held once"] if shared else []
    steps += [*once, f"concurrent requests: {requests:,} of {context:,} tokens"]
    return Fit(held, tokens, requests, tuple(steps))


def beyond(own: MeasuredReplica, mix: Sequence[Kind], concurrency: tuple[float, float] | None) -> Iterator[str]:
    """Yield the parts of a request or its result outside the range of the fit."""
    fit = own.step_times
    held = mean_context(mix)
    if not fit.context_tokens_range[0] <= held <= fit.context_tokens_range[1]:
        yield f"extrapolated: {held:,.0f} tokens per request in the KV cache; the fit covers {fit.context_tokens_range[0]:,.0f} to {fit.context_tokens_range[1]:,.0f}"
    longest, low_high = max(kind.prompt for kind in mix), fit.input_tokens_range
    if low_high is None:
        yield "extrapolated: no prompt was computed during the fit; prompts are assumed to take no time"
    elif longest > low_high[1]:
        yield f"extrapolated: prompts of {longest:,} tokens; the fit covers means of {low_high[0]:,.0f} to {low_high[1]:,.0f}"
    if concurrency and concurrency[1] > fit.batch_size_range[1]:
        yield f"extrapolated: {concurrency[1]:,.0f} concurrent requests; the fit covers at most {fit.batch_size_range[1]:,.0f}"


def _deployment(gpu: str, gpus: int, weight_bits: int, kv_bytes: int) -> Deployment:
    usable = memory.load_gpu(gpu).memory_bytes * UTILIZATION
    return Deployment(gpus, usable, weight_bits, kv_bytes, overhead_bytes=OVERHEAD * gpus)


def _usable(on: Hardware) -> float:
    return on.gpus * (memory.load_gpu(on.gpu).memory_bytes * UTILIZATION - OVERHEAD)


def _weights(shape: str, on: Hardware) -> float:
    """Return the bytes of the weights; 0 if their bits are unknown, as they then do not change."""
    return 0.0 if on.weight_bits is None else memory.load(shape).weight_bytes(on.weight_bits)
