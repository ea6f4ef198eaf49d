"""Spans of the ledger's SQL statements, by SQLAlchemy's own events (OpenTelemetry's package for it refuses SQLAlchemy 2.1).

Attributes are those of OpenTelemetry's conventions for database clients (v1.33, stable). A statement is shown as it is prepared, with
places in the stead of its values.
"""

from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer
from sqlalchemy import Connection, Engine, ExceptionContext, event

LONGEST = 1000  # characters of a statement; one that names a thousand objectives is cut
SPAN = "plimsoll_span"


def trace_statements(engine: Engine, tracer: Tracer) -> None:
    """Give every statement a span from now on that is executed within another span, of a request or a job."""

    @event.listens_for(engine, "before_cursor_execute")
    def begin(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if trace.get_current_span().is_recording():
            operation = statement.split(maxsplit=1)[0].upper()
            attributes = {
                "db.system.name": engine.dialect.name,
                "db.operation.name": operation,
                "db.query.text": statement[:LONGEST],
            }
            connection.info[SPAN] = tracer.start_span(operation, kind=SpanKind.CLIENT, attributes=attributes)

    @event.listens_for(engine, "after_cursor_execute")
    def end(connection: Connection, *_: Any) -> None:
        if span := connection.info.pop(SPAN, None):
            span.end()

    @event.listens_for(engine, "handle_error")
    def fail(context: ExceptionContext) -> None:
        span = context.connection.info.pop(SPAN, None) if context.connection is not None else None
        if span is not None:
            error = type(context.original_exception).__name__
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR, error))
            span.end()
