"""The metrics of llama.cpp's server (`--metrics`): from its source (tools/server/server.cpp, get_metrics).

It has no labels and no latencies: what its users feel is measured by a probe. The KV cache's usage left the page in 2025.
"""

from plimsoll.exporters.engines.mapping import EngineMapping, Lookup, Source, register
from plimsoll.slo import metrics

LLAMACPP = register(
    EngineMapping(
        engine="llamacpp",
        title="llama.cpp",
        prefixes=("llamacpp:",),
        sources=(
            Source(metrics.REQUESTS_RUNNING, ("llamacpp:requests_processing",)),
            Source(metrics.REQUESTS_WAITING, ("llamacpp:requests_deferred",)),
            Source(metrics.KV_CACHE_USAGE, ("llamacpp:kv_cache_usage_ratio",), optional=True),
            Source(metrics.PROMPT_TOKENS, ("llamacpp:prompt_tokens_total",)),
            Source(metrics.GENERATION_TOKENS, ("llamacpp:tokens_predicted_total",)),
        ),
        labels={},
        model=Lookup("/v1/models", ("data", 0, "id")),
        version=Lookup("/props", ("build_info",)),
    )
)
