"""What-if: another GPU, workload, or traffic level, by simulation: the throughput of a replica, nodes, and cost.

The result is a range: the same traffic is drawn several times, and what one replica serves within the latency target differs
from draw to draw; where its step times are not measured but scaled (plimsoll.slo.capacity.whatif.hardware_scaling), the fastest and the slowest that
are likely are simulated both. Arrivals are Poisson; real traffic is burstier, which a backtest on a recorded trace shows.
"""

from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from plimsoll.slo.capacity.model.memory import Fit
from plimsoll.slo.capacity.model.prices import break_even_tokens, nodes_for, packaged, usd_per_million
from plimsoll.slo.capacity.simulator.replay import Result, replay
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.step_time import StepModel
from plimsoll.slo.capacity.whatif.concurrency import AtConcurrency, at_concurrency
from plimsoll.slo.capacity.whatif.drawn_traffic import arrivals, limits_of
from plimsoll.slo.capacity.whatif.request_mix import Kind, mean_context
from plimsoll.slo.capacity.whatif.scenario import Scenario, gpus_in, hardware_in, nodes_each, ranks_in, room, timing
from plimsoll.slo.spec.node_pricing import HOURS_PER_YEAR
from plimsoll.slo.spec.objectives import Pool

DRAWS = 3
EVERY_AT_ONCE = 1e9  # requests per second
APART = 1.1  # factor by which the rates of draws usually differ at most
PRECISION = 0.02  # of the rate that is searched for
MONTHS = 12  # of a year

Range = tuple[float, float]
Nodes = tuple[int, int]


class ScenarioResult(BaseModel):
    """Result of the simulation. Ranges are [low, high]."""

    model_config = ConfigDict(frozen=True)
    memory: Fit = Field(
        description="KV cache of one replica, or of each of its data-parallel ranks: bytes, tokens, and requests that it holds."
    )
    step_times_measured: bool = Field(
        description="Whether step times are measured; else they are scaled, within a range."
    )
    max_requests_per_second: Range = Field(description="Of one replica within the latency target.")
    concurrent_requests: Range = Field(description="Mean requests in the replica at that rate.")
    nodes: Nodes = Field(
        description="For the request rate, of one replica each; or each replica on several nodes, where it is larger."
    )
    nodes_with_redundancy: Nodes = Field(description="The same, so that one node can be lost, with its replica.")
    usd_per_hour: Range | None = Field(description="null: the price of the GPU is not known.")
    usd_per_million_tokens: Range | None = Field(description="Input and output tokens of the request rate.")
    break_even_tokens_per_month: Range | None = Field(
        description="Tokens per month from which the nodes cost less than the API; null: no API was named, or no price is known."
    )


class _Found(NamedTuple):
    rate: float
    concurrency: float


def whatif(scenario: Scenario) -> ScenarioResult | None:
    """ScenarioResult; None where no request at all fits the replica or meets the latency target. Raises ValueError for unknown names."""
    times, fit = timing(scenario), room(scenario)
    limits = limits_of(scenario, fit)
    if limits is None:
        return None
    found = sorted(one for model in times.models for one in _max_rates(scenario, model, limits))
    if found[0].rate == 0:
        return None
    ranks, each = ranks_in(scenario), nodes_each(scenario)
    most, fewest = (nodes_for(scenario.rate, ranks * end.rate) for end in (found[0], found[-1]))
    in_it = sorted(ranks * end.concurrency for end in found)
    hourly, usd = price_of(scenario, (fewest, most)), scenario.api_usd_per_million_tokens
    tokens = scenario.rate * mean_context(scenario.mix)
    return ScenarioResult(
        memory=fit,
        step_times_measured=times.measured,
        max_requests_per_second=(ranks * found[0].rate, ranks * found[-1].rate),
        concurrent_requests=(in_it[0], in_it[-1]),
        nodes=(each * fewest, each * most),
        nodes_with_redundancy=(each * (fewest + 1), each * (most + 1)),
        usd_per_hour=hourly,
        usd_per_million_tokens=None
        if hourly is None
        else (usd_per_million(hourly[0], tokens), usd_per_million(hourly[1], tokens)),
        break_even_tokens_per_month=None if usd is None or hourly is None else _break_even(hourly, usd),
    )


def in_flight(scenario: Scenario) -> list[AtConcurrency]:
    """Return throughput and latencies of one replica at the concurrencies that are asked; none where no request fits it. Raises
    ValueError for unknown names."""
    times, limits = timing(scenario), limits_of(scenario, room(scenario))
    if limits is None:
        return []
    ranks, mix = ranks_in(scenario), scenario.mix
    return [
        at_concurrency(times.models, limits, mix, ceil(count / ranks)).of(count) for count in scenario.concurrencies
    ]


def price_of(scenario: Scenario, replicas: Nodes) -> Range | None:
    """Return the USD per hour of fewest and most replicas; None: the price of the GPU is not known."""
    gpus = gpus_in(scenario)
    record = packaged().gpus.get(hardware_in(scenario).gpu)
    price = scenario.usd_per_gpu_hour or (None if record is None else record.usd_per_hour)
    return None if price is None else (replicas[0] * gpus * price[0], replicas[1] * gpus * price[1])


def _break_even(hourly: tuple[float, float], api_usd_per_million_tokens: float) -> tuple[float, float]:
    """Tokens a month from which nodes that are paid around the clock undercut an API."""
    low, high = (break_even_tokens(usd * HOURS_PER_YEAR, api_usd_per_million_tokens) / MONTHS for usd in hourly)
    return low, high


def gpu_price(pool: Pool, gpu: str) -> tuple[float, float] | None:
    """Return the price of a GPU of the pool in USD per hour, if it is of that type; None: use the bundled rental prices."""
    usd = pool.node.hourly_usd / pool.node.gpus
    return (usd, usd) if gpu == pool.node.gpu and usd else None


def _max_rates(scenario: Scenario, model: StepModel, limits: Limits) -> Iterator[_Found]:
    """Yield the highest rate of each draw. The next is searched for near the one before."""
    near = None
    for seed in range(DRAWS):
        found = _max_rate(scenario, model, limits, seed, near)
        near = found.rate or None
        yield found


def _max_rate(scenario: Scenario, model: StepModel, limits: Limits, seed: int, near: float | None) -> _Found:
    """Search for the highest rate at which one replica meets the latency target; 0 where it cannot even for lone requests."""
    best = _Found(0.0, 0.0)

    def keeps(rate: float) -> bool:
        nonlocal best
        result = replay(list(arrivals(scenario, limits, rate, seed)), 1, model, limits)
        met = result.goodput(scenario.target.ttft, scenario.target.tpot) >= scenario.target.target
        if met:
            best = max(best, _Found(rate, _concurrency(result)))
        return met

    alone = 1 / sum(kind.share * _seconds_alone(model, kind) for kind in scenario.mix)
    low, high, most = 0.0, alone, saturated(scenario, model, limits, seed)
    if near is not None:
        low, high = (near / APART, near * APART) if keeps(min(near / APART, most)) else (0.0, near / APART)
    # Short requests may all be served in time at any rate, as a draw ends before it falls behind: no replica serves more than when full.
    while keeps(min(high, most)):
        if high >= most:
            return best
        low, high = high, 2 * high
    high = min(high, most)
    if low == 0.0:  # what one after the other would take is too much: look below, down to next to nothing
        low = alone / 64
        if not keeps(low):
            return best
    while high - low > PRECISION * low:
        middle = (low + high) / 2
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return best


def saturated(scenario: Scenario, model: StepModel, limits: Limits, seed: int) -> float:
    """Requests per second that end while all wait at once: of the middle half, as the batch fills before and empties after."""
    served = replay(list(arrivals(scenario, limits, EVERY_AT_ONCE, seed)), 1, model, limits).requests
    ends = sorted(request.finished for request in served if request.finished is not None)
    first, last = ends[len(ends) // 4], ends[3 * len(ends) // 4]
    return len(ends) / 2 / (last - first) if last > first else len(ends) / ends[-1]


def _seconds_alone(model: StepModel, kind: Kind) -> float:
    return model.prefill(kind.prompt) + kind.output * model.decode(1, kind.prompt + kind.output)


def _concurrency(result: Result) -> float:
    """Mean number of requests in the replica, waiting ones too, from the first arrival to the last end."""
    spans = [(request.arrival, request.finished) for request in result.requests if request.finished is not None]
    whole = max(end for _, end in spans) - spans[0][0]
    return sum(end - begin for begin, end in spans) / whole
