"""The OTLP push against a receiver that decodes what arrives, and against none."""

import gzip
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric as Sent

from export_process import exporting
from http_server import Quiet, listening
from paths import FIXTURES
from plimsoll.exporters.collector import Point
from plimsoll.exporters.engines.normalize import normalize
from plimsoll.exporters.engines.parser import parse
from plimsoll.exporters.engines.vllm import VLLM
from plimsoll.exporters.otlp import Pusher
from plimsoll.exporters.otlp_names import NAMES, name_of
from plimsoll.exporters.runner import Runner
from plimsoll.slo import metrics as catalogue
from process import rejected
from stack import free_port, wait_for

MODEL = "meta-llama/Llama-3.3-70B-Instruct"
START = Point(catalogue.REPLICA_START, {"replica": "r1", "model": MODEL, "engine": "vllm"}, 1795259666.5)
ENGINE = [*normalize(parse((FIXTURES / "vllm-0.32.0-load.prom").read_text()), VLLM, "r1", MODEL), START]
GPU = {"uuid": "GPU-1"}


class Fixed:
    """A collector that always shows the same points."""

    name = "fixed"
    fallback: Iterable[Point] = ()

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = points

    def collect(self, deadline: float) -> Iterable[Point]:
        return self._points


@contextmanager
def receiver(status: int = 200) -> Iterator[tuple[str, list[ExportMetricsServiceRequest]]]:
    """An OTLP/HTTP receiver on loopback; what it has taken is decoded by OpenTelemetry's own protobuf types."""
    taken: list[ExportMetricsServiceRequest] = []

    class Handler(Quiet):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.headers["Content-Type"] == "application/x-protobuf"
            if self.path == "/v1/metrics" and status == 200:
                taken.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(status)
            self.end_headers()

    with listening(Handler) as address:
        yield f"http://{address}", taken


def pushed(points: Sequence[Point]) -> dict[str, Sent]:
    """What a receiver has after one push, by name."""
    with receiver() as (url, taken):
        Pusher(Runner([Fixed(points)]), url, 10).push()
    ((resource,),) = [request.resource_metrics for request in taken]
    about = {item.key: item.value.string_value for item in resource.resource.attributes}
    assert about["service.name"] == "plimsoll"
    ((scope,),) = [resource.scope_metrics]
    assert len({metric.name for metric in scope.metrics}) == len(scope.metrics)
    return {metric.name: metric for metric in scope.metrics}


def attributes(point: object) -> dict[str, str]:
    return {item.key: item.value.string_value for item in point.attributes}  # type: ignore[attr-defined]


def test_an_engine_s_latencies_arrive_under_the_semantic_names_bucket_by_bucket() -> None:
    metrics = pushed(ENGINE)
    for name, metric in (
        ("gen_ai.server.time_to_first_token", catalogue.TTFT),
        ("gen_ai.server.time_per_output_token", catalogue.TPOT),
        ("gen_ai.server.request.duration", catalogue.DURATION),
    ):
        (point,) = metrics[name].histogram.data_points
        ours = [p for p in ENGINE if p.metric == metric]
        (count,) = [p.value for p in ours if p.suffix == "_count"]
        assert (metrics[name].unit, point.count, sum(point.bucket_counts)) == ("s", count, count)
        assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
        for place, bound in enumerate(point.explicit_bounds):
            (upto,) = [p.value for p in ours if p.labels.get("le") == catalogue.bucket_bound(bound)]
            assert sum(point.bucket_counts[: place + 1]) == upto
        assert metrics[name].histogram.aggregation_temporality == 2  # cumulative
        assert point.start_time_unix_nano == 1795259666500000000
        assert attributes(point) == {
            **{"gen_ai.request.model": MODEL, "gen_ai.provider.name": "vllm", "server.address": "r1"},
            **{"gen_ai.operation.name": "chat", "rank": "0"},
        }


def test_what_has_no_semantic_name_arrives_under_ours_with_its_unit() -> None:
    metrics = pushed(ENGINE)
    waiting = metrics["plimsoll.llm_requests_waiting"]
    assert [point.as_double for point in waiting.gauge.data_points] == [4]
    tokens = metrics["plimsoll.llm_generation_tokens"]
    assert tokens.sum.is_monotonic and tokens.sum.aggregation_temporality == 2
    assert metrics["plimsoll.llm_kv_cache_usage"].unit == "1"
    assert "le" not in attributes(metrics["gen_ai.server.request.duration"].histogram.data_points[0])


def test_a_gpu_arrives_under_the_hardware_names() -> None:
    points = [
        Point(catalogue.GPU_UP, GPU, 1),
        Point(catalogue.GPU_BUSY, GPU, 0.98),
        Point(catalogue.GPU_MEMORY_USED, GPU, 70e9),
        Point(catalogue.GPU_ENERGY, GPU, 1234.5),
        Point(catalogue.GPU_PCIE_TRANSMITTED, GPU, 10),
        Point(catalogue.GPU_PCIE_RECEIVED, GPU, 20),
        Point(catalogue.GPU_XID_ERRORS, {**GPU, "xid": "79"}, 1),
    ]
    metrics = pushed(points)
    used = metrics["hw.gpu.memory.usage"]
    assert (used.unit, used.sum.is_monotonic, used.sum.data_points[0].as_double) == ("By", False, 70e9)
    assert attributes(used.sum.data_points[0]) == {"hw.id": "GPU-1", "hw.type": "gpu", "hw.vendor": "NVIDIA"}
    assert metrics["hw.energy"].sum.is_monotonic and metrics["hw.energy"].unit == "J"
    ways = {attributes(p)["network.io.direction"]: p.as_double for p in metrics["hw.gpu.io"].sum.data_points}
    assert ways == {"transmit": 10, "receive": 20}
    assert attributes(metrics["hw.errors"].sum.data_points[0])["error.type"] == "79"
    assert attributes(metrics["hw.status"].sum.data_points[0])["hw.state"] == "ok"
    assert attributes(metrics["hw.gpu.utilization"].gauge.data_points[0])["hw.gpu.task"] == "general"


def test_a_missing_number_is_not_sent_and_a_broken_histogram_neither() -> None:
    labels = {"replica": "r1", "model": "m", "engine": "vllm", "rank": "0"}
    broken = [
        Point(catalogue.TTFT, {**labels, "le": "0.5"}, 9, "_bucket"),
        Point(catalogue.TTFT, {**labels, "le": "+Inf"}, 4, "_bucket"),
        Point(catalogue.TTFT, labels, 1.0, "_sum"),
        Point(catalogue.TTFT, labels, 4, "_count"),
    ]
    metrics = pushed([Point(catalogue.GPU_POWER, GPU, float("nan")), *broken])
    assert "hw.power" not in metrics
    assert list(metrics["gen_ai.server.time_to_first_token"].histogram.data_points) == []


def test_no_two_of_our_metrics_share_a_name_there_unless_an_attribute_tells_them_apart() -> None:
    names: dict[str, list[catalogue.Metric]] = {}
    for metric in catalogue.ALL:
        names.setdefault(name_of(metric).name, []).append(metric)
    for group in names.values():
        kinds = {(metric.kind, name_of(metric).unit, metric.labels) for metric in group}
        assert len(kinds) == 1 and len({str(sorted(NAMES[m].attributes.items())) for m in group if m in NAMES}) in (
            0,
            len(group),
        ), group


def test_a_receiver_that_refuses_is_said_once_and_the_next_push_is_tried(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "plimsoll.exporters.otlp")
    with receiver(400) as (url, _):
        pusher = Pusher(Runner([Fixed(ENGINE)]), url, 5)
        pusher.push()
        pusher.push()
    said = [record.getMessage() for record in caplog.records if record.name == "plimsoll.exporters.otlp"]
    assert said == [
        f"otlp: {url}/v1/metrics: rejected. Check --otlp-endpoint: is an OTLP receiver (HTTP) running there?"
    ]


def test_the_exporter_pushes_what_it_shows(tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    with (
        receiver() as (url, taken),
        exporting(
            tmp_path, "--no-gpu", "--engine", f"r1={dead}", "--otlp-endpoint", url, "--otlp-interval", "1s"
        ) as exporter,
    ):
        wait_for(lambda: len(taken) > 1, "two pushes")
        assert 'llm_replica_up{replica="r1"} 0.0' in exporter.get().text
    metrics = {m.name: m for r in taken[0].resource_metrics for s in r.scope_metrics for m in s.metrics}
    assert [p.as_double for p in metrics["plimsoll.llm_replica_up"].gauge.data_points] == [0]
    assert time.time_ns() - metrics["plimsoll.llm_replica_up"].gauge.data_points[0].time_unix_nano < 3600e9


def test_bad_input_is_refused_in_one_line() -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    command = ["export", "--no-gpu", "--engine", dead, "--listen", "127.0.0.1:0", "--otlp-endpoint", "http://a:4318"]
    assert "--otlp-interval: '0s' isn't a duration above zero" in rejected([*command, "--otlp-interval", "0s"])
