"""What-if of a pool's own replica: its fitted step times, and the KV cache that its engine reports, as they are or on other hardware.

What is not known is not guessed: bits of weights and KV cache only where the memory's arithmetic fits just one choice of them to
what the engine reports. Other hardware has that much more or less memory, all of it for the KV cache; where the model's shape is not
on record the cache stays as reported, and the steps say so.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from plimsoll.slo.capacity.calibration.measured_replica import MeasuredReplica, sentence
from plimsoll.slo.capacity.model import memory
from plimsoll.slo.capacity.model.memory import Deployment, Fit
from plimsoll.slo.capacity.whatif.hardware_scaling import BITS, Hardware, Scaled, stretched
from plimsoll.slo.capacity.whatif.request_mix import Kind, mean_context

MEASURED = "measured"  # name of the replica in a question
CLOSE = 0.1  # by which the KV cache as reported may differ from the arithmetic: overheads and shares of memory do
UNSURE = 0.15  # median error of a fit above which its answer is a band
UTILIZATION = 0.9  # share of a GPU's memory that the engine takes (vLLM: gpu_memory_utilization)
OVERHEAD = 1e9  # bytes a GPU for activations and graphs: an assumption
KV_BYTES = 2  # of a number in the KV cache, where it is not known


class Bits(NamedTuple):
    """Bits of a weight, and bytes of a number in the KV cache; None: not known."""

    weight_bits: int | None
    kv_bytes: int | None


def bits_of(own: MeasuredReplica) -> Bits:
    """Tell how weights and KV cache are stored by how many tokens the cache holds."""
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


def _told_bits(own: MeasuredReplica) -> list[str]:
    bits, stored = bits_of(own)
    if bits is None or stored is None:
        return []
    return [
        f"stored: weights of {bits} bits and a cache of {8 * stored}, as only these leave room for about so many tokens"
    ]


def hardware_of(own: MeasuredReplica) -> Hardware:
    """Return what the replica runs on; raises ValueError for a number of GPUs that tensor parallelism does not have."""
    return Hardware(own.gpu, own.gpus, bits_of(own).weight_bits)


def timing(own: MeasuredReplica, target: Hardware) -> Scaled:
    """Return the replica's step models on that hardware; raises ValueError for what cannot be told."""
    if own.step_times.data_parallel_size > 1:
        raise ValueError(
            f"replica {MEASURED!r}: its replicas have {own.step_times.data_parallel_size} data-parallel ranks, which what-if does not know yet"
        )
    fit, on = own.step_times, hardware_of(own)
    said = [f"fitted: {sentence(fit)}"]
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
        said.append(
            f"unsure: the fit's median error is {fit.median_relative_error:.0%}, so both that much faster and slower is simulated"
        )
    return Scaled(models, found.measured, (*found.steps, *said))


def room(own: MeasuredReplica, target: Hardware, kv_bytes: int | None, context: int, shared: int) -> Fit:
    """Work out the KV cache on that hardware, numbers of it stored in so many bytes (None: as they are), from what the engine
    reports; `context` tokens a request of which `shared` are the same for all. Raises ValueError for unknown GPUs."""
    on, stored = hardware_of(own), bits_of(own).kv_bytes
    tokens, per_token = own.step_times.kv_cache_capacity_tokens, None
    said = [f"KV cache: {tokens:,} tokens, as the pool's engines report", *_told_bits(own)]
    shape = memory.shape_of(own.model)
    if shape is not None:
        per_token = memory.load(shape).kv_bytes_per_token(stored or KV_BYTES)
    if target != on:
        if shape is None or per_token is None:
            said.append(f"other hardware: taken to hold as many, as the shape of {own.model} is not on record")
        else:
            more = _usable(target) - _usable(on) - _weights(shape, target) + _weights(shape, on)
            tokens = max(0, tokens + int(more // per_token))
            said.append(
                f"other hardware: {more / memory.GIB:+,.1f} GiB for it, at {per_token:,} bytes a token: {tokens:,} tokens"
            )
    held = None if per_token is None else float(tokens * per_token)
    if kv_bytes is not None and kv_bytes != (stored or KV_BYTES):
        tokens = tokens * (stored or KV_BYTES) // kv_bytes
        taken = "" if stored else f", taken to be {8 * KV_BYTES} now"
        said.append(f"numbers of {8 * kv_bytes} bits{taken}: {tokens:,} tokens")
    requests = max(0, tokens - shared) // (context - shared)
    once = [f"shared: {shared:,} tokens are the same for all, and held once"] if shared else []
    said += [*once, f"requests at once: {requests:,} of {context:,} tokens"]
    return Fit(held, tokens, requests, tuple(said))


def beyond(own: MeasuredReplica, mix: Sequence[Kind], concurrency: tuple[float, float] | None) -> Iterator[str]:
    """Say what of a question or its answer lies outside what the fit has seen."""
    fit = own.step_times
    held = mean_context(mix)
    if not fit.context_tokens_range[0] <= held <= fit.context_tokens_range[1]:
        yield f"extrapolated: {held:,.0f} tokens a request in the KV cache; seen were {fit.context_tokens_range[0]:,.0f} to {fit.context_tokens_range[1]:,.0f}"
    longest, low_high = max(kind.prompt for kind in mix), fit.input_tokens_range
    if low_high is None:
        yield "extrapolated: no prompt was seen to be computed, so prompts are taken to cost nothing"
    elif longest > low_high[1]:
        yield f"extrapolated: prompts of {longest:,} tokens; those seen had {low_high[0]:,.0f} to {low_high[1]:,.0f} in the mean"
    if concurrency and concurrency[1] > fit.batch_size_range[1]:
        yield f"extrapolated: {concurrency[1]:,.0f} requests at a time; seen were at most {fit.batch_size_range[1]:,.0f}"


def _deployment(gpu: str, gpus: int, weight_bits: int, kv_bytes: int) -> Deployment:
    usable = memory.load_gpu(gpu).memory_bytes * UTILIZATION
    return Deployment(gpus, usable, weight_bits, kv_bytes, overhead_bytes=OVERHEAD * gpus)


def _usable(on: Hardware) -> float:
    return on.gpus * (memory.load_gpu(on.gpu).memory_bytes * UTILIZATION - OVERHEAD)


def _weights(shape: str, on: Hardware) -> float:
    """Bytes of the weights; where their bits are not known they do not change, and count nothing."""
    return 0.0 if on.weight_bits is None else memory.load(shape).weight_bytes(on.weight_bits)
