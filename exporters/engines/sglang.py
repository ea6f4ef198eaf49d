"""SGLang's metrics (`--enable-metrics`), 0.4 to 0.5: from its source (srt/observability/metrics_collector.py, before
that srt/metrics/collector.py). It writes a series at its first event only.

Every tensor, pipeline and expert rank of a data-parallel rank may write the same scheduler's numbers, and newer versions
write the queue once in all (`priority=""`) and once by priority. A request's own counters are written under its priority and
its tenant's labels: those are parts of one number. They count tokens when a request finishes; only `realtime_tokens_total`
counts while it runs. `num_requests_total` includes requests that were aborted.
"""

from plimsoll.exporters.engines.mapping import Checked, EngineMapping, HttpRequests, Lookup, Source, register
from plimsoll.slo import metrics

_ALL = {"priority": ""}
_PREFILL = frozenset({"prefill"})  # stops at the first token, and records no token latencies
_QUEUES = {
    "sglang:num_prefill_bootstrap_queue_reqs": "to_start",
    "sglang:num_prefill_inflight_queue_reqs": "in_progress",
    "sglang:num_decode_prealloc_queue_reqs": "to_start",
    "sglang:num_decode_transfer_queue_reqs": "in_progress",
}
_WAITING = {
    "sglang:num_queue_reqs": "capacity",
    "sglang:num_grammar_queue_reqs": "deferred",
    "sglang:num_paused_reqs": "paused",
}
_FAILURES = {
    "sglang:num_transfer_failed_reqs_total": "transport",
    "sglang:num_bootstrap_failed_reqs_total": "bootstrap",
}
_SOURCES = {"prefill_compute": "computed", "prefill_cache": "cached"}
_DECODED = frozenset({"decode"})
_TIERS = {"storage": "disk", "total": "other"}

SGLANG = register(
    EngineMapping(
        engine="sglang",
        title="SGLang",
        signs=("sglang:",),
        sources=(
            Source(metrics.REQUESTS_RUNNING, ("sglang:num_running_reqs",), where=_ALL),
            Source(metrics.REQUESTS_WAITING, ("sglang:num_queue_reqs",), where=_ALL),
            *(
                Source(metrics.WAITING_BY_REASON, (name,), where=_ALL, adds={"reason": reason}, optional=True)
                for name, reason in _WAITING.items()
            ),
            *(
                Source(metrics.KV_TRANSFER_REQUESTS, (name,), where=_ALL, adds={"stage": stage}, optional=True)
                for name, stage in _QUEUES.items()
            ),
            Source(metrics.KV_CACHE_USAGE, ("sglang:token_usage",)),
            Source(metrics.KV_CACHE_CAPACITY, ("sglang:max_total_num_tokens",), since="0.5"),
            Source(metrics.PREFIX_QUERIED, ("sglang:prompt_tokens_total",)),
            Source(metrics.PREFIX_HIT, ("sglang:cached_tokens_total",), optional=True),
            Source(metrics.CACHED_TOKENS, ("sglang:cached_tokens_total",), values=_TIERS, optional=True),
            Source(
                metrics.PROMPT_TOKENS_BY_SOURCE,
                ("sglang:realtime_tokens_total",),
                unless={"mode": _DECODED},
                values=_SOURCES,
                optional=True,
            ),
            Source(metrics.PREEMPTIONS, ("sglang:num_retracted_requests_total",), optional=True),
            Source(metrics.PROMPT_TOKENS, ("sglang:prompt_tokens_total",)),
            Source(metrics.GENERATION_TOKENS, ("sglang:generation_tokens_total",)),
            Source(metrics.PROGRESS_TOKENS, ("sglang:realtime_tokens_total",), optional=True),
            Source(metrics.FINISHED, ("sglang:num_requests_total",), adds={"reason": "stop"}),
            Source(metrics.FINISHED, ("sglang:num_aborted_requests_total",), adds={"reason": "abort"}, optional=True),
            Source(metrics.TTFT, ("sglang:time_to_first_token_seconds",), lacking=_PREFILL),
            # Renamed after 0.4.4.
            Source(
                metrics.ITL,
                ("sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds"),
                lacking=_PREFILL,
            ),
            Source(metrics.TPOT, ("sglang:request_time_per_output_token_seconds",), optional=True),
            Source(metrics.DURATION, ("sglang:e2e_request_latency_seconds",)),
            Source(metrics.QUEUE, ("sglang:queue_time_seconds",), since="0.5"),
            # With --collect-tokens-histogram.
            Source(metrics.PROMPT_LENGTH, ("sglang:prompt_tokens_histogram",), optional=True),
            Source(metrics.GENERATION_LENGTH, ("sglang:generation_tokens_histogram",), optional=True),
            Source(metrics.KV_TRANSFER_TIME, ("sglang:kv_transfer_latency_ms",), scale=0.001, optional=True),
            Source(metrics.KV_TRANSFER_BYTES, ("sglang:kv_transfer_total_mb_sum",), scale=2.0**20, optional=True),
            *(
                Source(metrics.KV_TRANSFER_FAILURES, (name,), adds={"reason": reason}, optional=True)
                for name, reason in _FAILURES.items()
            ),
            Source(metrics.ESTIMATED_FLOPS, ("sglang:estimated_flops_per_gpu_total",), optional=True),
            *(
                Source(
                    metrics.ESTIMATED_MEMORY_BYTES,
                    (f"sglang:estimated_{direction}_bytes_per_gpu_total",),
                    adds={"direction": direction},
                    optional=True,
                )
                for direction in ("read", "write")
            ),
            *(
                Source(
                    metrics.ADAPTER_SLOTS, (f"sglang:lora_pool_slots_{state}",), adds={"state": state}, optional=True
                )
                for state in ("used", "total")
            ),
        ),
        labels={
            **{"model_name": "model", "dp_rank": "rank"},
            **{"cache_source": "tier", "mode": "source"},
        },
        copies=frozenset({"tp_rank", "pp_rank", "moe_ep_rank"}),
        http=HttpRequests(
            "sglang:http_responses_total",
            frozenset(
                {
                    *("/generate", "/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses"),
                    *("/invocations", "/vertex_generate", "/api/chat", "/api/generate"),
                }
            ),
            "endpoint",
            "status_code",
            at_end=False,
        ),
        served="sglang:num_requests_total",
        version=Lookup("/get_server_info", ("version",)),
        role=("engine_type",),
        aborted=True,
        checked=Checked(
            "0.5.3, 0.5.12, 0.5.23 (from its source)",
            False,
            "Clients that left are counted as aborted, without the stage. No stall alert unless `realtime_tokens_total` is there.",
        ),
    )
)
