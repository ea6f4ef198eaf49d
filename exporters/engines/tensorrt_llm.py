"""TensorRT-LLM's metrics: `trtllm-serve` (from its source, tensorrt_llm/metrics/collector.py) and Triton's backend (from the
backend's documentation and custom_metrics_reporter.cc).

trtllm-serve has it at /prometheus/metrics (with `return_perf_metrics: true`); its /metrics is a JSON list. Names without
`since` exist since 1.0; the rest came in 1.2. Triton's page has no latencies and no finished requests.
"""

from plimsoll.exporters.engines.mapping import CapacityProduct, EngineMapping, Lookup, Source, register
from plimsoll.slo import metrics

TRTLLM_SERVE = register(
    EngineMapping(
        engine="trtllm",
        title="TensorRT-LLM",
        prefixes=("trtllm_",),
        sources=(
            Source(
                metrics.REQUESTS_RUNNING, ("trtllm_num_requests_running", "trtllm_num_active_requests"), since="1.2"
            ),
            Source(
                metrics.REQUESTS_WAITING, ("trtllm_num_requests_waiting", "trtllm_server_queue_length"), since="1.2"
            ),
            Source(metrics.KV_CACHE_USAGE, ("trtllm_kv_cache_utilization",)),
            # Served from the cache, and all prompt tokens.
            Source(metrics.PREFIX_QUERIED, ("trtllm_prompt_tokens_total",), since="1.2"),
            Source(metrics.PREFIX_HIT, ("trtllm_prompt_cached_tokens_total",), since="1.2", optional=True),
            Source(metrics.PROMPT_TOKENS, ("trtllm_prompt_tokens_total",), since="1.2"),
            Source(metrics.GENERATION_TOKENS, ("trtllm_generation_tokens_total",), since="1.2"),
            Source(metrics.FINISHED, ("trtllm_request_success_total",)),
            # 4xx is the client's fault.
            Source(metrics.REJECTED, ("trtllm_request_error_total",), where={"http_code": "500"}, optional=True),
            Source(metrics.REJECTED, ("trtllm_request_error_total",), where={"http_code": "503"}, optional=True),
            Source(metrics.TTFT, ("trtllm_time_to_first_token_seconds",)),
            Source(metrics.TPOT, ("trtllm_time_per_output_token_seconds",)),
            Source(metrics.DURATION, ("trtllm_e2e_request_latency_seconds",)),
            Source(metrics.QUEUE, ("trtllm_request_queue_time_seconds",)),
            Source(metrics.PREFILL, ("trtllm_request_prefill_time_seconds",), since="1.2"),
            Source(metrics.DECODE, ("trtllm_request_decode_time_seconds",), since="1.2"),
        ),
        labels={"model_name": "model", "finished_reason": "reason", "http_code": "reason"},
        path="/prometheus/metrics",
        capacity=CapacityProduct(
            Source(metrics.KV_CACHE_CAPACITY, ("trtllm_kv_cache_max_blocks",)),
            Source(metrics.KV_CACHE_CAPACITY, ("trtllm_kv_cache_tokens_per_block",)),
        ),
        served="trtllm_request_success_total",
        version=Lookup("/version", ("version",)),
    )
)

_BLOCKS = "nv_trt_llm_kv_cache_block_metrics"
_REQUESTS = "nv_trt_llm_request_metrics"

TRITON = register(
    EngineMapping(
        engine="triton-trtllm",
        title="Triton with TensorRT-LLM",
        prefixes=("nv_trt_llm_",),
        sources=(
            Source(metrics.REQUESTS_RUNNING, (_REQUESTS,), where={"request_type": "scheduled"}),
            Source(metrics.REQUESTS_WAITING, (_REQUESTS,), where={"request_type": "waiting"}, optional=True),
            Source(metrics.KV_CACHE_USAGE, (_BLOCKS,), where={"kv_cache_block_type": "fraction"}, optional=True),
        ),
        labels={"model": "model"},
        sums=frozenset({"version"}),
        capacity=CapacityProduct(
            Source(metrics.KV_CACHE_CAPACITY, (_BLOCKS,), where={"kv_cache_block_type": "max"}),
            Source(metrics.KV_CACHE_CAPACITY, (_BLOCKS,), where={"kv_cache_block_type": "tokens_per"}),
        ),
    )
)
