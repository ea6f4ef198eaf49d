"""SGLang's metrics page (`--enable-metrics`), 0.4 to 0.5: from its source (srt/observability/metrics_collector.py, before
that srt/metrics/collector.py). It writes a series at its first event only.

Every tensor, pipeline and expert rank of a data-parallel rank may write the same scheduler's numbers, and newer versions
write the queue once in all (`priority=""`) and once by priority.
"""

from exporters.engines.mapping import EngineMapping, Lookup, Source
from slo import catalogue

SGLANG = EngineMapping(
    engine="sglang",
    title="SGLang",
    prefixes=("sglang:",),
    sources=(
        Source(catalogue.REQUESTS_RUNNING, ("sglang:num_running_reqs",), where={"priority": ""}),
        Source(catalogue.REQUESTS_WAITING, ("sglang:num_queue_reqs",), where={"priority": ""}),
        Source(catalogue.KV_CACHE_USAGE, ("sglang:token_usage",)),
        Source(catalogue.KV_CACHE_CAPACITY, ("sglang:max_total_num_tokens",), since="0.5"),
        Source(catalogue.PREFIX_QUERIED, ("sglang:prompt_tokens_total",)),
        Source(catalogue.PREFIX_HIT, ("sglang:cached_tokens_total",), optional=True),
        Source(catalogue.PREEMPTIONS, ("sglang:num_retracted_requests_total",), optional=True),
        Source(catalogue.PROMPT_TOKENS, ("sglang:prompt_tokens_total",)),
        Source(catalogue.GENERATION_TOKENS, ("sglang:generation_tokens_total",)),
        # It does not say why a request ended; one whose client left is counted apart.
        Source(catalogue.FINISHED, ("sglang:num_requests_total",), adds={"reason": "stop"}),
        Source(catalogue.FINISHED, ("sglang:num_aborted_requests_total",), adds={"reason": "abort"}, optional=True),
        Source(catalogue.TTFT, ("sglang:time_to_first_token_seconds",)),
        # Renamed after 0.4.4.
        Source(catalogue.ITL, ("sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds")),
        Source(catalogue.DURATION, ("sglang:e2e_request_latency_seconds",)),
        Source(catalogue.QUEUE, ("sglang:queue_time_seconds",), since="0.5"),
        # With --collect-tokens-histogram.
        Source(catalogue.PROMPT_LENGTH, ("sglang:prompt_tokens_histogram",), optional=True),
        Source(catalogue.GENERATION_LENGTH, ("sglang:generation_tokens_histogram",), optional=True),
    ),
    labels={"model_name": "model", "dp_rank": "rank"},
    copies=frozenset({"tp_rank", "pp_rank", "moe_ep_rank"}),
    sums=frozenset({"is_streaming", "cache_source"}),
    served="sglang:num_requests_total",
    version=Lookup("/get_server_info", ("version",)),
)
