"""SGLang's metrics (`--enable-metrics`), 0.4 to 0.5: from its source (srt/observability/metrics_collector.py, before
that srt/metrics/collector.py). It writes a series at its first event only.

Every tensor, pipeline and expert rank of a data-parallel rank may write the same scheduler's numbers, and newer versions
write the queue once in all (`priority=""`) and once by priority.
"""

from plimsoll.exporters.engines.mapping import EngineMapping, Lookup, Source, register
from plimsoll.slo import metrics

SGLANG = register(
    EngineMapping(
        engine="sglang",
        title="SGLang",
        prefixes=("sglang:",),
        sources=(
            Source(metrics.REQUESTS_RUNNING, ("sglang:num_running_reqs",), where={"priority": ""}),
            Source(metrics.REQUESTS_WAITING, ("sglang:num_queue_reqs",), where={"priority": ""}),
            Source(metrics.KV_CACHE_USAGE, ("sglang:token_usage",)),
            Source(metrics.KV_CACHE_CAPACITY, ("sglang:max_total_num_tokens",), since="0.5"),
            Source(metrics.PREFIX_QUERIED, ("sglang:prompt_tokens_total",)),
            Source(metrics.PREFIX_HIT, ("sglang:cached_tokens_total",), optional=True),
            Source(metrics.PREEMPTIONS, ("sglang:num_retracted_requests_total",), optional=True),
            Source(metrics.PROMPT_TOKENS, ("sglang:prompt_tokens_total",)),
            Source(metrics.GENERATION_TOKENS, ("sglang:generation_tokens_total",)),
            # It has no finish reasons; requests of disconnected clients have their own counter.
            Source(metrics.FINISHED, ("sglang:num_requests_total",), adds={"reason": "stop"}),
            Source(metrics.FINISHED, ("sglang:num_aborted_requests_total",), adds={"reason": "abort"}, optional=True),
            Source(metrics.TTFT, ("sglang:time_to_first_token_seconds",)),
            # Renamed after 0.4.4.
            Source(metrics.ITL, ("sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds")),
            Source(metrics.DURATION, ("sglang:e2e_request_latency_seconds",)),
            Source(metrics.QUEUE, ("sglang:queue_time_seconds",), since="0.5"),
            # With --collect-tokens-histogram.
            Source(metrics.PROMPT_LENGTH, ("sglang:prompt_tokens_histogram",), optional=True),
            Source(metrics.GENERATION_LENGTH, ("sglang:generation_tokens_histogram",), optional=True),
        ),
        labels={"model_name": "model", "dp_rank": "rank"},
        copies=frozenset({"tp_rank", "pp_rank", "moe_ep_rank"}),
        sums=frozenset({"is_streaming", "cache_source"}),
        served="sglang:num_requests_total",
        version=Lookup("/get_server_info", ("version",)),
    )
)
