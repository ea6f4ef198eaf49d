"""A replica that is planned: any model on any GPU, with step times within a band and the memory that it leaves to requests.

Measured operators come first; without them, the roofline, whose band is wide. The bands hold published measurements of whole servers
(tests/fixtures/published_serving.csv): they were set by those marked `fitted`, and `checked` ones are compared with them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from plimsoll.slo.capacity.model import memory
from plimsoll.slo.capacity.model.hardware import BITS, Hardware
from plimsoll.slo.capacity.model.memory import BITS_PER_BYTE, Fit
from plimsoll.slo.capacity.planner import architecture, checkpoints, operators, roofline
from plimsoll.slo.capacity.planner.architecture import Architecture
from plimsoll.slo.capacity.planner.operators import ONE_RANK, Deployed, NoOperators, Ranks
from plimsoll.slo.capacity.planner.step_fit import Fitted, fitted
from plimsoll.slo.capacity.simulator.step_time import Scaled

Band = tuple[float, float]
# Factors on step times, fastest and slowest, that hold the fitted points. SGLang: there are none, so the ends of both others.
OPERATORS: Mapping[str, Band] = {"vllm": (0.85, 1.15), "sglang": (0.83, 1.15), "trtllm": (0.83, 1.15)}
ROOFLINE: Band = (0.7, 1.7)
NOT_COMPARED: Band = (0.7, 2.2)  # GPUs of which there are no measured operators to compare the roofline with
USUAL_ERROR = 0.04  # of a fit, which the bands include; that of models with experts is larger
PUBLISHED = "by published measurements of servers"
COMPARED = "wide, by the difference of measured operators from rooflines"
UTILIZATION = 0.9  # of a GPU's memory, 0 to 1 (vLLM: gpu_memory_utilization)
OVERHEAD = 2e9  # bytes per GPU for activations and CUDA graphs where nothing was measured: an assumption
BATCHED_TOKENS = 8192
HOST_LINKED = (
    64e9  # bytes per second up to which GPUs are linked through the host, whose layout decides what an all-reduce takes
)


@dataclass(frozen=True, slots=True)
class PlannedReplica:
    """A model by name, its configuration (a name that comes with the operators, or the text of a config.json), where it runs (one of its
    `ranks`), its engine, and how its bits were chosen."""

    model: str
    config: str
    hardware: Hardware
    engine: str
    bits_from: str
    sizes: Architecture | None
    ranks: Ranks = ONE_RANK

    def on(self, hardware: Hardware) -> "PlannedReplica":
        """Return it on other hardware; without bits, its own stay."""
        bits = hardware.weight_bits or self.hardware.weight_bits
        return replace(self, hardware=replace(hardware, weight_bits=bits))

    def deployed(self, kv_bytes: int) -> Deployed:
        """Return it as measured operators are asked for it. Without experts, ranks share nothing."""
        on = self.hardware
        bits = None if on.weight_bits == _bits_of_config(self.config) else on.weight_bits
        return Deployed(self.config, on.gpu, on.gpus, self.engine, bits, BITS_PER_BYTE * kv_bytes, self.together)

    @property
    def together(self) -> Ranks:
        """Its ranks where they exchange tokens, as experts are dealt over all of them."""
        return self.ranks if operators.has_experts(self.config) else ONE_RANK


def plan(model: str, gpu: str, gpus: int, bits: int | None, engine: str, config: str | None = None) -> PlannedReplica:
    """Return the planned replica of a model. `config` is the text of its config.json; without it, one that comes with the measured
    operators is found by name. `bits` None: those of the name, or of the checkpoint.

    Raises ValueError for a model that makes no tokens, of which nothing is known, or on GPUs that are not on record.
    """
    parsed = None if config is None else _parsed(config)
    if architecture.embeds(model, parsed):
        raise ValueError(
            f"model {model!r}: makes embeddings or scores and generates no tokens, so it has no time to first or per output token; "
            "size it by the requests per second that one replica was measured to serve"
        )
    if gpu not in memory.gpus():
        raise ValueError(f"gpu {gpu!r}: is not on record; known are {', '.join(memory.gpus())}")
    known = config if config is not None else _known(model)
    sizes = _sizes(known)
    own = _bits(known, model)
    named = checkpoints.named_bits(model)
    chosen = f"bits of a weight: {bits or own}"
    source = "as asked" if bits else "by the model's name" if named else "by its configuration"
    return PlannedReplica(model, known, Hardware(gpu, gpus, bits or own), engine, f"{chosen}, {source}", sizes)


def narrowed(planned: PlannedReplica, kv_bytes: int) -> PlannedReplica:
    """Return a replica that is known to run, with the most bits of a weight with which it fits into its memory."""
    for bits in sorted((one for one in BITS if one <= (planned.hardware.weight_bits or 0)), reverse=True):
        other = planned.on(replace(planned.hardware, weight_bits=bits))
        if room(other, kv_bytes, 1, 0).tokens:
            if bits == planned.hardware.weight_bits:
                return planned
            text = f"bits of a weight: {bits}, as more do not fit into {other.hardware.gpus} x {other.hardware.gpu}, on which the pool runs"
            return replace(other, bits_from=text)
    return planned


def timing(planned: PlannedReplica, kv_bytes: int, kind: tuple[int, int], largest_batch: int) -> Scaled:
    """Return its step models from the fastest to the slowest that is likely, for requests of `kind`: tokens in and out. Raises
    ValueError where neither operators nor sizes are known."""
    prompt, output = kind
    contexts = sorted({max(1, prompt), prompt + max(1, output // 2), prompt + output})
    on, gpu = planned.hardware, memory.load_gpu(planned.hardware.gpu)
    if gpu.operations_per_second.get(on.weight_bits or 0) is None:
        raise ValueError(f"weight_bits {on.weight_bits}: not on record for {on.gpu}")
    line = None
    if planned.sizes is not None:
        step = roofline.step(planned.sizes, gpu, on.gpus, on.weight_bits or 16, kv_bytes)
        line = fitted(step, contexts, largest_batch)
    try:
        measured = fitted(operators.step(planned.deployed(kv_bytes), prompt, output), contexts, largest_batch)
    except NoOperators as error:
        _reject_ranks(planned, error)
        if line is None:
            raise ValueError(f"model {planned.model!r}: {error}, and its sizes are not known") from error
        why = f"a roofline of {planned.model} on {on.gpus} x {on.gpu}, as there are no measured operators: {error}"
        band, by = (
            (ROOFLINE, COMPARED) if gpu.system else (NOT_COMPARED, "wide, as nothing measured on this GPU was compared")
        )
        return _band(line, line, band, why, by)
    source = f"measured operators of {planned.model} on {on.gpus} x {on.gpu} ({operators.source()}, {planned.engine})"
    if planned.together != ONE_RANK:
        return _band(
            measured, measured, ROOFLINE, source, "wide, as nothing published over data-parallel ranks was compared"
        )
    low, high = OPERATORS[planned.engine]
    if on.gpus > 1 and gpu.link_bytes_per_second <= HOST_LINKED and line is not None:
        source += "; GPUs linked through the host: how fast they exchange differs from host to host, so the fast end is the roofline's"
        return _band(_faster(line, measured), measured, (low, high), source)
    return _band(measured, measured, (low, high), source)


def room(planned: PlannedReplica, kv_bytes: int, context: int, shared: int, max_num_seqs: int = 256) -> Fit:
    """Return the KV cache of the replica, step by step, and the requests of `context` tokens that it holds; `shared` of these are
    common to all. Raises ValueError where what a request keeps is not known."""
    on = planned.hardware
    try:
        found = operators.room(planned.deployed(kv_bytes), UTILIZATION, BATCHED_TOKENS, max_num_seqs)
        left, tokens = on.gpus * found.kv_cache, found.tokens
        steps = _measured_steps(on, found)
    except NoOperators as error:
        _reject_ranks(planned, error)
        if planned.sizes is None:
            raise ValueError(f"model {planned.model!r}: {error}") from error
        left, tokens, steps = _computed(planned, planned.sizes)
    per_request = None if planned.sizes is None else planned.sizes.of_request(context, kv_bytes, on.gpus)
    if planned.sizes is None or per_request is None or planned.sizes.caches is None:
        if not tokens:
            raise ValueError(f"model {planned.model!r}: what its requests keep in GPU memory is not known")
        requests = max(0, tokens - shared) // (context - shared)
        steps.append(f"tokens: {tokens:,} by {operators.source()}, as the kind of cache is its own")
    else:
        once = planned.sizes.of_request(shared, kv_bytes, on.gpus) or 0.0 if shared else 0.0
        requests = max(0, int((left - once) // max(1.0, per_request - once)))
        tokens = max(0, int(left / per_request * context))
        steps += [one.step(kv_bytes, on.gpus) for one in planned.sizes.caches]
        steps.append(f"a request of {context:,} tokens: {_gib(per_request)}")
    if shared:
        steps.append(f"shared: {shared:,} of these tokens are the same for all, and held once")
    steps.append(f"concurrent requests: {requests:,} ({tokens:,} tokens)")
    return Fit(left, tokens, requests, tuple(steps))


def _reject_ranks(planned: PlannedReplica, error: NoOperators) -> None:
    """Raise ValueError where ranks exchange tokens: a roofline doesn't know how long that takes."""
    if ONE_RANK not in (planned.ranks, planned.together):
        raise ValueError(
            f"data_parallel_size {planned.ranks.size}: experts over several ranks need measured operators: {error}"
        ) from error


def kv_bytes(planned: PlannedReplica, value_bytes: int, tokens: int) -> float:
    """Return the bytes that a prompt of `tokens` tokens has in the KV cache, once. Raises ValueError where that is not known."""
    found = None if planned.sizes is None else planned.sizes.of_request(tokens, value_bytes, 1)
    if found is not None:
        return found
    try:
        room = operators.room(planned.deployed(value_bytes), UTILIZATION, BATCHED_TOKENS, 256)
    except NoOperators as error:
        raise ValueError(
            f"model {planned.model!r}: what a token takes in its KV cache is not known: {error}"
        ) from error
    return room.bytes_per_token * tokens * planned.hardware.gpus


def _measured_steps(on: Hardware, found: operators.Memory) -> list[str]:
    return [
        f"memory: {on.gpus} x {_gib(found.gpu)} x {UTILIZATION:g} = {_gib(on.gpus * found.gpu * UTILIZATION)}",
        f"weights: {on.gpus} x {_gib(found.weights)} = {_gib(on.gpus * found.weights)}",
        f"activations, runtime, communication: {on.gpus} x {_gib(found.other)} = {_gib(on.gpus * found.other)}",
        f"KV cache: {_gib(on.gpus * found.kv_cache)}",
    ]


def _computed(planned: PlannedReplica, sizes: Architecture) -> tuple[float, int, list[str]]:
    on, gpu = planned.hardware, memory.load_gpu(planned.hardware.gpu)
    usable = on.gpus * gpu.memory_bytes * UTILIZATION
    weights = sizes.parameters * (on.weight_bits or 16) / BITS_PER_BYTE
    left = usable - weights - on.gpus * OVERHEAD
    missing = f"none, {_gib(-left)} are missing for weights and overhead" if left <= 0 else _gib(left)
    steps = [
        f"memory: {on.gpus} x {_gib(gpu.memory_bytes)} x {UTILIZATION:g} = {_gib(usable)}",
        f"weights: {sizes.parameters:,.0f} x {on.weight_bits} bits = {_gib(weights)}",
        f"overhead: {on.gpus} x {_gib(OVERHEAD)} (assumed)",
        f"KV cache: {missing}",
    ]
    return max(0.0, left), 0, steps


def _band(fast: Fitted, slow: Fitted, band: Band, source: str, by: str = PUBLISHED) -> Scaled:
    low = band[0] * (1 - max(0.0, fast.error - USUAL_ERROR))
    high = band[1] * (1 + max(0.0, slow.error - USUAL_ERROR))
    steps = (
        f"step times: {source}",
        f"band: {low:.2f} to {high:.2f} times as long, {by}",
    )
    return Scaled((fast.model.times(low), slow.model.times(high)), False, steps)


def _faster(one: Fitted, other: Fitted) -> Fitted:
    return min(
        one, other, key=lambda found: found.model.prefill(BATCHED_TOKENS) + found.model.decode(64, BATCHED_TOKENS)
    )


def _known(model: str) -> str:
    found = checkpoints.find(model, operators.configurations())
    if found is None:
        raise ValueError(
            f"model {model!r}: its shape is not known to {operators.source()}; give its config.json (`plimsoll whatif --model-config FILE`)"
        )
    return found.config


def _parsed(config: str) -> Mapping[str, Any]:
    try:
        found = json.loads(config)
    except ValueError as error:
        raise ValueError(f"config_json: not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError("config_json: expected an object, the model's config.json")
    return found


def _sizes(known: str) -> Architecture | None:
    """Sizes by a configuration; None where its layers are of kinds that only measured operators know."""
    if known.lstrip().startswith("{"):
        return architecture.read(_parsed(known))
    try:
        return architecture.read(operators.configurations()[known])
    except ValueError:
        return None


def _bits(known: str, model: str) -> int:
    """Bits of a weight of the checkpoint: by its name, else by its configuration unless that is of another precision."""
    if named := checkpoints.named_bits(model):
        return named
    of_other = checkpoints.named_bits(known) and known.lower() != model.lower() and not known.lstrip().startswith("{")
    return 16 if of_other else _bits_of_config(known)


def _bits_of_config(known: str) -> int:
    if known.lstrip().startswith("{"):
        return architecture.bits(_parsed(known))
    return checkpoints.named_bits(known) or architecture.bits(operators.configurations()[known])


def _gib(size: float) -> str:
    return f"{size / memory.GIB:,.2f} GiB"
