"""SGLang's router (`sgl_router_*`) and its successor, the model gateway (`smg_*`): from SMG's source, 1.13.

Time to first token and tokens are counted in its gRPC mode only.
"""

from plimsoll.exporters.engines.mapping import Checked, EngineMapping, Source, register
from plimsoll.slo import metrics

SMG = tuple(
    register(
        EngineMapping(
            engine="smg",
            title=title,
            signs=(prefix,),
            sources=(
                Source(metrics.GATEWAY_REQUESTS, (f"{prefix}router_requests_total", f"{prefix}requests_total")),
                Source(
                    metrics.GATEWAY_FAILURES,
                    (f"{prefix}router_request_errors_total", f"{prefix}request_errors_total"),
                    values={
                        "rate_limited": "429",
                        "validation": "400",
                        "not_found": "404",
                        "cancelled": "client_closed",
                    },
                    optional=True,
                ),
                Source(
                    metrics.GATEWAY_REJECTED,
                    (f"{prefix}admission_queue_rejected_total",),
                    adds={"reason": "capacity"},
                    optional=True,
                ),
                # With prefill and decode apart only the router sees both.
                Source(
                    metrics.GATEWAY_TTFT, (f"{prefix}pd_ttft_seconds", f"{prefix}router_ttft_seconds"), optional=True
                ),
                Source(metrics.GATEWAY_TPOT, (f"{prefix}router_tpot_seconds",), optional=True),
                Source(
                    metrics.GATEWAY_DURATION,
                    (f"{prefix}router_request_duration_seconds", f"{prefix}generate_duration_seconds"),
                    optional=True,
                ),
                Source(metrics.GATEWAY_QUEUED, (f"{prefix}admission_queue_depth",), optional=True),
                Source(
                    metrics.GATEWAY_RETRIES, (f"{prefix}worker_retries_total", f"{prefix}retries_total"), optional=True
                ),
            ),
            labels={"model": "model", "error_type": "reason"},
            gateway=True,
            checked=Checked(versions, False, "Latencies and tokens in gRPC mode only. No tenants."),
        )
    )
    for title, prefix, versions in (
        ("SGLang model gateway", "smg_", "1.13 (from its source)"),
        ("SGLang router", "sgl_router_", "0.2 (names only)"),
    )
)
