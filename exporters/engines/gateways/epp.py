"""llm-d's endpoint picker (`llm_d_epp_*`) and its forerunner, the Gateway API inference extension's: from llm-d-router's source
(pkg/epp/metrics, pkg/epp/handlers, pkg/common/error).

`request_total` grows when a request was scheduled; one that was rejected or couldn't be read is in `request_error_total` only,
one that failed at its engine (ModelServerError) in both. Old and new names are written side by side: only the newest is read.
429 (ResourceExhausted) means that the queue was full or the wait too long: our overload, not the client's fault.
"""

from plimsoll.exporters.engines.mapping import Checked, EngineMapping, Source, register
from plimsoll.slo import metrics

_NEW, _OLD, _OLDEST = "llm_d_epp_", "inference_objective_", "inference_model_"
_ERRORS = (f"{_NEW}request_error_total", f"{_OLD}request_error_total", f"{_OLDEST}request_error_total")
_AT_ENGINE = frozenset({"ModelServerError"})
_FAULTS = {
    "ResourceExhausted": "overloaded",
    "InferencePoolResourceExhausted": "overloaded",
    "ServiceUnavailable": "503",
    "ModelServerError": "502",
    "BadRequest": "400",
    "Unauthorized": "401",
    "Forbidden": "403",
    "NotFound": "404",
    "Unknown": "5xx",
    "Internal": "500",
    "BadConfiguration": "500",
}
_OUTCOMES = {
    "RejectedCapacity": "capacity",
    "RejectedNoEndpoints": "no_endpoint",
    "RejectedOther": "policy",
    "EvictedTTL": "timeout",
    "EvictedNoEndpoints": "no_endpoint",
    "EvictedContextCancelled": "left",
    "EvictedOther": "policy",
}


def _flow(name: str) -> tuple[str, ...]:
    return tuple(f"{prefix}flow_control_{name}" for prefix in (_NEW, "inference_extension_"))


EPP = tuple(
    register(
        EngineMapping(
            engine="epp",
            title=title,
            signs=(sign,),
            sources=(
                Source(metrics.GATEWAY_REQUESTS, tuple(f"{one}request_total" for one in (_NEW, _OLD, _OLDEST))),
                Source(metrics.GATEWAY_REQUESTS, _ERRORS, unless={"error_code": _AT_ENGINE}, optional=True),
                Source(metrics.GATEWAY_FAILURES, _ERRORS, values=_FAULTS, optional=True),
                Source(
                    metrics.GATEWAY_TTFT, (f"{_NEW}request_ttft_seconds",), where={"streaming": "true"}, optional=True
                ),
                Source(metrics.GATEWAY_TPOT, (f"{_NEW}request_streaming_tpot_seconds",), optional=True),
                Source(
                    metrics.GATEWAY_DURATION,
                    tuple(f"{one}request_duration_seconds" for one in (_NEW, _OLD, _OLDEST)),
                    optional=True,
                ),
                Source(
                    metrics.GATEWAY_PROMPT_TOKENS,
                    (f"{_NEW}request_input_tokens_sum", f"{_OLD}input_tokens_sum", f"{_OLDEST}input_tokens_sum"),
                    optional=True,
                ),
                Source(
                    metrics.GATEWAY_GENERATION_TOKENS,
                    (f"{_NEW}request_output_tokens_sum", f"{_OLD}output_tokens_sum", f"{_OLDEST}output_tokens_sum"),
                    optional=True,
                ),
                Source(metrics.GATEWAY_QUEUED, _flow("queue_size"), optional=True),
                Source(metrics.GATEWAY_QUEUE_TIME, _flow("request_queue_duration_seconds"), optional=True),
                *(
                    Source(
                        metrics.GATEWAY_REJECTED,
                        _flow("requests_total"),
                        {"outcome": outcome},
                        {"reason": reason},
                        optional=True,
                    )
                    for outcome, reason in _OUTCOMES.items()
                ),
                Source(metrics.GATEWAY_SATURATION, _flow("pool_saturation"), optional=True),
                Source(metrics.GATEWAY_READY, (f"{_NEW}ready_endpoints", "inference_pool_ready_pods"), optional=True),
            ),
            labels={"model_name": "model", "fairness_id": "tenant", "error_code": "reason"},
            gateway=True,
            checked=Checked(
                "llm-d-router of August 2026 (from its source)",
                False,
                "Latencies of responses that ended. Without flow control no queue; rejections by cause name no model.",
            ),
        )
    )
    for title, sign in (
        ("llm-d endpoint picker", _NEW),
        ("Gateway API inference extension", _OLD),
        ("Gateway API inference extension before 1.0", _OLDEST),
    )
)
