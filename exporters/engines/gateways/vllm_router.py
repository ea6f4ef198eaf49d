"""vLLM production stack's router: from its source (src/vllm_router/services/metrics_service). A router that re-exports engines'
gauges by server: those are the engines' own, and aren't read here.
"""

from plimsoll.exporters.engines.mapping import Checked, EngineMapping, Source, register
from plimsoll.slo import metrics

VLLM_ROUTER = register(
    EngineMapping(
        engine="vllm-router",
        title="vLLM production stack's router",
        signs=("vllm:healthy_pods_total", "vllm:"),
        sources=(
            Source(metrics.GATEWAY_REQUESTS, ("vllm:num_incoming_requests_total",), optional=True),
            Source(
                metrics.GATEWAY_FAILURES,
                ("vllm:request_errors_total",),
                values={"client_disconnect": "client_closed"},
                optional=True,
            ),
            Source(metrics.GATEWAY_DURATION, ("vllm:request_latency_seconds",), optional=True),
            Source(metrics.GATEWAY_READY, ("vllm:healthy_pods_total",)),
        ),
        labels={"model": "model", "error_type": "reason"},
        gateway=True,
        checked=Checked(
            "of 2026 (from its source)",
            False,
            "No time to first token, no queue. Versions without request counters report only how many engines are ready.",
        ),
    )
)
