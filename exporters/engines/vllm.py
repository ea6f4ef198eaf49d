"""vLLM's metrics, 0.6 to 0.33: names, newest first. Checked on real pages of 0.27.1 and 0.32.0; older names from
vLLM's changelog and source (a deprecated name is hidden one minor version later and removed after two).

With a KV connector a page has its families too (`nixl_`, `mooncake_`); `nixl_num_failed_notifications` is a part of the failed
transfers. On a prefill engine a request finishes with its one token.
"""

from dataclasses import replace

from plimsoll.exporters.engines.mapping import (
    CapacityInfo,
    Checked,
    EngineMapping,
    HttpRequests,
    Lookup,
    Source,
    register,
)
from plimsoll.slo import metrics

_TIERS = {"p2p": "peer", "external_unspecified": "other"}
_PROMPT_SOURCES = {"local_compute": "computed", "local_cache_hit": "cached", "external_kv_transfer": "transferred"}
_FAILURES = {
    "vllm:nixl_num_failed_transfers_total": "transport",
    "vllm:nixl_num_kv_expired_reqs_total": "expired",
    "vllm:nixl_num_notifications_after_expiry_total": "late",
    "vllm:mooncake_num_failed_transfers_total": "transport",
    "vllm:mooncake_num_failed_recvs_total": "transport",
    "vllm:mooncake_num_kv_expired_reqs_total": "expired",
}
_STAGES = {"waiting_to_start": "to_start", "completed_waiting": "arrived"}
_TIER_FAILURES = (
    "vllm:kv_offload_allocation_failure_total",
    "vllm:kv_offload_tiering_promotion_job_failures_total",
    "vllm:kv_offload_tiering_cascade_job_failures_total",
    # LMCache's, on the same page.
    "lmcache:put_failed_count_total",
    "lmcache:get_blocking_failed_count_total",
)
# Present only with a connector, an offload tier, a newer version or an option.
_PARTS = (
    Source(metrics.KV_TRANSFER_REQUESTS, ("vllm:num_requests_kv_fetch_by_stage",), values=_STAGES, optional=True),
    *(
        source
        for kind in ("nixl", "mooncake")
        for source in (
            Source(metrics.KV_TRANSFER_TIME, (f"vllm:{kind}_xfer_time_seconds",), optional=True),
            Source(metrics.KV_TRANSFER_BYTES, (f"vllm:{kind}_bytes_transferred_sum",), optional=True),
        )
    ),
    *(
        Source(metrics.KV_TRANSFER_FAILURES, (name,), adds={"reason": reason}, optional=True)
        for name, reason in _FAILURES.items()
    ),
    Source(metrics.REPLICA_AWAKE, ("vllm:engine_sleep_state",), where={"sleep_state": "awake"}, optional=True),
    Source(metrics.CORRUPTED, ("vllm:corrupted_requests_total",), optional=True),
    Source(
        metrics.PROMPT_TOKENS_BY_SOURCE, ("vllm:prompt_tokens_by_source_total",), values=_PROMPT_SOURCES, optional=True
    ),
    *(
        Source(
            metrics.CACHED_TOKENS,
            ("vllm:prompt_tokens_cached_by_source_total",),
            where={"source": theirs},
            adds={"tier": _TIERS.get(theirs, theirs)},
            optional=True,
        )
        for theirs in ("device", "host", "p2p", "disk", "external_unspecified")
    ),
    Source(metrics.KV_TIER_USAGE, ("vllm:kv_offload_cpu_cache_usage_perc",), adds={"tier": "host"}, optional=True),
    *(Source(metrics.KV_TIER_FAILURES, (name,), optional=True) for name in _TIER_FAILURES),
    Source(metrics.ESTIMATED_FLOPS, ("vllm:estimated_flops_per_gpu_total",), optional=True),
    *(
        Source(
            metrics.ESTIMATED_MEMORY_BYTES,
            (f"vllm:estimated_{direction}_bytes_per_gpu_total",),
            adds={"direction": direction},
            optional=True,
        )
        for direction in ("read", "write")
    ),
)

VLLM = register(
    EngineMapping(
        engine="vllm",
        title="vLLM",
        signs=("vllm:",),
        sources=(
            Source(metrics.REQUESTS_RUNNING, ("vllm:num_requests_running",)),
            Source(metrics.REQUESTS_WAITING, ("vllm:num_requests_waiting",)),
            Source(metrics.WAITING_BY_REASON, ("vllm:num_requests_waiting_by_reason",), optional=True),
            # gpu_* until 0.9.2 (vllm-project/vllm#18354), removed in 0.12 (#29330).
            Source(metrics.KV_CACHE_USAGE, ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")),
            # The V0 engine, removed in 0.11, never had these.
            Source(
                metrics.PREFIX_QUERIED,
                ("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
                since="0.11",
            ),
            Source(
                metrics.PREFIX_HIT, ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"), since="0.11"
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
            Source(metrics.PROGRESS_TOKENS, ("vllm:prompt_tokens_total",)),
            Source(metrics.PROGRESS_TOKENS, ("vllm:generation_tokens_total",)),
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
            *_PARTS,
            # Written by exporters/vllm/plugin.py on the engine's own page.
            Source(metrics.OBJECTIVE_REQUESTS, (metrics.OBJECTIVE_REQUESTS.name,), optional=True),
            Source(metrics.ADAPTER_REQUESTS, (metrics.ADAPTER_REQUESTS.name,), optional=True),
            Source(metrics.ENGINE_SETTING, (metrics.ENGINE_SETTING.name,), optional=True),
        ),
        labels={"engine": "rank", "model_name": "model", "finished_reason": "reason"},
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
                    "/invocations",
                }
            ),
        ),
        choices="vllm:request_params_n",
        role=("dynamo_component",),
        version=Lookup("/version", ("version",)),
        checked=Checked(
            "0.8.5, 0.10.2, 0.11.0, 0.27.1 (real), 0.32.0 (real, also with two API servers and with two data-parallel ranks), 0.33 (names)",
            True,
            "Clients that left are lower bounds while requests run. A prefill engine counts a first token and a finished request of its own.",
        ),
    )
)

TRITON_VLLM = register(
    replace(
        VLLM,
        engine="triton-vllm",
        title="Triton with vLLM",
        signs=("vllm:", "nv_inference_"),
        sources=tuple(replace(source, optional=True) for source in VLLM.sources),
        labels={"model": "model", "finished_reason": "reason"},
        capacity=None,
        http=None,
        version=None,
        checked=Checked(
            "25.x (from its documentation)",
            False,
            "What its backend passes on: some versions have no queue, no KV cache and no errors.",
        ),
    )
)
