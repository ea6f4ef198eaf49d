"""The metrics of llama.cpp's server (`--metrics`): from its source (tools/server/server.cpp, get_metrics).

It has no labels and no latencies: what its users feel is measured by a probe. The KV cache's usage left the page in 2025.
"""

from plimsoll.exporters.engines.mapping import Checked, EngineMapping, Lookup, Source, register
from plimsoll.slo import metrics

LLAMACPP = register(
    EngineMapping(
        engine="llamacpp",
        title="llama.cpp",
        signs=("llamacpp:",),
        sources=(
            Source(metrics.REQUESTS_RUNNING, ("llamacpp:requests_processing",)),
            Source(metrics.REQUESTS_WAITING, ("llamacpp:requests_deferred",)),
            Source(metrics.KV_CACHE_USAGE, ("llamacpp:kv_cache_usage_ratio",), optional=True),
            # Tokens from the cache, which the first counter leaves out, have had a counter of their own since 2026.
            Source(metrics.PROMPT_TOKENS, ("llamacpp:prompt_tokens_total",)),
            Source(metrics.PROMPT_TOKENS, ("llamacpp:prompt_tokens_cached_total",), optional=True),
            Source(metrics.PREFIX_QUERIED, ("llamacpp:prompt_tokens_total",)),
            Source(metrics.PREFIX_QUERIED, ("llamacpp:prompt_tokens_cached_total",), optional=True),
            Source(metrics.PREFIX_HIT, ("llamacpp:prompt_tokens_cached_total",), optional=True),
            Source(metrics.GENERATION_TOKENS, ("llamacpp:tokens_predicted_total",)),
            Source(metrics.DRAFTS, ("llamacpp:spec_decode_num_drafts_total",), optional=True),
            Source(metrics.DRAFTED, ("llamacpp:spec_decode_num_draft_tokens_total",), optional=True),
            Source(metrics.DRAFTED_ACCEPTED, ("llamacpp:spec_decode_num_accepted_tokens_total",), optional=True),
        ),
        labels={},
        model=Lookup("/v1/models", ("data", 0, "id")),
        version=Lookup("/props", ("build_info",)),
        checked=Checked(
            "b6000 (from its source), b11669 (real)",
            True,
            "No latencies and no finished requests: measure with a probe. Tokens are counted when a request finishes: no stall alert.",
        ),
    )
)
