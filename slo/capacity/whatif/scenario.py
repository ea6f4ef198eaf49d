"""What is asked: a replica, the requests that come, the latency target, and the request rate; and what follows without simulation."""

from dataclasses import dataclass
from math import ceil

from plimsoll.slo.capacity.calibration.measured_replica import MeasuredReplica
from plimsoll.slo.capacity.model import memory
from plimsoll.slo.capacity.model.hardware import Hardware
from plimsoll.slo.capacity.model.memory import Deployment, Fit
from plimsoll.slo.capacity.planner import planned_replica
from plimsoll.slo.capacity.planner.operators import ONE_RANK
from plimsoll.slo.capacity.planner.planned_replica import PlannedReplica
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.step_time import Scaled
from plimsoll.slo.capacity.whatif import measured_scaling
from plimsoll.slo.capacity.whatif.hardware_scaling import scaled
from plimsoll.slo.capacity.whatif.measured_scaling import KV_BYTES, OVERHEAD, UTILIZATION
from plimsoll.slo.capacity.whatif.request_mix import Kind, mean_context, mean_output, mean_prompt
from plimsoll.slo.spec.node_pricing import OwnedHardware

BLOCK = 16  # tokens of a KV block, vLLM's default
CONCURRENCIES = (1, 16, 64)
NODE_GPUS = 8  # of a node, where the pool doesn't state it


@dataclass(frozen=True, slots=True)
class Scenario:
    """A replica by name of its step model, a pool's `measured_replica` or a `planned` one, the requests that come, the latency target,
    and the request rate.

    `rate` is requests per second; `hardware` is the hardware of the replica (default: its own); `prefix_cache_hit_ratio` (0 to below 1)
    is the share of each prompt that is the same for all requests of its kind, as a system prompt, and is found in the prefix
    cache; `usd_per_gpu_hour` (low, high) replaces the rental prices on record; `api_usd_per_million_tokens` is what an API asks for
    tokens like these; `owned` is what makes up that price of a node, where it was bought; `concurrencies` are numbers of requests
    in flight whose throughput and latencies are asked; `kv_transfer_bytes_per_second` is what a link between replicas carries (None: each
    does prefill and decode); `node_gpus` are those of a node, over several of which a larger replica spreads.
    """

    replica: str
    mix: tuple[Kind, ...]
    target: LatencyTarget
    rate: float
    max_num_seqs: int = 256
    kv_value_bytes: int | None = 2  # None: as the pool's own has it
    usd_per_gpu_hour: tuple[float, float] | None = None
    hardware: Hardware | None = None
    prefix_cache_hit_ratio: float = 0.0
    api_usd_per_million_tokens: float | None = None
    owned: OwnedHardware | None = None
    measured_replica: MeasuredReplica | None = None
    planned: PlannedReplica | None = None
    concurrencies: tuple[int, ...] = CONCURRENCIES
    kv_transfer_bytes_per_second: float | None = None
    node_gpus: int = NODE_GPUS

    @property
    def kv_bytes(self) -> int:
        """Bytes of a number in the KV cache; where they are the pool's own and not known, as usual."""
        return self.kv_value_bytes or KV_BYTES


def hardware_in(scenario: Scenario) -> Hardware:
    """Return the hardware that is asked about; raises ValueError for an unknown name."""
    if scenario.hardware is not None:
        return scenario.hardware
    if scenario.planned is not None:
        return scenario.planned.hardware
    if scenario.measured_replica is not None:
        return measured_scaling.hardware_of(scenario.measured_replica)
    return hardware_of(scenario.replica)


def ranks_in(scenario: Scenario) -> int:
    """Return the data-parallel ranks of a replica."""
    return 1 if scenario.planned is None else scenario.planned.ranks.size


def gpus_in(scenario: Scenario) -> int:
    """Return the GPUs of a replica, those of all its ranks."""
    return hardware_in(scenario).gpus * ranks_in(scenario)


def nodes_each(scenario: Scenario) -> int:
    """Return the nodes of one replica: a replica that fits a node has it to itself."""
    return ceil(gpus_in(scenario) / scenario.node_gpus)


def hardware_of(name: str) -> Hardware:
    """Return the hardware of a named replica. Raises ValueError that lists the known names."""
    known = step_time.replica(name)
    return Hardware(known.gpu, known.gpus, int(known.weight_bits))


def timing(scenario: Scenario) -> Scaled:
    """Return the step models on the hardware that is asked about. Raises ValueError for what is not known."""
    on = hardware_in(scenario)
    if scenario.measured_replica is not None:
        return measured_scaling.timing(scenario.measured_replica, on)
    if scenario.planned is None:
        return scaled(scenario.replica, on)
    kind = round(mean_prompt(scenario.mix)), round(mean_output(scenario.mix))
    largest = min(scenario.max_num_seqs, max(1, room(scenario).requests))
    return planned_replica.timing(scenario.planned.on(on), scenario.kv_bytes, kind, largest)


def room(scenario: Scenario) -> Fit:
    """Return the KV cache of the replica, step by step. Raises ValueError for what is not known."""
    on = hardware_in(scenario)
    shared = int(mean_prompt(scenario.mix) * scenario.prefix_cache_hit_ratio) // BLOCK * BLOCK
    context = round(mean_context(scenario.mix))
    if scenario.measured_replica is not None:
        return measured_scaling.room(scenario.measured_replica, on, scenario.kv_value_bytes, context, shared)
    if scenario.planned is not None:
        return planned_replica.room(scenario.planned.on(on), scenario.kv_bytes, context, shared, scenario.max_num_seqs)
    known = step_time.replica(scenario.replica)
    deployment = Deployment(
        *(on.gpus, memory.load_gpu(on.gpu).memory_bytes * UTILIZATION),
        *(on.weight_bits or known.weight_bits, scenario.kv_bytes),
        overhead_bytes=OVERHEAD * on.gpus,
    )
    return memory.fit(memory.load(known.shape), deployment, context, shared)


def arithmetic(scenario: Scenario) -> list[str]:
    """Show step by step what fits into the replica's memory, and where its step times are from. Raises ValueError for unknown names."""
    bought = [] if scenario.owned is None else [_components(scenario.owned)]
    chosen = [] if scenario.planned is None else [scenario.planned.bits_from]
    return [
        *chosen,
        *room(scenario).steps,
        *timing(scenario).steps,
        *_batch(scenario),
        *_ranks(scenario),
        *_transfer(scenario),
        *bought,
    ]


def _batch(scenario: Scenario) -> list[str]:
    """Return the assumptions about a pool's own replica that no engine reports."""
    if scenario.measured_replica is None:
        return []
    most = scenario.measured_replica.step_times.max_observed_batch
    return [f"largest batch: {scenario.max_num_seqs} (assumed; engines do not report it); observed: {most}"]


def _ranks(scenario: Scenario) -> list[str]:
    """Return how many GPUs and nodes a replica of several ranks has."""
    if scenario.planned is None or scenario.planned.ranks == ONE_RANK:
        return []
    ranks, each = scenario.planned.ranks, hardware_in(scenario).gpus
    experts = ", whole experts on each GPU" if ranks.whole_experts else ""
    nodes = nodes_each(scenario)
    return [
        f"data parallel: {ranks.size} ranks x {each} GPU{'s' * (each > 1)} = {gpus_in(scenario)} GPUs a replica{experts}, on {nodes} node{'s' * (nodes > 1)} of "
        f"{scenario.node_gpus} GPUs; each rank has a KV cache of its own, as above"
    ]


def _transfer(scenario: Scenario) -> list[str]:
    """Return how long a prompt's KV cache takes from a prefill to a decode replica."""
    carried = scenario.kv_transfer_bytes_per_second
    if carried is None:
        return []
    prompt, each = round(mean_prompt(scenario.mix)), kv_bytes_per_token(scenario)
    took = prompt * each / carried
    return [
        f"KV transfer: {prompt:,} tokens x {each:,.0f} bytes / {carried / memory.GB:g} GB/s = {1000 * took:,.1f} ms to first token"
    ]


def _components(owned: OwnedHardware) -> str:
    parts = owned.usd_per_year()
    total = parts.pop("total")
    parts_text = " + ".join(f"{name} {usd:,.0f}" for name, usd in parts.items())
    return f"price of a node: {parts_text} = {total:,.0f} USD/year, {owned.usd_per_hour:,.2f} USD/h"


def kv_bytes_per_token(scenario: Scenario) -> float:
    """Return the bytes of the KV cache that are sent with a token of a mean prompt. Raises ValueError where they are not known."""
    own, planned = scenario.measured_replica, scenario.planned
    if own is not None:
        shape, stored = memory.shape_of(own.model), scenario.kv_value_bytes or measured_scaling.bits_of(own).kv_bytes
        if shape is None:
            raise ValueError(f"model {own.model!r}: what a token takes in its KV cache is not known")
        return memory.load(shape).kv_bytes_per_token(stored or KV_BYTES)
    if planned is not None:
        prompt = max(1, round(mean_prompt(scenario.mix)))
        return planned_replica.kv_bytes(planned.on(hardware_in(scenario)), scenario.kv_bytes, prompt) / prompt
    return memory.load(step_time.replica(scenario.replica).shape).kv_bytes_per_token(scenario.kv_bytes)
