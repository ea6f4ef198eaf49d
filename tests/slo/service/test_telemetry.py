"""The service's own traces and metrics as an OTLP receiver gets them, and that there is nothing of it without one."""

import gzip
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy.exc import IntegrityError

from http_server import Quiet, listening
from plimsoll.slo.ledger.schema import slots
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.telemetry import trace_statements
from process import Command, environment
from stack import free_port, wait_for

TRACE = "0af7651916cd43dd8448eb211c80319c"
OFTEN = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "500"}


@dataclass
class Received:
    """What an OTLP receiver has taken, decoded by OpenTelemetry's own types."""

    url: str = ""
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)

    def spans(self) -> dict[str, list[Span]]:
        found: dict[str, list[Span]] = {}
        for request in list(self.traces):
            for resource in request.resource_spans:
                for span in (span for scope in resource.scope_spans for span in scope.spans):
                    found.setdefault(span.name, []).append(span)
        return found

    def numbers(self) -> dict[str, Metric]:
        """The last of each metric."""
        resources = [resource for request in list(self.metrics) for resource in request.resource_metrics]
        return {
            metric.name: metric
            for resource in resources
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@contextmanager
def receiver() -> Iterator[Received]:
    received = Received()

    class Handler(Quiet):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/traces":
                received.traces.append(ExportTraceServiceRequest.FromString(body))
            elif self.path == "/v1/metrics":
                received.metrics.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

    with listening(Handler) as address:
        received.url = f"http://{address}"
        yield received


@contextmanager
def serving(folder: Path, *, source: str = "scrape:http://127.0.0.1:9", **variables: str) -> Iterator[str]:
    """The service over a source that does not answer, with OTEL_ variables; gives its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    own = {name: value for name, value in environment().items() if not name.startswith("OTEL_")}
    options = ["--source", source, "--db", f"sqlite:///{folder}/ledger.db"]
    command = Command(
        folder / "log",
        "serve",
        *options,
        "--listen",
        f"127.0.0.1:{port}",
        ready=f"{url}/-/healthy",
        env=own | variables,
    )
    with command:
        yield url


def attributes(of: Any) -> dict[str, str]:
    return {item.key: item.value.string_value or str(item.value.int_value) for item in of.attributes}


@pytest.mark.slow
def test_requests_and_jobs_arrive_as_spans_and_metrics(tmp_path: Path) -> None:
    with receiver() as received:
        named = {"OTEL_EXPORTER_OTLP_ENDPOINT": received.url, "OTEL_SERVICE_NAME": "slo-eu"}
        with serving(tmp_path, **named, **OFTEN) as url:
            parent = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "Authorization": "Bearer hunter2"}
            assert httpx.get(f"{url}/api/v1/slos/chat-ttft", headers=parent).status_code == 200
            assert httpx.get(f"{url}/api/v1/slos/nope").status_code == 404
            wait_for(
                lambda: {"scrape", "ingest", "evaluate", "recommend"} <= set(received.spans()), "a span of each job"
            )
            asked = wait_for(lambda: received.spans().get("GET /api/v1/slos/{slo_id}", []), "the requests' spans")
            wait_for(lambda: {"plimsoll.job.duration", "plimsoll.ingest.lag"} <= set(received.numbers()), "the metrics")
        spans, numbers = received.spans(), received.numbers()
    assert any(span.trace_id.hex() == TRACE and span.kind == Span.SPAN_KIND_SERVER for span in asked)
    assert not any("/-/" in name or "/metrics" in name for name in spans)
    (resource,) = {str(attributes(r.resource)["service.name"]) for t in received.traces for r in t.resource_spans}
    assert resource == "slo-eu"
    failed, fine = spans["scrape"][0], spans["evaluate"][0]
    assert (failed.status.code, attributes(failed)["error.type"]) == (failed.status.STATUS_CODE_ERROR, "SourceError")
    assert (fine.status.code, attributes(fine)) == (fine.status.STATUS_CODE_UNSET, {"plimsoll.job": "evaluate"})
    assert attributes(spans["recommend"][0])["plimsoll.pool"] == "chat-70b"
    jobs = {
        attributes(point)["plimsoll.job"]: point for point in numbers["plimsoll.job.duration"].histogram.data_points
    }
    assert jobs["ingest"].count >= 1
    assert numbers["plimsoll.job.duration"].unit == "s"
    assert any(name.startswith("http.server") for name in numbers)
    assert "hunter2" not in f"{received.traces}{received.metrics}"


@pytest.mark.slow
def test_each_statement_and_each_request_to_a_source_is_within_what_it_was_done_for(tmp_path: Path) -> None:
    silent = f"http://127.0.0.1:{free_port()}/hidden-in-the-path"
    with receiver() as received:
        with serving(tmp_path, source=f"prometheus:{silent}", OTEL_EXPORTER_OTLP_ENDPOINT=received.url, **OFTEN) as url:
            asked = {"from": "2026-11-01T00:00:00Z", "to": "2026-11-01T04:00:00Z"}
            assert httpx.get(f"{url}/api/v1/slos/chat-ttft/slots", params=asked).status_code == 200
            assert httpx.get(f"{url}/metrics").status_code == 200
            wait_for(lambda: "GET /api/v1/slos/{slo_id}/slots" in received.spans(), "the request's span")
            wait_for(lambda: "POST" in received.spans(), "the span of a request to the source")
        spans = received.spans()
    by_id = {span.span_id: span for found in spans.values() for span in found}
    statements = [span for found in spans.values() for span in found if "db.query.text" in attributes(span)]
    assert statements
    assert all(span.parent_span_id in by_id for span in statements)
    (request,) = spans["GET /api/v1/slos/{slo_id}/slots"]
    mine = [attributes(span)["db.query.text"] for span in statements if span.parent_span_id == request.span_id]
    assert any(text.startswith("SELECT slots.slot") and "slots.objective = ?" in text for text in mine)
    assert not any("chat-ttft" in attributes(span)["db.query.text"] for span in statements)
    jobs = {by_id[span.parent_span_id].name.split()[0] for span in spans["POST"]}
    assert jobs <= {"ingest", "recommend", "check", "watch"}
    assert {attributes(span)["http.url"] for span in spans["POST"]} == {silent.removesuffix("/hidden-in-the-path")}
    assert "hidden-in-the-path" not in f"{received.traces}"


def test_a_statement_that_fails_is_a_failed_span_without_its_values_and_one_of_nobody_is_none(
    database: str, open_ledger: Callable[[str], Ledger]
) -> None:
    engine, kept = open_ledger(database).engine, InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("test")
    trace_statements(engine, tracer)
    twice = slots.insert().values(objective="secret", slot=300, good=0, total=0, covered_ms=0, spec_hash="", source="")
    with engine.begin() as connection:
        connection.execute(twice)
    assert kept.get_finished_spans() == ()
    with tracer.start_as_current_span("job"), pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(twice)
    statement = next(span for span in kept.get_finished_spans() if span.name == "INSERT")
    told = dict(statement.attributes or {})
    assert (statement.status.status_code.name, told["db.operation.name"]) == ("ERROR", "INSERT")
    assert told["error.type"] in ("IntegrityError", "UniqueViolation")
    assert str(told["db.system.name"]) in database
    assert "secret" not in statement.to_json()


@pytest.mark.slow
def test_only_the_signal_whose_receiver_is_named_is_pushed(tmp_path: Path) -> None:
    with receiver() as received:
        with serving(tmp_path, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{received.url}/v1/traces", **OFTEN):
            wait_for(lambda: received.spans().get("evaluate"), "a span")
        assert received.metrics == []


@pytest.mark.slow
def test_a_receiver_that_is_not_there_disturbs_nobody_and_the_service_ends(tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    with serving(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **OFTEN) as url:
        wait_for(lambda: endpoint.rpartition(":")[2] in (tmp_path / "log").read_text(), "the failure in the log")
        assert httpx.get(f"{url}/api/v1/slos").status_code == 200
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_without_a_receiver_nothing_of_opentelemetry_is_loaded() -> None:
    code = (
        "import sys; from plimsoll.compose import serving; from plimsoll.slo.service.state import Service;"
        "assert serving._telemetry(None) == (None, bool);"  # FastAPI itself imports OpenTelemetry's API, which does nothing alone
        "print([n for n in sys.modules if n.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    own = {name: value for name, value in environment().items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, env=own, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
