"""The gateway's OpenTelemetry span of one request. Needs opentelemetry-api; without an SDK it is a span that goes nowhere."""

from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from starlette.types import Scope

from exporters.gateway_counts import Ended

_tracer = trace.get_tracer("plimsoll.gateway")
# Upper bounds of prompt-length classes, in tokens.
CLASSES = (128, 512, 2048, 8192, 32768)


def opened(scope: Scope) -> tuple[Span, list[tuple[bytes, bytes]]]:
    """Open a span under the client's, and return the request's headers with this one's traceparent in the client's place."""
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    carrier = {key.decode("latin-1"): value.decode("latin-1") for key, value in headers}
    span = _tracer.start_span(f"POST {scope['path']}", propagate.extract(carrier), SpanKind.SERVER)
    ours: dict[str, str] = {}
    propagate.inject(ours, trace.set_span_in_context(span))
    if not ours:  # nobody traces: what the client sent goes on
        return span, headers
    kept = [
        (key, value) for key, value in headers if key.decode("latin-1") not in propagate.get_global_textmap().fields
    ]
    return span, [*kept, *((key.lower().encode(), value.encode()) for key, value in ours.items())]


def described(span: Span, ended: Ended, state: dict[str, Any]) -> None:
    """Say what the request was. `state` is the app's: its `replica` and `model_version` are told where it has them."""
    answer = ended.answer
    about = {
        "gen_ai.request.model": ended.model,
        "gen_ai.usage.input_tokens": answer.prompt_tokens,
        "gen_ai.usage.output_tokens": answer.tokens,
        "http.response.status_code": answer.status,
        "plimsoll.tenant": ended.tenant,
        "plimsoll.prompt_class": length_class(answer.prompt_tokens),
        "plimsoll.replica": state.get("replica"),
        "plimsoll.model_version": state.get("model_version"),
        "plimsoll.time_to_first_token": answer.first,
        "error.type": ended.reason,
    }
    span.set_attributes({key: value for key, value in about.items() if value is not None})
    if ended.reason not in (None, "left", "4xx"):
        span.set_status(Status(StatusCode.ERROR, ended.reason))


def length_class(tokens: int | None) -> str | None:
    """Return a prompt's class by its length in tokens: `<=128` ... `>32768`; None where it is unknown."""
    if tokens is None:
        return None
    return next((f"<={bound}" for bound in CLASSES if tokens <= bound), f">{CLASSES[-1]}")
