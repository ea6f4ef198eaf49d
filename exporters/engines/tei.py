"""Hugging Face's Text Embeddings Inference, 1.x: from its source (router/src/lib.rs, core/src/infer.rs).

No label names the model, counters have no `_total`. `te_request_count` counts single requests twice in some versions, so
requests are successes plus failures. It generates no tokens: duration, queue and errors are what its users feel.
"""

from plimsoll.exporters.engines.mapping import Checked, EngineMapping, Lookup, Source, register
from plimsoll.slo import metrics

TEI = register(
    EngineMapping(
        engine="tei",
        title="Text Embeddings Inference",
        signs=("te_",),
        sources=(
            Source(metrics.REQUESTS_WAITING, ("te_queue_size",)),
            Source(metrics.PROMPT_TOKENS, ("te_request_input_length_sum",)),
            Source(metrics.FINISHED, ("te_request_success",), adds={"reason": "stop"}),
            *(
                Source(metrics.FINISHED, ("te_request_failure",), {"err": err}, {"reason": reason}, optional=True)
                for err, reason in {"inference": "error", "dropped": "abort"}.items()
            ),
            Source(
                metrics.REJECTED,
                ("te_request_failure",),
                {"err": "overloaded"},
                {"reason": "overloaded"},
                optional=True,
            ),
            Source(metrics.DURATION, ("te_request_duration",)),
            Source(metrics.QUEUE, ("te_request_queue_duration",)),
            Source(metrics.PROMPT_LENGTH, ("te_request_input_length",)),
        ),
        labels={},
        served="te_request_success",
        model=Lookup("/info", ("model_id",)),
        version=Lookup("/info", ("version",)),
        checked=Checked(
            "1.8 (from its source)",
            False,
            "No tokens are generated, so no time to first token. No round limit is a bucket bound.",
        ),
    )
)
