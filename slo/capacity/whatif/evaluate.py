"""What-if: another GPU, workload, or traffic level, by simulation: the throughput of a replica, nodes, and cost.

The result is a range: the same traffic is drawn several times, and what one replica serves within the latency target differs
from draw to draw; where its step times are not measured but scaled (plimsoll.slo.capacity.whatif.hardware_scaling), the fastest and the slowest that
are likely are simulated both. Arrivals are Poisson; real traffic is burstier, which a backtest on a recorded trace shows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil
from random import Random
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from plimsoll.slo.capacity.calibration.measured_replica import MeasuredReplica
from plimsoll.slo.capacity.model import memory
from plimsoll.slo.capacity.model.memory import Deployment, Fit
from plimsoll.slo.capacity.model.prices import break_even_tokens, nodes_for, packaged, usd_per_million
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.replay import Result, replay
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.step_time import StepModel
from plimsoll.slo.capacity.simulator.traces import Arrival
from plimsoll.slo.capacity.whatif import measured_scaling
from plimsoll.slo.capacity.whatif.hardware_scaling import Hardware, Scaled, scaled
from plimsoll.slo.capacity.whatif.measured_scaling import KV_BYTES, OVERHEAD, UTILIZATION
from plimsoll.slo.capacity.whatif.request_mix import Kind, drawn, mean_context, mean_prompt
from plimsoll.slo.spec.node_pricing import HOURS_PER_YEAR, OwnedHardware
from plimsoll.slo.spec.objectives import Pool

DRAWS = 3
REQUESTS = 1500  # of a draw: long enough that a replica which cannot keep up is seen to fall behind
PRECISION = 0.02  # of the rate that is searched for
BLOCK = 16  # tokens of a KV block, vLLM's default
PREFIX_BLOCKS = 64  # most blocks of a shared prefix: finer ones take longer with the same result
MONTHS = 12  # of a year


@dataclass(frozen=True, slots=True)
class Scenario:
    """A replica by name of its step model, or a pool's `measured_replica`, the requests that come, the latency target, and the request rate.

    `rate` is requests per second; `hardware` is the hardware of the replica (default: that of its name); `prefix_cache_hit_ratio` (0 to below 1)
    is the share of each prompt that is the same for all requests of its kind, as a system prompt, and is found in the prefix
    cache; `usd_per_gpu_hour` (low, high) replaces the rental prices on record; `api_usd_per_million_tokens` is what an API asks for
    tokens like these; `owned` is what makes up that price of a node, where it was bought.
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


Range = tuple[float, float]
Nodes = tuple[int, int]


class ScenarioResult(BaseModel):
    """Result of the simulation. Ranges are [low, high]."""

    model_config = ConfigDict(frozen=True)
    memory: Fit = Field(description="KV cache of one replica: bytes, tokens, and requests that it holds.")
    step_times_measured: bool = Field(
        description="Whether step times are measured; else they are scaled, within a range."
    )
    max_requests_per_second: Range = Field(description="Of one replica within the latency target.")
    concurrent_requests: Range = Field(description="Mean requests in the replica at that rate.")
    nodes: Nodes = Field(description="For the request rate, of one replica each.")
    nodes_with_redundancy: Nodes = Field(description="The same, so that one node can be lost.")
    usd_per_hour: Range
    usd_per_million_tokens: Range = Field(description="Input and output tokens of the request rate.")
    break_even_tokens_per_month: Range | None = Field(
        description="Tokens per month from which the nodes cost less than the API; null: no API was named."
    )


class _Found(NamedTuple):
    rate: float
    concurrency: float


def hardware_in(scenario: Scenario) -> Hardware:
    """Return the hardware that is asked about; raises ValueError for an unknown name."""
    if scenario.hardware is not None:
        return scenario.hardware
    return (
        hardware_of(scenario.replica)
        if scenario.measured_replica is None
        else measured_scaling.hardware_of(scenario.measured_replica)
    )


def hardware_of(name: str) -> Hardware:
    """Return the hardware of a named replica. Raises ValueError that lists the known names."""
    known = step_time.replica(name)
    return Hardware(known.gpu, known.gpus, int(known.weight_bits))


def arithmetic(scenario: Scenario) -> list[str]:
    """Show step by step what fits into the replica's memory, and where its step times are from. Raises ValueError for unknown names."""
    on = hardware_in(scenario)
    bought = [] if scenario.owned is None else [_components(scenario.owned)]
    return [*_room(scenario, on).steps, *_timing(scenario, on).steps, *_batch(scenario), *bought]


def _timing(scenario: Scenario, on: Hardware) -> Scaled:
    return (
        scaled(scenario.replica, on)
        if scenario.measured_replica is None
        else measured_scaling.timing(scenario.measured_replica, on)
    )


def _batch(scenario: Scenario) -> list[str]:
    """Return the assumptions about a pool's own replica that no engine reports."""
    if scenario.measured_replica is None:
        return []
    most = scenario.measured_replica.step_times.max_observed_batch
    return [f"largest batch: {scenario.max_num_seqs} (assumed; engines do not report it); observed: {most}"]


def _components(owned: OwnedHardware) -> str:
    parts = owned.usd_per_year()
    total = parts.pop("total")
    parts_text = " + ".join(f"{name} {usd:,.0f}" for name, usd in parts.items())
    return f"price of a node: {parts_text} = {total:,.0f} USD/year, {owned.usd_per_hour:,.2f} USD/h"


def whatif(scenario: Scenario) -> ScenarioResult | None:
    """ScenarioResult; None where no request at all fits the replica or meets the latency target. Raises ValueError for unknown names."""
    on = hardware_in(scenario)
    timing, room = _timing(scenario, on), _room(scenario, on)
    largest = max(kind.prompt + kind.output for kind in scenario.mix)
    if room.requests < 1 or room.tokens < largest:
        return None
    common = max(_shared(kind, scenario.prefix_cache_hit_ratio) for kind in scenario.mix)
    prefix_block = BLOCK * ceil(common / BLOCK / PREFIX_BLOCKS)
    budget = max(8192, scenario.max_num_seqs)
    limits = Limits(room.tokens // BLOCK, BLOCK, scenario.max_num_seqs, budget, prefix_block)
    found = sorted(_max_rate(scenario, model, limits, seed) for model in timing.models for seed in range(DRAWS))
    if found[0].rate == 0:
        return None
    most, fewest = (nodes_for(scenario.rate, end.rate) for end in (found[0], found[-1]))
    tokens = scenario.rate * mean_context(scenario.mix)
    low, high = scenario.usd_per_gpu_hour or packaged().gpus[on.gpu].usd_per_hour
    hourly = (fewest * on.gpus * low, most * on.gpus * high)
    in_it = sorted(end.concurrency for end in found)
    usd = scenario.api_usd_per_million_tokens
    return ScenarioResult(
        memory=room,
        step_times_measured=timing.measured,
        max_requests_per_second=(found[0].rate, found[-1].rate),
        concurrent_requests=(in_it[0], in_it[-1]),
        nodes=(fewest, most),
        nodes_with_redundancy=(fewest + 1, most + 1),
        usd_per_hour=hourly,
        usd_per_million_tokens=(usd_per_million(hourly[0], tokens), usd_per_million(hourly[1], tokens)),
        break_even_tokens_per_month=None if usd is None else _break_even(hourly, usd),
    )


def _break_even(hourly: tuple[float, float], api_usd_per_million_tokens: float) -> tuple[float, float]:
    """Tokens a month from which nodes that are paid around the clock undercut an API."""
    low, high = (break_even_tokens(usd * HOURS_PER_YEAR, api_usd_per_million_tokens) / MONTHS for usd in hourly)
    return low, high


def _room(scenario: Scenario, on: Hardware) -> Fit:
    shared = int(mean_prompt(scenario.mix) * scenario.prefix_cache_hit_ratio) // BLOCK * BLOCK
    context = round(mean_context(scenario.mix))
    if scenario.measured_replica is not None:
        return measured_scaling.room(scenario.measured_replica, on, scenario.kv_value_bytes, context, shared)
    known = step_time.replica(scenario.replica)
    deployment = Deployment(
        *(on.gpus, memory.load_gpu(on.gpu).memory_bytes * UTILIZATION),
        *(on.weight_bits or known.weight_bits, scenario.kv_value_bytes or KV_BYTES),
        overhead_bytes=OVERHEAD * on.gpus,
    )
    return memory.fit(memory.load(known.shape), deployment, context, shared)


def gpu_price(pool: Pool, gpu: str) -> tuple[float, float] | None:
    """Return the price of a GPU of the pool in USD per hour, if it is of that type; None: use the bundled rental prices."""
    usd = pool.node.hourly_usd / pool.node.gpus
    return (usd, usd) if gpu == pool.node.gpu and usd else None


def _max_rate(scenario: Scenario, model: StepModel, limits: Limits, seed: int) -> _Found:
    """Search for the highest rate at which one replica meets the latency target; 0 where it cannot even for lone requests."""
    best = _Found(0.0, 0.0)

    def keeps(rate: float) -> bool:
        nonlocal best
        result = replay(list(_arrivals(scenario, limits, rate, seed)), 1, model, limits)
        met = result.goodput(scenario.target.ttft, scenario.target.tpot) >= scenario.target.target
        if met:
            best = max(best, _Found(rate, _concurrency(result)))
        return met

    alone = 1 / sum(kind.share * _seconds_alone(model, kind) for kind in scenario.mix)
    low, high = 0.0, alone
    while keeps(high):
        low, high = high, 2 * high
    if low == 0.0:  # what one after the other would take is too much: look below, down to next to nothing
        low = alone / 64
        if not keeps(low):
            return best
    while high - low > PRECISION * low:
        middle = (low + high) / 2
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return best


def _seconds_alone(model: StepModel, kind: Kind) -> float:
    return model.prefill(kind.prompt) + kind.output * model.decode(1, kind.prompt + kind.output)


def _concurrency(result: Result) -> float:
    """Mean number of requests in the replica, waiting ones too, from the first arrival to the last end."""
    spans = [(request.arrival, request.finished) for request in result.requests if request.finished is not None]
    whole = max(end for _, end in spans) - spans[0][0]
    return sum(end - begin for begin, end in spans) / whole


def _arrivals(scenario: Scenario, limits: Limits, rate: float, seed: int) -> Iterator[Arrival]:
    """Draw the same exponential gaps and requests for every rate, the gaps only shorter or longer, so that more traffic is never
    easier by chance."""
    random = Random(seed)  # noqa: S311 - a simulation
    gaps = (random.expovariate(1.0) / rate for _ in range(REQUESTS))
    kinds: Sequence[int] = drawn(scenario.mix, REQUESTS, seed)
    for at, number in zip(accumulate(gaps), kinds, strict=True):
        kind = scenario.mix[number]
        shared = _shared(kind, scenario.prefix_cache_hit_ratio) // limits.prefix_block if limits.prefix_block else 0
        # Blocks are the same for all requests of a kind: numbered by it.
        prefix = tuple(range(number * PREFIX_BLOCKS, number * PREFIX_BLOCKS + shared))
        yield Arrival(at, kind.prompt, kind.output, prefix)


def _shared(kind: Kind, hit: float) -> int:
    """Tokens at a prompt's beginning that its kind has in common."""
    return int(kind.prompt * hit)
