"""The metrics page of Hugging Face's Text Generation Inference, 2.x and 3.x: from its source (router/src/server.rs,
infer/, backends/v3/src/queue.rs) and docs/source/reference/metrics.md.

No label names the model, counters have no `_total`, and a series appears at its first event. It has no time to first token
and no KV-cache usage. A client that left is counted as `dropped`, queued or mid-stream alike.
"""

from exporters.engines.mapping import EngineMapping, Lookup, Source
from slo import catalogue

TGI = EngineMapping(
    engine="tgi",
    title="TGI",
    prefixes=("tgi_",),
    sources=(
        Source(catalogue.REQUESTS_RUNNING, ("tgi_batch_current_size",)),
        Source(catalogue.REQUESTS_WAITING, ("tgi_queue_size",)),
        Source(catalogue.PROMPT_TOKENS, ("tgi_request_input_length_sum",)),
        Source(catalogue.GENERATION_TOKENS, ("tgi_request_generated_tokens_sum",)),
        Source(catalogue.FINISHED, ("tgi_request_success",), adds={"reason": "stop"}),
        Source(catalogue.FINISHED, ("tgi_request_failure",), {"err": "generation"}, {"reason": "error"}, optional=True),
        Source(catalogue.FINISHED, ("tgi_request_failure",), {"err": "dropped"}, {"reason": "abort"}, optional=True),
        Source(
            catalogue.REJECTED,
            ("tgi_request_failure",),
            {"err": "overloaded"},
            {"reason": "overloaded"},
            optional=True,
        ),
        Source(catalogue.TPOT, ("tgi_request_mean_time_per_token_duration",)),
        Source(catalogue.DURATION, ("tgi_request_duration",)),
        Source(catalogue.QUEUE, ("tgi_request_queue_duration",)),
        Source(catalogue.PROMPT_LENGTH, ("tgi_request_input_length",)),
        Source(catalogue.GENERATION_LENGTH, ("tgi_request_generated_tokens",)),
    ),
    labels={},
    served="tgi_request_success",
    model=Lookup("/info", ("model_id",)),
    version=Lookup("/info", ("version",)),
)
