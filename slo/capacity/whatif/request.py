"""A what-if request as people write it, by command, API or page, and its response."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from plimsoll.slo.capacity.calibration.measured_replica import MeasuredReplica
from plimsoll.slo.capacity.model import memory
from plimsoll.slo.capacity.model.hardware import Hardware
from plimsoll.slo.capacity.model.prices import Prices
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.whatif.baseline import Baseline, baseline
from plimsoll.slo.capacity.whatif.concurrency import AtConcurrency
from plimsoll.slo.capacity.whatif.evaluate import ScenarioResult, gpu_price, in_flight
from plimsoll.slo.capacity.whatif.measured_scaling import KV_BYTES, MEASURED, beyond
from plimsoll.slo.capacity.whatif.prefill_decode import PairResult, sized_pair
from plimsoll.slo.capacity.whatif.request_mix import LONGEST, Kind, mean_context, mean_prompt, parse, written
from plimsoll.slo.capacity.whatif.scale_to_zero import ScaleToZero
from plimsoll.slo.capacity.whatif.scenario import CONCURRENCIES, NODE_GPUS, Scenario, arithmetic, hardware_in, ranks_in
from plimsoll.slo.spec.objectives import Pool

Source = Literal["request", "observed", "default"]
DEFAULTS = {"input_tokens": 500, "output_tokens": 200, "request_rate": 20.0}  # tokens, tokens, requests per second
BITS_PER_BYTE = 8


class WhatIfRequest(BaseModel):
    """Inputs of the simulation. Input tokens, output tokens and request rate that are not given are those observed in the last seven
    days: mean tokens of a request, and the busiest five minutes; while these are not known, a default (`sources`)."""

    model_config = ConfigDict(extra="forbid")
    replica: str | None = Field(
        default=None,
        description=f"Baseline. {MEASURED}: the pool's own by its calibration, the default where it is known. Else the pool's model, GPU and "
        f"number of GPUs, or `model`, as planned. Step times on record of the same model: {', '.join(step_time.names())}.",
    )
    model: str | None = Field(
        default=None,
        max_length=200,
        description="Another model than the pool's, such as meta-llama/Llama-3.3-70B-Instruct.",
    )
    config_json: str | None = Field(
        default=None, max_length=50_000, description="Text of the model's config.json, where its name is not known."
    )
    engine: Literal["vllm", "sglang", "trtllm"] = Field(default="vllm", description="Engine of a planned replica.")
    input_tokens: int | None = Field(default=None, ge=1, le=LONGEST, description="Input tokens of a request.")
    output_tokens: int | None = Field(default=None, ge=1, le=16_384, description="Output tokens of a request.")
    workload_mix: str | None = Field(
        default=None,
        max_length=400,
        description="Several kinds of requests in place of input_tokens and output_tokens: INPUT/OUTPUT/PERCENT, such as "
        "500/200/70,6000/300/30.",
    )
    request_rate: float | None = Field(default=None, gt=0, le=100_000, description="Requests per second.")
    traffic_multiplier: float = Field(default=1.0, gt=0, le=1000, description="Factor on the request rate.")
    prefix_cache_hit_ratio: float = Field(
        default=0.0,
        ge=0,
        le=0.99,
        description="Ratio of each prompt that all requests of its kind share, such as a system prompt, and the prefix cache holds.",
    )
    gpu: str | None = Field(default=None, description=f"Another GPU than the baseline's: {', '.join(memory.gpus())}.")
    tensor_parallel_size: int | None = Field(default=None, ge=1, le=8, description="GPUs per replica: 1, 2, 4 or 8.")
    data_parallel_size: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Data-parallel ranks of a planned replica, each of tensor_parallel_size GPUs.",
    )
    expert_parallel: bool = Field(
        default=False, description="Whole experts on each GPU of all ranks, in place of a slice of every expert."
    )
    weight_bits: int | None = Field(default=None, ge=4, le=16, description="Weight precision: 4, 8 or 16 bits.")
    max_num_seqs: int = Field(default=256, ge=1, le=1024, description="Maximum batch size.")
    concurrency: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description=f"Requests in flight to state throughput and latencies for. Default: {', '.join(map(str, CONCURRENCIES))}.",
    )
    disaggregated: bool = Field(
        default=False, description="Also size prefill and decode in replicas of their own, as a pair."
    )
    kv_transfer_gb_per_second: float = Field(
        default=12.5,
        gt=0,
        le=10_000,
        description="GB per second that a replica's link carries from prefill to decode. 12.5 is 100 Gbit/s.",
    )
    kv_cache_bits: int | None = Field(
        default=None,
        ge=8,
        le=16,
        multiple_of=8,
        description="KV cache precision: 8 or 16 bits. Default: 16, or that of the pool's own replica.",
    )
    api_usd_per_million_tokens: float | None = Field(
        default=None, gt=0, le=1000, description="API price of 1M such tokens, to compare with."
    )
    compare_api: str | None = Field(
        default=None,
        max_length=63,
        description="Name of an API whose price is on record, in place of `api_usd_per_million_tokens`; for this mix of input and output.",
    )

    def scenario(
        self,
        target: LatencyTarget,
        pool: Pool | None,
        observed: Mapping[str, float],
        prices: Prices,
        price: float | None = None,
        replica: MeasuredReplica | None = None,
    ) -> Scenario:
        """Return the scenario in numbers: what is not given is what was `observed` of the pool, or a default.

        `price` is USD per GPU and hour, in place of the pool's own and of those on record (`prices`); `replica` is the pool's own
        where its step times were fitted. Raises ValueError for what does not exist.
        """
        base = baseline(self, pool, replica)
        known = {**DEFAULTS, **observed, **self.model_dump(include=set(DEFAULTS), exclude_none=True)}
        on, mix = self._hardware(base.hardware), self._mix(known)
        of_pool = None if pool is None or price is not None else gpu_price(pool, on.gpu)
        on_record = prices.gpus[on.gpu].usd_per_hour if on.gpu in prices.gpus else None
        usd = (of_pool if price is None else (price, price)) or on_record
        if usd is None and base.measured is not None and on.gpu == base.measured.gpu:
            raise ValueError(f"gpu {on.gpu!r}: its price is not on record. Set node.hourly_usd, or give prices.")
        return Scenario(
            replica=base.name,
            mix=mix,
            target=target,
            rate=known["request_rate"] * self.traffic_multiplier,
            max_num_seqs=self.max_num_seqs,
            kv_value_bytes=self._kv_value_bytes(base),
            usd_per_gpu_hour=usd,
            hardware=on,
            prefix_cache_hit_ratio=self.prefix_cache_hit_ratio,
            api_usd_per_million_tokens=self._api_usd(mix, prices),
            owned=pool.node.owned if pool is not None and of_pool else None,
            measured_replica=base.measured,
            planned=base.planned,
            concurrencies=CONCURRENCIES if self.concurrency is None else (self.concurrency,),
            kv_transfer_bytes_per_second=memory.GB * self.kv_transfer_gb_per_second if self.disaggregated else None,
            node_gpus=self._node_gpus(pool, on.gpu),
        )

    def _mix(self, known: Mapping[str, float]) -> tuple[Kind, ...]:
        kind = Kind(max(1, round(known["input_tokens"])), max(1, round(known["output_tokens"])))
        return parse(self.workload_mix) if self.workload_mix is not None else (kind,)

    def _hardware(self, now: Hardware) -> Hardware:
        return Hardware(
            self.gpu or now.gpu,
            now.gpus if self.tensor_parallel_size is None else self.tensor_parallel_size,
            now.weight_bits if self.weight_bits is None else self.weight_bits,
        )

    def _node_gpus(self, pool: Pool | None, gpu: str) -> int:
        """GPUs of a node: ranks spread over the pool's nodes; one rank of another size is taken to get nodes that it fits."""
        own = pool.node.gpus if pool is not None and pool.node.gpu == gpu else NODE_GPUS
        return own if self.data_parallel_size > 1 else max(own, NODE_GPUS)

    def _kv_value_bytes(self, base: Baseline) -> int | None:
        if self.kv_cache_bits is not None:
            return self.kv_cache_bits // BITS_PER_BYTE
        return KV_BYTES if base.measured is None else None

    def _api_usd(self, mix: Sequence[Kind], prices: Prices) -> float | None:
        """Price of 1M tokens of the mix at the API."""
        if self.compare_api is None:
            return self.api_usd_per_million_tokens
        if self.api_usd_per_million_tokens is not None:
            raise ValueError(f"compare_api {self.compare_api!r}: its price is on record. Give only one of them.")
        return prices.api(self.compare_api).usd_per_million(mean_prompt(mix) / mean_context(mix))

    def sources(self, observed: Mapping[str, float]) -> dict[str, Source]:
        """Return where input tokens, output tokens and request rate are from."""
        given = set(self.model_dump(include=set(DEFAULTS), exclude_none=True))
        if self.workload_mix is not None:
            given |= {"input_tokens", "output_tokens"}
        return {
            name: "request" if name in given else "observed" if name in observed else "default" for name in DEFAULTS
        }


class WhatIfInputs(BaseModel):
    """All inputs in numbers, given or not; null: as the pool's own replica has it, or none."""

    gpu: str
    tensor_parallel_size: int
    data_parallel_size: int
    weight_bits: int | None
    kv_cache_bits: int | None
    max_num_seqs: int
    workload_mix: str
    prefix_cache_hit_ratio: float
    request_rate: float = Field(description="Requests per second, multiplied.")
    traffic_multiplier: float
    compare_api: str | None
    api_usd_per_million_tokens: float | None
    sources: dict[str, Source] = Field(description="Where input tokens, output tokens and request rate are from.")


class WhatIfLatencyTarget(BaseModel):
    """What the pool's latency SLOs require together; null: no threshold."""

    ttft_seconds: float | None
    tpot_seconds: float | None
    target: float


class WhatIf(BaseModel):
    """The simulated result of a what-if request. Ranges are [low, high]."""

    pool: str | None
    replica: str
    inputs: WhatIfInputs
    latency_target: WhatIfLatencyTarget
    calculation: list[str] = Field(
        description="Weights, KV cache, source of the step times, and what is extrapolated, step by step."
    )
    result: ScenarioResult | None = Field(
        description="null: such requests do not fit this replica, or cannot meet the latency target at any rate."
    )
    at_concurrency: list[AtConcurrency] = Field(
        description="One replica with fixed numbers of requests in flight, whatever the latency target; empty: such requests do not fit."
    )
    prefill_decode: PairResult | None = Field(
        description="Prefill and decode in replicas of their own; null: not asked for, or no pair meets the latency target."
    )
    scale_to_zero: ScaleToZero | None = Field(
        default=None, description="On the pool's arrivals of the last week; null: less than a day of them is recorded."
    )
    simulated: Literal[True] = True


def response(
    pool: str | None,
    request: WhatIfRequest,
    scenario: Scenario,
    observed: Mapping[str, float],
    result: ScenarioResult | None,
) -> WhatIf:
    """Return inputs, calculation and result as one object."""
    on, target, stored = hardware_in(scenario), scenario.target, scenario.kv_value_bytes
    return WhatIf(
        pool=pool,
        replica=scenario.replica,
        inputs=WhatIfInputs(
            gpu=on.gpu,
            tensor_parallel_size=on.gpus,
            data_parallel_size=ranks_in(scenario),
            weight_bits=on.weight_bits,
            kv_cache_bits=None if stored is None else BITS_PER_BYTE * stored,
            max_num_seqs=scenario.max_num_seqs,
            workload_mix=written(scenario.mix),
            prefix_cache_hit_ratio=scenario.prefix_cache_hit_ratio,
            request_rate=scenario.rate,
            traffic_multiplier=request.traffic_multiplier,
            compare_api=request.compare_api,
            api_usd_per_million_tokens=scenario.api_usd_per_million_tokens,
            sources=request.sources(observed),
        ),
        latency_target=WhatIfLatencyTarget(
            ttft_seconds=target.ttft if isfinite(target.ttft) else None,
            tpot_seconds=target.tpot if isfinite(target.tpot) else None,
            target=target.target,
        ),
        calculation=[*arithmetic(scenario), *extrapolations(scenario, result)],
        result=result,
        at_concurrency=in_flight(scenario),
        prefill_decode=sized_pair(scenario),
    )


def extrapolations(scenario: Scenario, result: ScenarioResult | None) -> list[str]:
    """Yield the parts of a result that exceed the observed range of the pool's own replica."""
    if scenario.measured_replica is None:
        return []
    return list(beyond(scenario.measured_replica, scenario.mix, None if result is None else result.concurrent_requests))
