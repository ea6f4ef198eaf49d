"""NVIDIA NIM for LLMs: from its documentation (observability page). vLLM's older names without a prefix, at /v1/metrics."""

from plimsoll.exporters.engines.mapping import Checked, EngineMapping, Lookup, Source, register
from plimsoll.slo import metrics

NIM = register(
    EngineMapping(
        engine="nim",
        title="NVIDIA NIM",
        signs=("num_requests_running", "num_requests_waiting", "gpu_cache_usage_perc"),
        sources=(
            Source(metrics.REQUESTS_RUNNING, ("num_requests_running",)),
            Source(metrics.REQUESTS_WAITING, ("num_requests_waiting",)),
            Source(metrics.KV_CACHE_USAGE, ("gpu_cache_usage_perc",)),
            Source(metrics.PROMPT_TOKENS, ("prompt_tokens_total",)),
            Source(metrics.GENERATION_TOKENS, ("generation_tokens_total",)),
            Source(metrics.PROGRESS_TOKENS, ("prompt_tokens_total",)),
            Source(metrics.PROGRESS_TOKENS, ("generation_tokens_total",)),
            Source(metrics.FINISHED, ("request_success_total",), adds={"reason": "stop"}),
            Source(metrics.FINISHED, ("request_failure_total",), adds={"reason": "error"}, optional=True),
            Source(metrics.TTFT, ("time_to_first_token_seconds",)),
            # As in vLLM of that time, the gaps between tokens.
            Source(metrics.ITL, ("time_per_output_token_seconds",)),
            Source(metrics.DURATION, ("e2e_request_latency_seconds",)),
            Source(metrics.PROMPT_LENGTH, ("request_prompt_tokens",)),
            Source(metrics.GENERATION_LENGTH, ("request_generation_tokens",)),
        ),
        labels={"model_name": "model", "engine": "rank"},
        path="/v1/metrics",
        served="request_success_total",
        model=Lookup("/v1/models", ("data", 0, "id")),
        version=Lookup("/v1/version", ("release",)),
        checked=Checked(
            "1.x (from its documentation)", False, "No time per output token of a request, no clients that left."
        ),
    )
)
