"""A simulated replica's metrics: the families that vLLM 0.32 exposes, by the client library that vLLM uses.

Names, labels and default bounds as on the page of a real 0.32.0. What the model has no notion of (KV connectors,
multi-modal input, prompts that share a prefix) stays 0, as on a server that has none of it.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from plimsoll.compose.demo.traffic import Call
from plimsoll.exporters.vllm.histogram_buckets import with_limits
from plimsoll.slo import metrics
from plimsoll.slo.capacity.simulator.request import Limits, Step
from plimsoll.slo.spec.indicator import OUTCOMES, FinishedRequest
from plimsoll.slo.spec.objectives import Pool, Spec

HELP = "Simulated counterpart of vLLM's metric of this name."
RANK = ("engine", "model_name")
Labelled = tuple[str, tuple[str, ...]]
M = TypeVar("M", Counter, Gauge)
# Counter -> its extra label and the label's values, which vLLM all exposes from the start.
COUNTERS: dict[str, Labelled] = {
    **dict.fromkeys(
        (
            *("vllm:prompt_tokens", "vllm:generation_tokens", "vllm:num_preemptions", "vllm:prompt_tokens_cached"),
            *("vllm:prefix_cache_queries", "vllm:prefix_cache_hits"),
            *("vllm:external_prefix_cache_queries", "vllm:external_prefix_cache_hits"),
            *("vllm:mm_cache_queries", "vllm:mm_cache_hits", "vllm:estimated_flops_per_gpu"),
            *("vllm:estimated_read_bytes_per_gpu", "vllm:estimated_write_bytes_per_gpu"),
        ),
        ("", ()),
    ),
    "vllm:request_success": ("finished_reason", ("stop", "length", "abort", "error", "repetition")),
    "vllm:prompt_tokens_by_source": ("source", ("local_compute", "local_cache_hit", "external_kv_transfer")),
    "vllm:prompt_tokens_cached_by_source": ("source", ("device", "host", "p2p", "disk", "external_unspecified")),
}
GAUGES: dict[str, Labelled] = {
    **dict.fromkeys(("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"), ("", ())),
    "vllm:num_requests_waiting_by_reason": ("reason", ("capacity", "deferred")),
    "vllm:engine_sleep_state": ("sleep_state", ("awake", "weights_offloaded", "discard_all")),
}
# 1, 2, 5, 10, ... up to the maximum context, as in vLLM.
LENGTHS = tuple(float(digit * 10**power) for power in range(5) for digit in (1, 2, 5))[:-1]
# Histogram -> the family whose bounds it uses, in seconds, or its own bounds.
HISTOGRAMS: dict[str, str | Sequence[float]] = {
    "vllm:time_to_first_token_seconds": "time_to_first_token",
    "vllm:inter_token_latency_seconds": "inter_token_latency",
    "vllm:request_time_per_output_token_seconds": "inter_token_latency",
    **{
        f"vllm:{name}_seconds": "request_latency"
        for name in (
            *("e2e_request_latency", "request_queue_time", "request_inference_time"),
            *("request_prefill_time", "request_decode_time"),
        )
    },
    **dict.fromkeys(
        (
            *("vllm:request_prompt_tokens", "vllm:request_generation_tokens"),
            *("vllm:request_max_num_generation_tokens", "vllm:request_params_max_tokens"),
            "vllm:request_prefill_kv_computed_tokens",
        ),
        LENGTHS,
    ),
    "vllm:request_params_n": (1, 2, 5, 10, 20),
    "vllm:request_num_preemptions": (1, 2, 3, 4, 5, 10, 20),
    "vllm:iteration_tokens_total": (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384),
}


class Tally(Histogram):
    """A histogram that adds equal observations in one call: a batch of 200 gets its tokens simultaneously."""

    def observe_many(self, amount: float, times: int) -> None:
        """Observe the same amount several times."""
        self._sum.inc(amount * times)
        bucket = self._buckets[bisect_left(self._upper_bounds, amount)]
        bucket.inc(times)


class Page:
    """The metrics of one replica of a pool of `spec`."""

    def __init__(self, spec: Spec, pool: Pool, limits: Limits) -> None:
        self.registry = CollectorRegistry()
        self._labels = {"engine": "0", "model_name": pool.model}
        self._blocks = limits.num_blocks
        ProcessCollector(registry=self.registry)
        self._describe(limits)
        buckets = with_limits(spec, pool.model)
        self._counters = self._children(Counter, COUNTERS)
        self._gauges = self._children(Gauge, GAUGES)
        self._gauges["vllm:engine_sleep_state", "awake"].set(1)
        self._histograms = {
            name: Tally(
                name, HELP, RANK, buckets=buckets[bounds] if isinstance(bounds, str) else bounds, registry=self.registry
            ).labels(**self._labels)
            for name, bounds in HISTOGRAMS.items()
        }
        self._objectives = [
            objective
            for objective in spec.objectives
            if objective.pool == pool.name and objective.indicator.kind != "availability"
        ]
        self._outcomes = self._judged()
        self._http = Counter("http_requests", HELP, ("handler", "method", "status"), registry=self.registry)
        rejected = Counter("vllm:admission_rejections", HELP, ("model_name", "reason"), registry=self.registry)
        for reason in ("max_num_queued_reqs", "max_num_queued_tokens"):
            rejected.labels(pool.model, reason)

    def _describe(self, limits: Limits) -> None:
        text = "1: this is Plimsoll's demo fleet. Every number on this page comes from a model of an engine, none from a GPU."
        Gauge(metrics.SIMULATED.name, text, registry=self.registry).set(1)
        config = {
            "block_size": limits.block_size,
            "enable_prefix_caching": True,
            "engine": 0,
            "kv_cache_size_tokens": limits.num_blocks * limits.block_size,
            "num_gpu_blocks": limits.num_blocks,
        }
        Gauge("vllm:cache_config_info", HELP, tuple(config), registry=self.registry).labels(**config).set(1)

    def _children(self, kind: type[M], families: dict[str, Labelled]) -> dict[tuple[str, str], M]:
        """Create families with all their series, keyed by the family's name and the extra label's value."""
        children = {}
        for name, (label, values) in families.items():
            family = kind(name, HELP, (*RANK, label) if label else RANK, registry=self.registry)
            for value in values or ("",):
                children[name, value] = family.labels(**self._labels, **({label: value} if label else {}))
        return children

    def _judged(self) -> dict[tuple[str, str], Counter]:
        """Create the series of Plimsoll's vLLM plugin: the SLOs' outcomes, from the start."""
        metric = metrics.OBJECTIVE_REQUESTS
        family = Counter(metric.name, metric.help, (*RANK, "objective", "outcome"), registry=self.registry)
        return {
            (objective.id, outcome): family.labels(**self._labels, objective=objective.id, outcome=outcome)
            for objective in self._objectives
            for outcome in OUTCOMES
        }

    def _count(self, name: str, amount: float, value: str = "") -> None:
        self._counters[name, value].inc(amount)

    def _observe(self, name: str, amount: float, times: int = 1) -> None:
        self._histograms[name].observe_many(amount, times)

    def set_state(self, running: int, waiting: int, blocks: int) -> None:
        """Set the scheduler's state: requests running and waiting, KV blocks used."""
        self._gauges["vllm:num_requests_running", ""].set(running)
        self._gauges["vllm:num_requests_waiting", ""].set(waiting)
        self._gauges["vllm:num_requests_waiting_by_reason", "capacity"].set(waiting)
        self._gauges["vllm:kv_cache_usage_perc", ""].set(blocks / self._blocks)

    def add_step(self, step: Step) -> None:
        """Count the tokens of a completed step, and their inter-token latencies."""
        for seconds in step.durations():
            self._observe("vllm:inter_token_latency_seconds", seconds, step.decodes)
        for request in step.resumed:
            self._observe("vllm:inter_token_latency_seconds", step.end - request.paused)
        for request in step.first_tokens:
            self._observe("vllm:time_to_first_token_seconds", request.ttft or 0.0)
        started = sum(request.prompt for request in step.first_tokens)
        firsts = len(step.first_tokens) + len(step.resumed)
        self._count("vllm:prompt_tokens", started)
        self._count("vllm:prompt_tokens_by_source", started, "local_compute")
        self._count("vllm:prefix_cache_queries", started)
        self._count("vllm:generation_tokens", step.decodes * step.count + firsts)
        self._count("vllm:num_preemptions", len(step.preempted))
        self._observe("vllm:iteration_tokens_total", step.decodes + firsts + started, step.count)

    def add_finished(self, call: Call) -> None:
        """Count a finished request, with its latencies as vLLM measures them."""
        times = (call.arrival, call.scheduled, call.first_token, call.finished)
        arrival, scheduled, first, last = (time or 0.0 for time in times)
        self._count("vllm:request_success", 1, call.reason)
        for name, value in {
            "vllm:e2e_request_latency_seconds": last - arrival,
            "vllm:request_queue_time_seconds": scheduled - arrival,
            "vllm:request_inference_time_seconds": last - scheduled,
            "vllm:request_prefill_time_seconds": first - scheduled,
            "vllm:request_decode_time_seconds": last - first,
            "vllm:request_time_per_output_token_seconds": call.tpot or 0.0,
            "vllm:request_prompt_tokens": call.prompt,
            "vllm:request_prefill_kv_computed_tokens": call.prompt,
            "vllm:request_generation_tokens": call.output,
            "vllm:request_max_num_generation_tokens": call.output,
            "vllm:request_params_max_tokens": call.max_tokens,
            "vllm:request_params_n": 1,
            "vllm:request_num_preemptions": call.preemptions,
        }.items():
            self._observe(name, value)
        finished = FinishedRequest(call.reason, call.output, first - arrival, call.tpot or 0.0, last - arrival)
        for objective in self._objectives:
            outcome = objective.indicator.evaluate(finished)
            if outcome:
                self._outcomes[objective.id, outcome].inc()

    def add_answer(self, handler: str, status: str) -> None:
        """Count an HTTP response when it is complete or its client disconnected; `status` is 2xx, 4xx or 5xx."""
        self._http.labels(handler, "POST", status).inc()
