"""TensorRT-LLM's metrics: `trtllm-serve` (from its source, tensorrt_llm/metrics/collector.py) and Triton's backend (from the
backend's documentation and custom_metrics_reporter.cc).

trtllm-serve has it at /prometheus/metrics (with `return_perf_metrics: true`); its /metrics is a JSON list. Names without
`since` exist since 1.0, there without the prefix `trtllm_`; the rest came in 1.2. Some start methods leave
`model_name="undefined"`. Triton's page has no latencies and no finished requests.
"""

from plimsoll.exporters.engines.mapping import CapacityProduct, Checked, EngineMapping, Lookup, Source, register
from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric

_FAULTS = ("500", "503", "504")  # other statuses are the client's
_FINISHED = {"timeout": "error", "cancelled": "abort"}


def _names(*names: str) -> tuple[str, ...]:
    return tuple(prefix + name for name in names for prefix in ("trtllm_", ""))


def _since_1_2(metric: Metric, *names: str, optional: bool = False) -> Source:
    return Source(metric, tuple(f"trtllm_{name}" for name in names), since="1.2", optional=optional)


_SOURCES = (
    _since_1_2(metrics.REQUESTS_RUNNING, "num_requests_running", "num_active_requests"),
    _since_1_2(metrics.REQUESTS_WAITING, "num_requests_waiting", "server_queue_length"),
    Source(metrics.WAITING_BY_REASON, ("trtllm_num_paused_requests",), adds={"reason": "paused"}, optional=True),
    Source(metrics.KV_CACHE_USAGE, _names("kv_cache_utilization"), since="1.2"),
    # Served from the cache, and all prompt tokens.
    _since_1_2(metrics.PREFIX_QUERIED, "prompt_tokens_total"),
    _since_1_2(metrics.PREFIX_HIT, "prompt_cached_tokens_total", optional=True),
    _since_1_2(metrics.PROMPT_TOKENS, "prompt_tokens_total"),
    _since_1_2(metrics.GENERATION_TOKENS, "generation_tokens_total"),
    _since_1_2(metrics.DRAFTED, "spec_decode_num_draft_tokens_total", optional=True),
    _since_1_2(metrics.DRAFTED_ACCEPTED, "spec_decode_num_accepted_tokens_total", optional=True),
    Source(metrics.FINISHED, _names("request_success_total"), values=_FINISHED),
    *(
        Source(metrics.REJECTED, _names("request_error_total"), where={"http_code": code}, optional=True)
        for code in _FAULTS
    ),
    Source(metrics.TTFT, _names("time_to_first_token_seconds")),
    Source(metrics.TPOT, _names("time_per_output_token_seconds")),
    Source(metrics.DURATION, _names("e2e_request_latency_seconds")),
    Source(metrics.QUEUE, _names("request_queue_time_seconds")),
    _since_1_2(metrics.PREFILL, "request_prefill_time_seconds"),
    _since_1_2(metrics.DECODE, "request_decode_time_seconds"),
    Source(metrics.KV_TRANSFER_TIME, ("trtllm_kv_transfer_latency_seconds",), optional=True),
    Source(metrics.KV_TRANSFER_BYTES, ("trtllm_kv_transfer_bytes_sum",), optional=True),
    Source(metrics.KV_TIER_USAGE, ("trtllm_kv_cache_host_utilization",), adds={"tier": "host"}, optional=True),
)
_LIMITS = "Tokens are counted when a request finishes: no stall alert. Clients that left are counted as cancelled (1.1) or not at all."

TRTLLM_SERVE, TRTLLM_SERVE_1_1 = (
    register(
        EngineMapping(
            engine="trtllm",
            title=title,
            signs=signs,
            sources=_SOURCES,
            labels={"model_name": "model", "finished_reason": "reason", "http_code": "reason"},
            path="/prometheus/metrics",
            capacity=CapacityProduct(
                Source(metrics.KV_CACHE_CAPACITY, ("trtllm_kv_cache_max_blocks",)),
                Source(metrics.KV_CACHE_CAPACITY, ("trtllm_kv_cache_tokens_per_block",)),
            ),
            served=served,
            model=Lookup("/v1/models", ("data", 0, "id")),
            version=Lookup("/version", ("version",)),
            checked=Checked(versions, False, limits),
        )
    )
    for title, signs, served, versions, limits in (
        (
            "TensorRT-LLM",
            ("trtllm_",),
            "trtllm_request_success_total",
            "1.2, main of November 2026 (from its source)",
            _LIMITS,
        ),
        (
            "TensorRT-LLM 1.0 and 1.1",
            ("e2e_request_latency_seconds", "request_success_total"),
            "request_success_total",
            "1.1 (from its source)",
            f"{_LIMITS} No queue, KV cache or token counts.",
        ),
    )
)

_BLOCKS = "nv_trt_llm_kv_cache_block_metrics"
_REQUESTS = "nv_trt_llm_request_metrics"

TRITON = register(
    EngineMapping(
        engine="triton-trtllm",
        title="Triton with TensorRT-LLM",
        signs=("nv_trt_llm_",),
        sources=(
            Source(metrics.REQUESTS_RUNNING, (_REQUESTS,), where={"request_type": "scheduled"}),
            Source(metrics.REQUESTS_WAITING, (_REQUESTS,), where={"request_type": "waiting"}, optional=True),
            Source(metrics.KV_CACHE_USAGE, (_BLOCKS,), where={"kv_cache_block_type": "fraction"}, optional=True),
        ),
        labels={"model": "model"},
        capacity=CapacityProduct(
            Source(metrics.KV_CACHE_CAPACITY, (_BLOCKS,), where={"kv_cache_block_type": "max"}),
            Source(metrics.KV_CACHE_CAPACITY, (_BLOCKS,), where={"kv_cache_block_type": "tokens_per"}),
        ),
        checked=Checked(
            "24.x, 25.x (from its source)",
            False,
            "No latencies, finished requests or tokens: count at a gateway or with a probe.",
        ),
    )
)
