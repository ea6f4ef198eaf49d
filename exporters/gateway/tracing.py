"""The gateway's OpenTelemetry span of one request. Requires opentelemetry-api; without an SDK the span isn't exported."""

from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from starlette.types import Scope

from plimsoll.exporters.gateway.metrics import EndedRequest
from plimsoll.slo.metrics import trace_attributes

_tracer = trace.get_tracer("plimsoll.gateway")


def open_span(scope: Scope) -> tuple[Span, list[tuple[bytes, bytes]]]:
    """Open a span below the client's, and return the request's headers with its traceparent instead of the client's."""
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    carrier = {key.decode("latin-1"): value.decode("latin-1") for key, value in headers}
    span = _tracer.start_span(f"POST {scope['path']}", propagate.extract(carrier), SpanKind.SERVER)
    injected: dict[str, str] = {}
    propagate.inject(injected, trace.set_span_in_context(span))
    if not injected:  # no tracing: keep the client's headers
        return span, headers
    others = [
        (key, value) for key, value in headers if key.decode("latin-1") not in propagate.get_global_textmap().fields
    ]
    return span, [*others, *((key.lower().encode(), value.encode()) for key, value in injected.items())]


def describe_span(span: Span, ended: EndedRequest, state: dict[str, Any]) -> None:
    """Set the span's attributes. `state` is the app's; its `replica` and `model_version` are included if set."""
    response = ended.response
    about = {
        trace_attributes.MODEL: ended.model,
        trace_attributes.PROMPT_TOKENS: response.prompt_tokens,
        trace_attributes.OUTPUT_TOKENS: response.tokens,
        "http.response.status_code": response.status,
        trace_attributes.TENANT: ended.tenant,
        trace_attributes.PROMPT_CLASS: length_class(response.prompt_tokens),
        trace_attributes.REPLICA: state.get("replica"),
        trace_attributes.VERSION: state.get("model_version"),
        trace_attributes.FIRST_TOKEN: response.first,
        "error.type": ended.reason,
    }
    span.set_attributes({key: value for key, value in about.items() if value is not None})
    if ended.reason not in (None, "client_closed", "4xx"):
        span.set_status(Status(StatusCode.ERROR, ended.reason))


def length_class(tokens: int | None) -> str | None:
    """Return a prompt's length class, from `<=128` to `>32768` tokens; None if unknown."""
    if tokens is None:
        return None
    return next(
        (f"<={bound}" for bound in trace_attributes.PROMPT_CLASSES if tokens <= bound),
        f">{trace_attributes.PROMPT_CLASSES[-1]}",
    )
