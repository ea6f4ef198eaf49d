"""OpenTelemetry traces and metrics of the service itself (extra `otel`), pushed where the standard variables name an OTLP receiver.

Nothing here is imported without one, so a service without has no cost of it. Requests get a span each, and so do the jobs; within
these, each SQL statement (as it is prepared, with places for its values) and each request to a source or webhook. No span holds a
value of a statement, a header, a body, or of a request that is sent more than its host: a path may be a secret.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from typing import Any

import httpx
from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor, RequestInfo
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from sqlalchemy import Connection, Engine, ExceptionContext, event

from plimsoll.slo import metrics
from plimsoll.slo.service.state import Service

SCOPE = "plimsoll.service"
# Requested every few seconds by machines and of no interest: health checks, /metrics, and the pages' assets.
QUIET = ("/-/", "/metrics", "/static/")
JOB, POOL = "plimsoll.job", "plimsoll.pool"
URL = ("http.url", "url.full")  # by older and newer semantic conventions
Watch = Callable[[str], AbstractContextManager[None]]


def observe(service: Service, environ: Mapping[str, str]) -> tuple[TelemetryConfig, Callable[[], None]]:
    """Start to push spans and metrics of the jobs. Returns the configuration for the application's requests, and a function that sends
    the rest and stops.

    `environ` only selects traces and metrics; the SDK itself reads OTEL_* by its specification.
    """
    base = bool(environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))
    named = {"service.name": "plimsoll-service", "service.version": version("plimsoll-slo")}
    resource = Resource.create(named).merge(OTELResourceDetector().detect())
    tracers, meters = TracerProvider(resource=resource), MeterProvider(resource=resource)
    if base or environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    if base or environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"):
        meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource)
    meter = meters.get_meter(SCOPE)
    service.runs.watch = _watch(tracers.get_tracer(SCOPE), meter)
    _observe_lag(meter, service)
    trace_statements(service.ledger.engine, tracers.get_tracer(SCOPE))
    requests = HTTPXClientInstrumentor()
    requests.instrument(
        tracer_provider=tracers, meter_provider=meters, request_hook=_only_host, async_request_hook=_only_host_too
    )

    def end() -> None:
        requests.uninstrument()
        tracers.shutdown()
        meters.shutdown()

    # Logs would hold what a caller has sent; spans of FastAPI's own steps would be most of all spans.
    config: TelemetryConfig = {
        "tracer_provider": tracers,
        "meter_provider": meters,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
        "exclude": lambda scope: scope["path"].startswith(QUIET),
    }
    return config, end


def _only_host(span: Span, request: RequestInfo) -> None:
    url = request.url
    scheme, host, port = (url.raw_scheme, url.raw_host, url.port) if isinstance(url, httpx.URL) else url[:3]
    safe_url = f"{scheme.decode()}://{host.decode()}" + (f":{port}" if port else "")
    held = getattr(span, "attributes", None) or {}
    span.set_attributes({name: safe_url for name in URL if name in held})


async def _only_host_too(span: Span, request: RequestInfo) -> None:
    _only_host(span, request)


def _watch(tracer: Tracer, meter: Meter) -> Watch:
    seconds = meter.create_histogram("plimsoll.job.duration", "s", "How long a job of the service took.")

    @contextmanager
    def watch(job: str) -> Iterator[None]:
        """A job's span, named by the job alone: a pool's name is an attribute."""
        name, _, pool = job.partition(" ")
        attributes = {JOB: name} | ({POOL: pool} if pool else {})
        began, failed = time.perf_counter(), {}
        with tracer.start_as_current_span(
            name,
            attributes=attributes,
            record_exception=False,  # an error message may contain an address
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Exception as error:
                failed = {"error.type": type(error).__name__}
                span.set_attributes(failed)
                span.set_status(Status(StatusCode.ERROR, failed["error.type"]))
                raise
            finally:
                seconds.record(time.perf_counter() - began, attributes | failed)

    return watch


def _observe_lag(meter: Meter, service: Service) -> None:
    def lag(_: CallbackOptions) -> Iterator[Observation]:
        if service.ingested_at is not None:
            yield Observation(max(0.0, service.clock() - service.ingested_at))

    meter.create_observable_gauge("plimsoll.ingest.lag", [lag], "s", metrics.INGEST_LAG.help)


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
