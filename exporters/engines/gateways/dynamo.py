"""NVIDIA Dynamo's frontend (`dynamo_frontend_*`), 1.x: from its source (lib/runtime/src/metrics, lib/llm/src/http/service/metrics.rs).

Its model names are in lower case. `queued_requests` holds a request until its first token: prefill is included.
"""

from plimsoll.exporters.engines.mapping import Checked, EngineMapping, Source, register
from plimsoll.slo import metrics

_FAULTS = {
    "validation": "400",
    "not_found": "404",
    "overload": "overloaded",
    "unavailable": "503",
    "cancelled": "client_closed",
    "response_timeout": "504",
    "internal": "500",
    "not_implemented": "501",
    "unknown": "5xx",
    "": "5xx",
}

DYNAMO = register(
    EngineMapping(
        engine="dynamo",
        title="Dynamo frontend",
        signs=("dynamo_frontend_",),
        sources=(
            Source(metrics.GATEWAY_REQUESTS, ("dynamo_frontend_requests_total",)),
            Source(
                metrics.GATEWAY_FAILURES,
                ("dynamo_frontend_requests_total",),
                unless={"status": frozenset({"success"})},
                values=_FAULTS,
            ),
            Source(
                metrics.GATEWAY_REJECTED,
                ("dynamo_frontend_model_rejection_total",),
                adds={"reason": "capacity"},
                optional=True,
            ),
            Source(metrics.GATEWAY_TTFT, ("dynamo_frontend_time_to_first_token_seconds",), optional=True),
            Source(metrics.GATEWAY_DURATION, ("dynamo_frontend_request_duration_seconds",), optional=True),
            Source(metrics.GATEWAY_PROMPT_TOKENS, ("dynamo_frontend_input_sequence_tokens_sum",), optional=True),
            Source(metrics.GATEWAY_GENERATION_TOKENS, ("dynamo_frontend_output_sequence_tokens_sum",), optional=True),
            Source(metrics.GATEWAY_QUEUED, ("dynamo_frontend_queued_requests",), optional=True),
            Source(metrics.GATEWAY_RETRIES, ("dynamo_frontend_model_migration_total",), optional=True),
        ),
        labels={"model": "model", "error_type": "reason"},
        served="dynamo_frontend_requests_total",
        gateway=True,
        checked=Checked(
            "1.6 (from its source)",
            False,
            "Model names are in lower case: write the pool's model so. The queue includes prefill. No tenants.",
        ),
    )
)
