"""What if it were another GPU, another mix, twice the traffic: what a replica would carry, by simulation, and what that costs.

The answer is a band: the same traffic is drawn several times, and what one replica carries within the objectives differs
from draw to draw; where its step times are not measured but scaled (plimsoll.slo.capacity.whatif.hardware_scaling), the fastest and the slowest that
are likely are simulated both. Arrivals are Poisson; real traffic is burstier, which a backtest on a recorded trace shows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil
from random import Random
from typing import NamedTuple

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
PREFIX_BLOCKS = 64  # a shared beginning is cut into at most so many blocks: finer ones take longer and say the same
MONTHS = 12  # of a year


@dataclass(frozen=True, slots=True)
class Question:
    """A replica by name of its step model, or a pool's `own`, the requests that come, what is promised, and how many come.

    `rate` is requests per second; `hardware` is what the replica runs on, if not on what its name says; `prefix_hit` (0 to below 1)
    is the share of each prompt that is the same for all requests of its kind, as a system prompt, and is found in the prefix
    cache; `usd_per_gpu_hour` (low, high) replaces the rental prices on record; `api_usd_per_million` is what an API asks for
    tokens like these; `owned` is what makes up that price of a node, where it was bought.
    """

    replica: str
    mix: tuple[Kind, ...]
    promise: LatencyTarget
    rate: float
    max_num_seqs: int = 256
    kv_value_bytes: int | None = 2  # None: as the pool's own has it
    usd_per_gpu_hour: tuple[float, float] | None = None
    hardware: Hardware | None = None
    prefix_hit: float = 0.0
    api_usd_per_million: float | None = None
    owned: OwnedHardware | None = None
    own: MeasuredReplica | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Bands are (low, high). `carries` is requests per second of one replica within the promise, and `concurrency` the mean number
    in it then; `nodes` and `n_minus_1` (so that the promise holds when one is lost) are for the rate, of one replica each;
    `usd_per_million` counts prompt and output tokens of that rate, `break_even_tokens` those a month from which
    these nodes cost less than the API, if one was named. `measured`: the step times are, and not scaled."""

    memory: Fit
    measured: bool
    carries: tuple[float, float]
    concurrency: tuple[float, float]
    nodes: tuple[int, int]
    n_minus_1: tuple[int, int]
    usd_per_hour: tuple[float, float]
    usd_per_million: tuple[float, float]
    break_even_tokens: tuple[float, float] | None


class _Found(NamedTuple):
    rate: float
    concurrency: float


def hardware_in(question: Question) -> Hardware:
    """Return the hardware that is asked about; raises ValueError for an unknown name."""
    if question.hardware is not None:
        return question.hardware
    return hardware_of(question.replica) if question.own is None else measured_scaling.hardware_of(question.own)


def hardware_of(name: str) -> Hardware:
    """Return what a replica's name says that it runs on; raises ValueError that lists the known names."""
    known = step_time.replica(name)
    return Hardware(known.gpu, known.gpus, int(known.weight_bits))


def arithmetic(question: Question) -> list[str]:
    """Show step by step what fits into the replica's memory, and where its step times are from. Raises ValueError for unknown names."""
    on = hardware_in(question)
    bought = [] if question.owned is None else [_components(question.owned)]
    return [*_room(question, on).steps, *_timing(question, on).steps, *_batch(question), *bought]


def _timing(question: Question, on: Hardware) -> Scaled:
    return scaled(question.replica, on) if question.own is None else measured_scaling.timing(question.own, on)


def _batch(question: Question) -> list[str]:
    """Say what is assumed of a pool's own replica that no engine publishes."""
    if question.own is None:
        return []
    most = question.own.step_times.max_observed_batch
    return [f"largest batch: {question.max_num_seqs}, assumed, as engines do not publish it; {most} were seen"]


def _components(owned: OwnedHardware) -> str:
    parts = owned.usd_per_year()
    total = parts.pop("total")
    told = " + ".join(f"{name} {usd:,.0f}" for name, usd in parts.items())
    return f"price of a node: {told} = {total:,.0f} USD a year, {owned.usd_per_hour:,.2f} an hour"


def whatif(question: Question) -> Answer | None:
    """Answer; None where no request at all fits the replica or keeps the promise. Raises ValueError for unknown names."""
    on = hardware_in(question)
    timing, room = _timing(question, on), _room(question, on)
    largest = max(kind.prompt + kind.output for kind in question.mix)
    if room.requests < 1 or room.tokens < largest:
        return None
    common = max(_shared(kind, question.prefix_hit) for kind in question.mix)
    prefix_block = BLOCK * ceil(common / BLOCK / PREFIX_BLOCKS)
    budget = max(8192, question.max_num_seqs)
    limits = Limits(room.tokens // BLOCK, BLOCK, question.max_num_seqs, budget, prefix_block)
    found = sorted(_carries(question, model, limits, seed) for model in timing.models for seed in range(DRAWS))
    if found[0].rate == 0:
        return None
    most, fewest = (nodes_for(question.rate, end.rate) for end in (found[0], found[-1]))
    tokens = question.rate * mean_context(question.mix)
    low, high = question.usd_per_gpu_hour or packaged().gpus[on.gpu].usd_per_hour
    hourly = (fewest * on.gpus * low, most * on.gpus * high)
    in_it = sorted(end.concurrency for end in found)
    return Answer(
        room,
        timing.measured,
        (found[0].rate, found[-1].rate),
        (in_it[0], in_it[-1]),
        (fewest, most),
        (fewest + 1, most + 1),
        hourly,
        (usd_per_million(hourly[0], tokens), usd_per_million(hourly[1], tokens)),
        None if question.api_usd_per_million is None else _break_even(hourly, question.api_usd_per_million),
    )


def _break_even(hourly: tuple[float, float], api_usd_per_million: float) -> tuple[float, float]:
    """Tokens a month from which nodes that are paid around the clock undercut an API."""
    low, high = (break_even_tokens(usd * HOURS_PER_YEAR, api_usd_per_million) / MONTHS for usd in hourly)
    return low, high


def _room(question: Question, on: Hardware) -> Fit:
    shared = int(mean_prompt(question.mix) * question.prefix_hit) // BLOCK * BLOCK
    context = round(mean_context(question.mix))
    if question.own is not None:
        return measured_scaling.room(question.own, on, question.kv_value_bytes, context, shared)
    known = step_time.replica(question.replica)
    deployment = Deployment(
        *(on.gpus, memory.load_gpu(on.gpu).memory_bytes * UTILIZATION),
        *(on.weight_bits or known.weight_bits, question.kv_value_bytes or KV_BYTES),
        overhead_bytes=OVERHEAD * on.gpus,
    )
    return memory.fit(memory.load(known.shape), deployment, context, shared)


def gpu_price(pool: Pool, gpu: str) -> tuple[float, float] | None:
    """Return what a GPU of the pool costs an hour, where it is of that type; else the rents on record stand."""
    usd = pool.node.hourly_usd / pool.node.gpus
    return (usd, usd) if gpu == pool.node.gpu and usd else None


def _carries(question: Question, model: StepModel, limits: Limits, seed: int) -> _Found:
    """Search for the highest rate at which one replica keeps the promise; 0 where it cannot even for lone requests."""
    best = _Found(0.0, 0.0)

    def keeps(rate: float) -> bool:
        nonlocal best
        result = replay(list(_arrivals(question, limits, rate, seed)), 1, model, limits)
        kept = result.goodput(question.promise.ttft, question.promise.tpot) >= question.promise.target
        if kept:
            best = max(best, _Found(rate, _concurrency(result)))
        return kept

    alone = 1 / sum(kind.share * _seconds_alone(model, kind) for kind in question.mix)
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


def _arrivals(question: Question, limits: Limits, rate: float, seed: int) -> Iterator[Arrival]:
    """Draw the same exponential gaps and requests for every rate, the gaps only shorter or longer, so that more traffic is never
    easier by chance."""
    random = Random(seed)  # noqa: S311 - a simulation
    gaps = (random.expovariate(1.0) / rate for _ in range(REQUESTS))
    kinds: Sequence[int] = drawn(question.mix, REQUESTS, seed)
    for at, number in zip(accumulate(gaps), kinds, strict=True):
        kind = question.mix[number]
        shared = _shared(kind, question.prefix_hit) // limits.prefix_block if limits.prefix_block else 0
        # Blocks are the same for all requests of a kind: numbered by it.
        prefix = tuple(range(number * PREFIX_BLOCKS, number * PREFIX_BLOCKS + shared))
        yield Arrival(at, kind.prompt, kind.output, prefix)


def _shared(kind: Kind, hit: float) -> int:
    """Tokens at a prompt's beginning that its kind has in common."""
    return int(kind.prompt * hit)
