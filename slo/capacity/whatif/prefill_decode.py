"""What-if of prefill and decode in engines of their own: the smallest pair of both that meets the latency target at the request rate.

A request passes two engines, and each is simulated alone: what one prefill engine makes of every x-th request, and one decode engine of
every y-th. As they are independent of each other, the requests of a kind that are within the target follow from both: time to first
token is the sum of the prompt's time, the transfer's and the first decode step's. What both together make of the same traffic
(plimsoll.slo.capacity.simulator.prefill_decode.serve) differs by little, as tests show.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from plimsoll.slo.capacity.simulator.prefill_decode import decoded, prefilled
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.step_time import StepModel
from plimsoll.slo.capacity.whatif.drawn_traffic import arrivals, limits_of
from plimsoll.slo.capacity.whatif.evaluate import EVERY_AT_ONCE, Range, price_of
from plimsoll.slo.capacity.whatif.request_mix import Kind, mean_prompt
from plimsoll.slo.capacity.whatif.scenario import Scenario, kv_bytes_per_token, nodes_each, ranks_in, room, timing

DRAWS = 2  # whose requests count together
PRECISION = 0.02  # of the rate that is searched for
LEAST = 1e-3  # of the rate of a full replica: below, it can't meet the target
BEYOND = 1.1  # times the highest rate, to see what is late first
MORE, SEARCHED = (
    4,
    1.5,
)  # replicas beyond those that each role needs alone, or times as many, up to which a pair is searched for
EVEN = 16  # replicas up to which dealing in turn is taken to make their arrivals more regular
STEP = 0.02  # of a pair's replicas, by which large pairs are searched for

Role = Literal["prefill", "decode"]
ROLES: tuple[Role, Role] = ("prefill", "decode")
Bound = Literal["ttft", "tpot", "kv_cache"]
Latencies = Mapping[
    tuple[int, int], list[tuple[float, float]]
]  # by tokens of prompt and output: (to first token, per further one)


class Pair(BaseModel):
    """Nodes of both roles, for one end of the likely step times."""

    model_config = ConfigDict(frozen=True)
    prefill_nodes: int
    decode_nodes: int
    attainment: float = Field(description="Ratio of requests within the latency target, simulated.")
    max_requests_per_second_prefill: float = Field(description="Of one prefill replica, with decode at rest.")
    max_requests_per_second_decode: float = Field(description="Of one decode replica, with prefill at rest.")
    decode_per_prefill: float = Field(description="Decode replicas that one prefill replica can feed.")
    binding_role: Role = Field(description="The role whose replicas are loaded more, relative to what they can carry.")
    binding_reason: Bound = Field(
        description="ttft: time of prompts. tpot: time of decode steps. kv_cache: requests wait for room in the KV cache or batch of decode."
    )


class PairResult(BaseModel):
    """Prefill and decode sized as a pair, with the fastest step times that are likely and with the slowest."""

    model_config = ConfigDict(frozen=True)
    fastest: Pair
    slowest: Pair
    kv_transfer_seconds: float = Field(description="Of a mean prompt's KV cache, alone on its link.")
    usd_per_hour: Range | None = Field(description="null: the price of the GPU is not known.")


def sized_pair(scenario: Scenario) -> PairResult | None:
    """Return the smallest pairs; None where it is not asked for, or no pair meets the latency target.

    Raises ValueError for unknown names, and where what a token takes in the KV cache is not known.
    """
    limits, models = limits_of(scenario, room(scenario)), timing(scenario).models
    if limits is None or scenario.kv_transfer_bytes_per_second is None:
        return None
    link = kv_bytes_per_token(scenario) / scenario.kv_transfer_bytes_per_second
    pairs = [_smallest(_Stages(scenario, model, limits, link)) for model in dict.fromkeys((models[0], models[-1]))]
    fastest, slowest = pairs[0], pairs[-1]
    if fastest is None or slowest is None:
        return None
    each = nodes_each(scenario)
    fewest, most = ((one.prefill_nodes + one.decode_nodes) // each for one in (fastest, slowest))
    return PairResult(
        fastest=fastest,
        slowest=slowest,
        kv_transfer_seconds=link * mean_prompt(scenario.mix),
        usd_per_hour=price_of(scenario, (fewest, most)),
    )


@dataclass(frozen=True)
class _Stages:
    """Both stages of a scenario, with one step model. `link` is seconds for a token."""

    scenario: Scenario
    model: StepModel
    limits: Limits
    link: float
    _runs: dict[tuple[Role, float, int], Latencies] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Requests per second over the ranks of a replica: what each rank gets of them, were there one replica."""
        return self.scenario.rate / ranks_in(self.scenario)

    def ratio(self, prefill: Latencies, decode: Latencies) -> float:
        """Return the ratio of requests within the target that pass both stages."""
        target = self.scenario.target
        good = 0.0
        for kind in self.scenario.mix:
            at_prefill, at_decode = prefill.get(kind[:2], []), decode.get(kind[:2], [])
            if not at_prefill or not at_decode:  # of a kind too rare to be drawn
                continue
            first = sorted(ttft for ttft, _ in at_prefill)
            within = sum(bisect_right(first, target.ttft - ttft) for ttft, tpot in at_decode if tpot <= target.tpot)
            good += kind.share * within / len(first) / len(at_decode)
        return good

    def at(self, role: Role, rate: float, dealt: int) -> Latencies:
        """Return what the requests take at one replica of a role, which gets `rate` of them a second as one of `dealt`."""
        dealt = min(dealt, EVEN)
        key = (role, rate, dealt)
        if key not in self._runs:
            found: dict[tuple[int, int], list[tuple[float, float]]] = {}
            for seed in range(DRAWS):
                for kind, took in self._run(role, rate, seed, dealt):
                    found.setdefault(kind, []).append(took)
            self._runs[key] = found
        return self._runs[key]

    def _run(
        self, role: Role, rate: float, seed: int, dealt: int = 1
    ) -> Iterable[tuple[tuple[int, int], tuple[float, float]]]:
        coming = list(arrivals(self.scenario, self.limits, rate, seed, dealt))
        if role == "prefill":
            ready = prefilled(coming, self.model, self.limits, self.link)
            return [(one[1:3], (at - one.time, 0.0)) for at, one in zip(ready, coming, strict=True)]
        # Prompts come whole, so that none of them finds a part of its own here.
        limits = replace(self.limits, prefix_block=0)
        done = decoded(coming, [one.time for one in coming], self.model, limits, self.link)
        return [((one.prompt, one.output), (one.ttft or 0.0, one.tpot or 0.0)) for one in done]

    def alone(self, role: Role) -> Latencies:
        """Return what a lone request of each kind takes at an idle replica of a role."""
        return {kind[:2]: [self._lone(role, kind)] for kind in self.scenario.mix}

    def _lone(self, role: Role, kind: Kind) -> tuple[float, float]:
        """Return the times of a request on idle engines. The link is counted with the prompt, as it sends while the other end takes in."""
        if role == "decode":
            return self.model.decode(1, kind.prompt), self.model.decode(1, kind.prompt + kind.output // 2)
        most = self.limits.max_num_batched_tokens
        chunks, rest = divmod(kind.prompt, most)
        return chunks * self.model.prefill(most) + self.model.prefill(rest) + kind.prompt * self.link, 0.0

    def role_ratio(self, role: Role, rate: float, dealt: int = 1) -> float:
        """Return the ratio within the target with the other role at rest."""
        busy = self.at(role, rate, dealt)
        return self.ratio(busy, self.alone("decode")) if role == "prefill" else self.ratio(self.alone("prefill"), busy)

    def full(self, role: Role) -> float:
        """Return the requests per second of one replica to which all come at once: none serves more."""
        took = sorted(ttft + tpot * (kind[1] - 1) for kind, (ttft, tpot) in self._run(role, EVERY_AT_ONCE, 0))
        first, last = took[len(took) // 4], took[3 * len(took) // 4]
        return len(took) / 2 / (last - first) if last > first else len(took) / took[-1]

    def max_rate(self, role: Role) -> float:
        """Return the highest rate of one replica of a role within the target; 0 where none is."""
        target = self.scenario.target.target
        low, full = 0.0, self.full(role)
        high = full
        if self.role_ratio(role, high) >= target:
            return high
        while high - low > PRECISION * high and high > full * LEAST:
            middle = (low + high) / 2
            low, high = (middle, high) if self.role_ratio(role, middle) >= target else (low, middle)
        return low


def _smallest(stages: _Stages) -> Pair | None:
    """Return the pair of fewest nodes within the target (to within STEP), and of such the one with the highest attainment."""
    target, rate, ranks = stages.scenario.target.target, stages.rate, ranks_in(stages.scenario)
    each = nodes_each(stages.scenario)
    most = {role: stages.max_rate(role) for role in ROLES}
    if not all(most.values()):
        return None
    least = [_fewest(stages, role, most[role]) for role in ROLES]
    step, most_replicas = max(1, int(STEP * sum(least))), max(sum(least) + MORE, int(SEARCHED * sum(least)))
    for total in range(sum(least), most_replicas + 1, step):
        pairs = [(prefill, total - prefill) for prefill in range(least[0], total - least[1] + 1, step)]
        attained, pair = max((_attained(stages, pair), pair) for pair in pairs)
        if attained >= target:
            loads = {role: rate / nodes / most[role] for role, nodes in zip(ROLES, pair, strict=True)}
            binding = max(ROLES, key=lambda role: loads[role])
            return Pair(
                prefill_nodes=each * pair[0],
                decode_nodes=each * pair[1],
                attainment=round(attained, 4),
                max_requests_per_second_prefill=ranks * most["prefill"],
                max_requests_per_second_decode=ranks * most["decode"],
                decode_per_prefill=round(most["prefill"] / most["decode"], 2),
                binding_role=binding,
                binding_reason="ttft" if binding == "prefill" else _decode_bound(stages, most["decode"]),
            )
    return None


def _attained(stages: _Stages, pair: tuple[int, int]) -> float:
    ranks = ranks_in(stages.scenario)
    both = [stages.at(role, stages.rate / nodes, nodes * ranks) for role, nodes in zip(ROLES, pair, strict=True)]
    return stages.ratio(*both)


def _fewest(stages: _Stages, role: Role, max_rate: float) -> int:
    """Return the fewest replicas of a role with which it meets the target while the other is at rest."""
    rate, ranks = stages.rate, ranks_in(stages.scenario)
    low, high = ceil(rate / stages.full(role)), ceil(rate / max_rate)
    while low < high:
        middle = (low + high) // 2
        met = stages.role_ratio(role, rate / middle, middle * ranks) >= stages.scenario.target.target
        low, high = (low, middle) if met else (middle + 1, high)
    return high


def _decode_bound(stages: _Stages, max_rate: float) -> Bound:
    """Return what is late first at a decode replica that gets a little more than it can carry."""
    target = stages.scenario.target
    took = [one for found in stages.at("decode", BEYOND * max_rate, 1).values() for one in found]
    slow = sum(tpot > target.tpot for _, tpot in took)
    waits = sum(ttft > target.ttft / 2 for ttft, _ in took)
    return "tpot" if slow >= waits else "kv_cache"
