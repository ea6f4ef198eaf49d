"""Simulates the recent traffic on a number of replicas: requests rebuilt from counters, through the engine model.

Requests are dealt round robin, so that each replica sees every n-th of them and can be simulated alone. Where there are too many
requests, the shares of a few replicas stand for all. Requests that wait now come first, at the beginning. Tokens that the prefix cache
held are not computed again; the room that they take in the KV cache is not looked at here (plimsoll.slo.capacity.recommendation.scale_in does).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType

from plimsoll.slo.capacity.calibration.measured_replica import CHANGED, MeasuredReplica, sentence
from plimsoll.slo.capacity.model.replica_throughput import ReplicaThroughput
from plimsoll.slo.capacity.recommendation.demand import INTERVAL, Demand, LatencyTarget
from plimsoll.slo.capacity.simulator import synthetic_traffic
from plimsoll.slo.capacity.simulator.replay import replay
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.step_time import StepModel
from plimsoll.slo.capacity.simulator.synthetic_traffic import Lengths
from plimsoll.slo.capacity.simulator.traces import Arrival

MOST = 6_000  # requests that are simulated: a tenth of a second, and late ones among them known to a seventh at 99 %


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A pool's replica as the simulator takes it: step times fitted to its metrics, and limits, both of one of its `ranks`. Steps of
    the replicas in `slowdown` take that many times as long. `summary` states how well that is known;
    `settings` are those of its engines that are known."""

    model: StepModel
    limits: Limits
    ranks: int = 1
    slowdown: Mapping[str, float] = field(default_factory=dict)
    summary: str = ""
    settings: Mapping[str, int] = field(default_factory=dict)


def calibrated(replica: MeasuredReplica, settings: Mapping[str, int] = MappingProxyType({})) -> Calibrated | None:
    """Return a pool's own replica for the simulator; None if no prompt was observed, as its cost is then unknown.

    A fit that is unsure is taken to be short by its error: nothing is to be released on a guess. Limits of a step that `settings` don't have
    are vLLM's defaults of old.
    """
    fit = replica.step_times
    if fit.input_tokens_range is None:
        return None
    most = settings.get("max_num_seqs", max(Limits().max_num_seqs, fit.max_observed_batch))
    tokens = max(most, settings.get("max_num_batched_tokens", Limits().max_num_batched_tokens))
    limits = Limits(
        fit.kv_cache_capacity_tokens // Limits().block_size, max_num_seqs=most, max_num_batched_tokens=tokens
    )
    model = fit.model.times(1 + fit.median_relative_error) if fit.median_relative_error > CHANGED else fit.model
    return Calibrated(model, limits, fit.data_parallel_size, fit.excluded_replicas, sentence(fit), settings)


@dataclass(frozen=True, slots=True)
class Simulated:
    """Requests within the target, requests simulated, and all requests. `attainment` is None without requests."""

    good: int
    simulated: int
    requests: int

    @property
    def attainment(self) -> float | None:
        """Ratio within the target, 0 to 1."""
        return self.good / self.simulated if self.simulated else None


def simulate(demand: Demand, replicas: int, target: LatencyTarget, engine: Calibrated, most: int = MOST) -> Simulated:
    """Replay a demand on the `replicas` slowest replicas. Simulates about `most` of its requests at most.

    Raises ValueError below one replica.
    """
    if replicas < 1:
        raise ValueError(f"{replicas} replicas cannot serve; at least 1")
    arrivals = _arrivals(
        demand.arrived, demand.backlog, demand.input_tokens, demand.output_tokens, demand.cached_tokens
    )
    engines, slowness = replicas * engine.ranks, _slowness(demand.throughput, engine)
    chosen = max(1, min(engines, most * engines // max(1, len(arrivals))))
    good = simulated = 0
    for place in range(chosen):
        index = place * engines // chosen
        mine = arrivals[index::engines]
        if mine:
            nth = index // engine.ranks
            model = _held(engine.model, demand.cached_tokens).times(slowness[nth] if nth < len(slowness) else 1.0)
            found = replay(mine, 1, model, engine.limits)
            good += round(found.goodput(target.ttft, target.tpot) * len(mine))
            simulated += len(mine)
    return Simulated(good, simulated, len(arrivals))


@lru_cache(maxsize=1)  # several numbers of replicas are simulated in a row, and this takes as long as the simulation
def _arrivals(arrived: tuple[float, ...], backlog: float, prompt: float, output: float, found: float) -> list[Arrival]:
    """Generate the requests: waiting ones at 0 s, then arrivals with their original gaps; prompts without cached tokens."""
    size = prompt + output
    if not size:
        return []
    lengths = Lengths(max(1.0, prompt - found)), Lengths(max(1.0, output))
    waiting = synthetic_traffic.requests([backlog / size], INTERVAL, *lengths, seed=1)
    came = synthetic_traffic.requests([tokens / size for tokens in arrived], INTERVAL, *lengths)
    return [*(request._replace(time=0.0) for request in waiting), *came]


def _held(model: StepModel, found: float) -> StepModel:
    """Return the step model for requests with `found` additional cached tokens of context."""
    return replace(model, decode_per_sequence=model.decode_per_sequence + found * model.decode_per_kv_token)


def _slowness(throughput: ReplicaThroughput, engine: Calibrated) -> list[float]:
    """How many times as long the steps of the replicas take that are there, the slowest first; those beyond are like most."""

    def factor(name: str) -> float:
        measured = throughput.typical / throughput.of(name) if throughput.measured and throughput.typical else 1.0
        return engine.slowdown.get(name, measured)

    return sorted(map(factor, throughput.present), reverse=True)
