"""vLLM's metrics, 0.6 to 0.32: names, newest first. Checked on real pages of 0.27.1 and 0.32.0; older names from
vLLM's changelog and source (a deprecated name is hidden one minor version later and removed after two).

Ray wraps the names: `:` becomes `_`, `ray_` goes before, and each replica on the node has its own `ReplicaId`.
"""

from plimsoll.exporters.engines.mapping import CapacityInfo, EngineMapping, HttpRequests, Lookup, Source, register
from plimsoll.slo import metrics

VLLM = register(
    EngineMapping(
        engine="vllm",
        title="vLLM",
        prefixes=("vllm:", "ray_vllm_"),
        sources=(
            Source(metrics.REQUESTS_RUNNING, ("vllm:num_requests_running",)),
            Source(metrics.REQUESTS_WAITING, ("vllm:num_requests_waiting",)),
            # gpu_* until 0.9.2 (vllm-project/vllm#18354), removed in 0.12 (#29330).
            Source(metrics.KV_CACHE_USAGE, ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")),
            Source(
                metrics.PREFIX_QUERIED,
                ("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
                since="0.8",
            ),
            Source(
                metrics.PREFIX_HIT, ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"), since="0.8"
            ),
            # A KV connector's (vllm-project/vllm#28585); 0 without one.
            Source(metrics.EXTERNAL_PREFIX_QUERIED, ("vllm:external_prefix_cache_queries_total",), since="0.12"),
            Source(metrics.EXTERNAL_PREFIX_HIT, ("vllm:external_prefix_cache_hits_total",), since="0.12"),
            # Only where speculative decoding is on.
            Source(metrics.DRAFTS, ("vllm:spec_decode_num_drafts_total",), optional=True),
            Source(metrics.DRAFTED, ("vllm:spec_decode_num_draft_tokens_total",), optional=True),
            Source(metrics.DRAFTED_ACCEPTED, ("vllm:spec_decode_num_accepted_tokens_total",), optional=True),
            Source(metrics.PREEMPTIONS, ("vllm:num_preemptions_total",)),
            Source(metrics.PROMPT_TOKENS, ("vllm:prompt_tokens_total",)),
            Source(metrics.GENERATION_TOKENS, ("vllm:generation_tokens_total",)),
            Source(metrics.FINISHED, ("vllm:request_success_total",)),
            # Each of these was answered with HTTP 503.
            Source(metrics.REJECTED, ("vllm:admission_rejections_total",), since="0.32"),
            Source(metrics.TTFT, ("vllm:time_to_first_token_seconds",)),
            # time_per_output_token held the gaps between tokens: deprecated in 0.11 (#24110), removed in 0.14 (#32661).
            Source(metrics.ITL, ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")),
            Source(metrics.TPOT, ("vllm:request_time_per_output_token_seconds",), since="0.11"),
            Source(metrics.DURATION, ("vllm:e2e_request_latency_seconds",)),
            Source(metrics.QUEUE, ("vllm:request_queue_time_seconds", "vllm:time_in_queue_requests"), since="0.7"),
            Source(metrics.PREFILL, ("vllm:request_prefill_time_seconds",), since="0.7"),
            Source(metrics.DECODE, ("vllm:request_decode_time_seconds",), since="0.7"),
            Source(metrics.PROMPT_LENGTH, ("vllm:request_prompt_tokens",)),
            Source(metrics.GENERATION_LENGTH, ("vllm:request_generation_tokens",)),
            # Written by exporters/vllm/plugin.py on the engine's own page.
            Source(metrics.OBJECTIVE_REQUESTS, (metrics.OBJECTIVE_REQUESTS.name,), optional=True),
            Source(metrics.ADAPTER_REQUESTS, (metrics.ADAPTER_REQUESTS.name,), optional=True),
        ),
        labels={"engine": "rank", "ReplicaId": "rank", "model_name": "model", "finished_reason": "reason"},
        # kv_cache_memory_bytes is None unless --kv-cache-memory-bytes was given (vLLM 0.32's log proposes a value at its start).
        # num_gpu_blocks is the sum over all ranks, written on every rank's row; kv_cache_size_tokens (by 0.27) is one rank's.
        capacity=CapacityInfo(
            "vllm:cache_config_info", "kv_cache_size_tokens", "num_gpu_blocks", "block_size", "kv_cache_memory_bytes"
        ),
        # Handlers that are left out (batch, scoring, audio) ask for several generations a request or for none.
        http=HttpRequests(
            "http_requests_total",
            frozenset(
                {
                    "/v1/chat/completions",
                    "/v1/completions",
                    "/v1/messages",
                    "/v1/responses",
                    "/cohere/v2/chat",
                    "/inference/v1/generate",
                    "/generate",
                }
            ),
        ),
        choices="vllm:request_params_n",
        version=Lookup("/version", ("version",)),
    )
)
