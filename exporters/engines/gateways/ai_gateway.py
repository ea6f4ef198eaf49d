"""Envoy AI Gateway: OpenTelemetry's names of generative AI as Prometheus writes them (internal/metrics of its source).

Envoy's own 429 aren't in them. A request without `error_type` succeeded. Its tenants are request headers that its operator
maps to labels, here `tenant`, `tenant_id` or `team`.
"""

from plimsoll.exporters.engines.mapping import Checked, EngineMapping, Source, register
from plimsoll.slo import metrics

_DURATION = "gen_ai_server_request_duration_seconds"
_TOKENS = "gen_ai_client_token_usage_token_sum"

AI_GATEWAY = register(
    EngineMapping(
        engine="ai-gateway",
        title="Envoy AI Gateway",
        signs=("gen_ai_server_",),
        sources=(
            Source(metrics.GATEWAY_REQUESTS, (f"{_DURATION}_count",), optional=True),
            Source(
                metrics.GATEWAY_FAILURES,
                (f"{_DURATION}_count",),
                unless={"error_type": frozenset({""})},
                values={"_OTHER": "5xx"},
                optional=True,
            ),
            Source(metrics.GATEWAY_TTFT, ("gen_ai_server_time_to_first_token_seconds",)),
            Source(metrics.GATEWAY_TPOT, ("gen_ai_server_time_per_output_token_seconds",), optional=True),
            Source(metrics.GATEWAY_DURATION, (_DURATION,), unless={"error_type": frozenset({"_OTHER"})}, optional=True),
            Source(metrics.GATEWAY_PROMPT_TOKENS, (_TOKENS,), where={"gen_ai_token_type": "input"}, optional=True),
            Source(metrics.GATEWAY_GENERATION_TOKENS, (_TOKENS,), where={"gen_ai_token_type": "output"}, optional=True),
        ),
        labels={
            **{"gen_ai_response_model": "model", "gen_ai_request_model": "model", "gen_ai_original_model": "model"},
            **{"error_type": "reason", "tenant_id": "tenant", "team": "tenant", "tenant": "tenant"},
        },
        gateway=True,
        checked=Checked(
            "of 2026 (from its source)", False, "Envoy's own 429 and 503 are not in its metrics. No queue."
        ),
    )
)
