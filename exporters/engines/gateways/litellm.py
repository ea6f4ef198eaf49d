"""LiteLLM's metrics (callback `prometheus`), 1.60 and later: from its source (litellm/integrations/prometheus.py and
types/integrations/prometheus.py). A gateway: one page is about many models; its teams are our tenants.

Its latencies are in seconds; the one of the whole request includes the gateway's own work, the one to the first token counts
from the call to the engine and exists for streams only. Users, keys and engines are added up. A team without an alias is
named by its id; a request without a team has no tenant.
"""

from plimsoll.exporters.engines.mapping import Checked, EngineMapping, Source, register
from plimsoll.slo import metrics

LITELLM = register(
    EngineMapping(
        engine="litellm",
        title="LiteLLM",
        signs=("litellm_",),
        sources=(
            Source(metrics.GATEWAY_REQUESTS, ("litellm_proxy_total_requests_metric_total",)),
            Source(metrics.GATEWAY_FAILURES, ("litellm_proxy_failed_requests_metric_total",), optional=True),
            Source(metrics.GATEWAY_PROMPT_TOKENS, ("litellm_input_tokens_metric_total",), optional=True),
            Source(metrics.GATEWAY_GENERATION_TOKENS, ("litellm_output_tokens_metric_total",), optional=True),
            Source(metrics.GATEWAY_TTFT, ("litellm_llm_api_time_to_first_token_metric",), optional=True),
            Source(metrics.GATEWAY_DURATION, ("litellm_request_total_latency_metric",), optional=True),
        ),
        labels={
            **{"litellm_model_name": "model", "model": "model", "requested_model": "model"},
            **{"team": "tenant", "team_alias": "tenant", "exception_status": "reason"},
        },
        path="/metrics/",
        served="litellm_proxy_total_requests_metric_total",
        gateway=True,
        checked=Checked(
            "1.80, 1.110 (from its source), 1.108.7 (real, with two workers)",
            True,
            "Several workers need PROMETHEUS_MULTIPROC_DIR, which newer versions set themselves; without it nothing is counted. The time to first token begins at the call to the engine.",
        ),
    )
)
