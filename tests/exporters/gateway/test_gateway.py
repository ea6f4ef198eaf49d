"""The gateway middleware, driven by ASGI messages: what it counts, what it passes on, and that its own faults cost nothing."""

import asyncio
import json
import logging
from collections.abc import Iterable
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chat_server import event, token
from plimsoll.exporters.gateway.metrics import Bounded
from plimsoll.exporters.gateway.middleware import PlimsollMiddleware
from plimsoll.exporters.gateway.tracing import length_class
from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric

USAGE = event(choices=[], usage={"prompt_tokens": 700, "completion_tokens": 9})
STREAM = [token("one"), token(" two"), token(" three", "stop"), USAGE, "data: [DONE]\n\n"]
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Edge:
    """A gateway app that answers as told, behind the middleware, and its client."""

    def __init__(self, body: Iterable[str | bytes], status: int = 200, kind: str = "text/event-stream", **options: Any):
        self.registry = CollectorRegistry()
        self.sent: list[Message] = []
        self.seen: Scope = {}
        self.leaves_after: int | None = None
        self._answer = (list(body), status, kind)
        self.app = PlimsollMiddleware(self._app, "edge", registry=self.registry, **options)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen = scope
        scope["state"]["replica"] = "r7"
        body, status, kind = self._answer
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind.encode())]})
        for place, piece in enumerate(body):
            if place == self.leaves_after:
                assert (await receive())["type"] == "http.disconnect"
                return
            data = piece.encode() if isinstance(piece, str) else piece
            await send({"type": "http.response.body", "body": data, "more_body": place + 1 < len(body)})
            # Never held back: what the app has sent, the client has.
            assert self.sent[-1]["body"] == data

    def ask(self, tenant: str | None = "red", path: str = "/v1/chat/completions", body: bytes | None = None) -> None:
        asked = body if body is not None else json.dumps({"model": "m", "messages": []}).encode()
        pieces = [asked[:5], asked[5:]]

        async def receive() -> Message:
            if pieces:
                return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            self.sent.append(message)

        headers = [(b"traceparent", TRACEPARENT.encode()), *([(b"x-tenant", tenant.encode())] if tenant else [])]
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "state": {}}
        asyncio.run(call(self.app, scope, receive, send))

    def value(self, metric: Metric, suffix: str = "", **labels: str) -> float | None:
        return self.registry.get_sample_value(metric.name + suffix, {"gateway": "edge", **labels})


async def call(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


def failures(edge: Edge, **labels: str) -> dict[str, float]:
    who = {"model": "m", "tenant": "red", **labels}
    found = {
        r: edge.value(metrics.GATEWAY_FAILURES, reason=r, **who)
        for r in ("4xx", "5xx", "client_closed", "stream_interrupted")
    }
    return {reason: value for reason, value in found.items() if value}


RED = {"model": "m", "tenant": "red"}


def test_a_stream_is_counted_by_tenant_with_its_usage_and_passed_on_as_it_is() -> None:
    edge = Edge(STREAM)
    edge.ask()
    assert b"".join(message.get("body", b"") for message in edge.sent) == "".join(STREAM).encode()
    assert edge.value(metrics.GATEWAY_REQUESTS, **RED) == 1
    assert failures(edge) == {}
    assert edge.value(metrics.GATEWAY_PROMPT_TOKENS, **RED) == 700
    assert edge.value(metrics.GATEWAY_GENERATION_TOKENS, **RED) == 9
    for metric in (metrics.GATEWAY_TTFT, metrics.GATEWAY_TPOT, metrics.GATEWAY_DURATION):
        assert edge.value(metric, "_count", **RED) == 1


def test_events_that_are_cut_anywhere_and_have_no_usage_are_counted_one_by_one() -> None:
    text = "".join(STREAM[:3]).encode() + b"data: [DONE]\n\n"
    edge = Edge([text[start : start + 7] for start in range(0, len(text), 7)])
    edge.ask()
    assert edge.value(metrics.GATEWAY_GENERATION_TOKENS, **RED) == 3
    assert failures(edge) == {}


def test_a_whole_answer_gives_its_usage_and_no_time_to_first_token() -> None:
    whole = json.dumps({"choices": [], "usage": {"input_tokens": 5, "output_tokens": 7}})
    edge = Edge([whole[:20], whole[20:]], kind="application/json")
    edge.ask(path="/v1/messages")
    assert edge.value(metrics.GATEWAY_PROMPT_TOKENS, **RED) == 5
    assert edge.value(metrics.GATEWAY_GENERATION_TOKENS, **RED) == 7
    assert edge.value(metrics.GATEWAY_TTFT, "_count", **RED) is None
    assert edge.value(metrics.GATEWAY_DURATION, "_count", **RED) == 1


@pytest.mark.parametrize(("status", "reason"), [(400, "4xx"), (429, "4xx"), (500, "5xx"), (503, "5xx")])
def test_a_refusal_is_a_failure_by_its_status_and_has_no_latency(status: int, reason: str) -> None:
    edge = Edge([b"{}"], status, "application/json")
    edge.ask()
    other = {"model": "other", "tenant": "other"}  # nobody who was never served takes a place
    assert edge.value(metrics.GATEWAY_REQUESTS, **other) == 1
    assert failures(edge, **other) == {reason: 1}
    assert edge.value(metrics.GATEWAY_DURATION, "_count", **other) is None


def test_a_client_that_leaves_mid_stream_has_left() -> None:
    edge = Edge(STREAM)
    edge.leaves_after = 2
    edge.ask()
    assert failures(edge) == {"client_closed": 1}
    assert edge.value(metrics.GATEWAY_TTFT, "_count", **RED) == 1
    assert edge.value(metrics.GATEWAY_TPOT, "_count", **RED) is None


def test_a_stream_with_an_error_in_it_is_broken() -> None:
    edge = Edge([token("one"), event(error={"message": "CUDA"})])
    edge.ask()
    assert failures(edge) == {"stream_interrupted": 1}


def test_an_app_that_raises_is_a_5xx_and_still_raises() -> None:
    edge = Edge(["never"], kind=None)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        edge.ask()
    assert failures(edge, model="other", tenant="other") == {"5xx": 1}


def test_what_is_no_generation_passes_uncounted() -> None:
    edge = Edge(STREAM)
    edge.ask(path="/v1/models")
    assert len(edge.sent) == 1 + len(STREAM)
    assert not next(iter(edge.registry.collect())).samples


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'{"model": 3}',
        b'["x"]',
        b'{"model": "' + b"x" * 2**22 + b'"}',
        b'{"model": "\xff"}',
        b'{"a": ' + b"[" * 5000,
    ],
    ids=range(8),
)
def test_a_request_without_a_readable_model_is_of_unknown_model(body: bytes) -> None:
    edge = Edge(STREAM)
    edge.ask(body=body)
    assert edge.value(metrics.GATEWAY_REQUESTS, model="unknown", tenant="red") == 1


@pytest.mark.parametrize("body", [["data: {oops\n\n"], [b"data: \xff\n\n"], ["data: [1]\n\n"], ["data: 3\n\n"]])
def test_a_fault_in_the_counting_is_said_once_and_the_answer_goes_on(
    body: list[str | bytes], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "plimsoll.exporters.gateway.middleware")
    edge = Edge([*body, "data: [DONE]\n\n"])
    edge.ask()
    edge.ask()
    assert len([message for message in edge.sent if message["type"] == "http.response.body"]) == 4
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("gateway: request not counted: ")


def test_a_tenant_function_that_raises_costs_the_count_and_not_the_request() -> None:
    def broken(_: Scope) -> str:
        raise RuntimeError("no such team")

    edge = Edge(STREAM, tenant=broken)
    edge.ask()
    assert len(edge.sent) == 1 + len(STREAM)


def test_no_more_tenants_are_told_apart_than_allowed() -> None:
    edge = Edge(STREAM, most=2)
    for tenant in ("a", "b", "c", "d", "a", None):
        edge.ask(tenant)
    counts = {t: edge.value(metrics.GATEWAY_REQUESTS, model="m", tenant=t) for t in ("a", "b", "c", "d", "other")}
    assert counts == {"a": 2, "b": 1, "c": None, "d": None, "other": 3}
    assert Bounded(1).name("x" * 201, True) == "other"
    names = Bounded(1)
    assert [names.name(name, served) for name, served in (("x", False), ("y", True), ("x", True))] == [
        *("other", "y", "other")
    ]


@pytest.fixture(scope="module")
def spans() -> InMemorySpanExporter:
    """The process's tracer, which can be set once only."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


def test_a_span_joins_the_client_s_trace_and_the_engine_s_will_join_ours(spans: InMemorySpanExporter) -> None:
    spans.clear()
    edge = Edge(STREAM)
    edge.ask()
    (span,) = spans.get_finished_spans()
    assert span.context is not None and span.parent is not None
    assert f"{span.context.trace_id:032x}" == TRACEPARENT.split("-")[1]
    assert f"{span.parent.span_id:016x}" == TRACEPARENT.split("-")[2]
    passed_on = [value.decode() for key, value in edge.seen["headers"] if key == b"traceparent"]
    assert passed_on == [f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"]
    about = dict(span.attributes or {})
    assert about.pop("plimsoll.time_to_first_token")
    assert about == {
        **{"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 700, "gen_ai.usage.output_tokens": 9},
        **{"http.response.status_code": 200, "plimsoll.tenant": "red", "plimsoll.prompt_class": "<=2048"},
        "plimsoll.replica": "r7",
    }


def test_a_failed_request_s_span_is_an_error_and_one_that_the_client_left_is_not(spans: InMemorySpanExporter) -> None:
    spans.clear()
    Edge([b"{}"], 503, "application/json").ask()
    left = Edge(STREAM)
    left.leaves_after = 1
    left.ask()
    assert [(span.status.is_ok, (span.attributes or {})["error.type"]) for span in spans.get_finished_spans()] == [
        *((False, "5xx"), (True, "client_closed"))
    ]


@pytest.mark.parametrize(
    ("tokens", "name"), [(None, None), (0, "<=128"), (128, "<=128"), (129, "<=512"), (32769, ">32768")]
)
def test_prompts_are_classed_by_length(tokens: int | None, name: str | None) -> None:
    assert length_class(tokens) == name


def test_a_fastapi_gateway_counts_under_the_tenant_that_its_app_has_authenticated() -> None:
    registry, app = CollectorRegistry(), FastAPI()

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> StreamingResponse:
        request.state.team = "blue"
        await request.json()
        return StreamingResponse(iter(STREAM), media_type="text/event-stream")

    app.add_middleware(PlimsollMiddleware, tenant=lambda scope: scope["state"].get("team"), registry=registry)
    sent: list[Message] = []
    body: list[Message] = [{"type": "http.request", "body": b'{"model": "m"}', "more_body": False}]

    async def receive() -> Message:
        if body:
            return body.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    path = "/v1/chat/completions"
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "root_path": "", "headers": []}
    asyncio.run(call(app, scope | {"query_string": b"", "state": {}}, receive, send))
    labels = {"gateway": "gateway", "model": "m", "tenant": "blue"}
    assert registry.get_sample_value(metrics.GATEWAY_GENERATION_TOKENS.name, labels) == 9
