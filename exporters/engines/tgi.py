"""The metrics of Hugging Face's Text Generation Inference, 2.x and 3.x: from its source (router/src/server.rs,
infer/, backends/v3/src/queue.rs) and docs/source/reference/metrics.md.

No label names the model, counters have no `_total`, and a series appears at its first event. It has no time to first token
and no KV-cache usage. A client that left is counted as `dropped`, queued or mid-stream alike.
"""

from plimsoll.exporters.engines.mapping import Checked, EngineMapping, Lookup, Source, register
from plimsoll.slo import metrics

TGI = register(
    EngineMapping(
        engine="tgi",
        title="TGI",
        signs=("tgi_",),
        sources=(
            Source(metrics.REQUESTS_RUNNING, ("tgi_batch_current_size",)),
            Source(metrics.REQUESTS_WAITING, ("tgi_queue_size",)),
            Source(metrics.PROMPT_TOKENS, ("tgi_request_input_length_sum",)),
            Source(metrics.GENERATION_TOKENS, ("tgi_request_generated_tokens_sum",)),
            Source(metrics.FINISHED, ("tgi_request_success",), adds={"reason": "stop"}),
            Source(
                metrics.FINISHED, ("tgi_request_failure",), {"err": "generation"}, {"reason": "error"}, optional=True
            ),
            Source(metrics.FINISHED, ("tgi_request_failure",), {"err": "dropped"}, {"reason": "abort"}, optional=True),
            Source(
                metrics.REJECTED,
                ("tgi_request_failure",),
                {"err": "overloaded"},
                {"reason": "overloaded"},
                optional=True,
            ),
            Source(metrics.TPOT, ("tgi_request_mean_time_per_token_duration",)),
            Source(metrics.DURATION, ("tgi_request_duration",)),
            Source(metrics.QUEUE, ("tgi_request_queue_duration",)),
            Source(metrics.PROMPT_LENGTH, ("tgi_request_input_length",)),
            Source(metrics.GENERATION_LENGTH, ("tgi_request_generated_tokens",)),
        ),
        labels={},
        served="tgi_request_success",
        model=Lookup("/info", ("model_id",)),
        version=Lookup("/info", ("version",)),
        checked=Checked(
            "2.4, 3.3 (from its source)",
            False,
            "No time to first token, no KV cache usage. Tokens are counted when a request finishes: no stall alert.",
        ),
    )
)
