"""The engine collector against servers that answer well, badly, slowly and not at all."""

import gzip
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine_pages import FRESH, LOAD, MODEL, REST, Answer, collect, drip, fixed, http, pages, server
from plimsoll.exporters.collector import CollectorError, Point
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.exporters.engines.fetch import LIMIT_BYTES
from plimsoll.exporters.engines.vllm import VLLM
from plimsoll.slo import metrics as catalogue
from plimsoll.slo.metrics import Metric
from stack import free_port


def values(points: Sequence[Point], metric: Metric, **labels: str) -> list[float]:
    return [p.value for p in points if p.metric == metric and labels.items() <= p.labels.items()]


def test_a_replica_is_up_and_says_what_it_is() -> None:
    answer, asked = pages([REST])
    with server(answer) as url:
        collector = EngineCollector(url)
        points = collect(collector)
        assert collector.name == f"engine:{url.removeprefix('http://')}"
        replica = {"replica": collector.replica, "engine": "vllm"}
        assert values(points, catalogue.REPLICA_UP, replica=collector.replica) == [1]
        about = {**replica, "model": MODEL, "version": "0.32.0", "simulated": "false"}
        assert values(points, catalogue.REPLICA_INFO, **about) == [1]
        assert values(points, catalogue.REPLICA_START, **replica) == [1795259666.07]
        collect(collector)
        assert asked == ["/metrics", "/version", "/metrics"]


def test_those_who_left_are_counted_from_a_page_at_rest() -> None:
    with server(pages([REST])[0]) as url:
        points = collect(EngineCollector(url))
    assert values(points, catalogue.ABANDONED, stage="queued") == [4]
    assert values(points, catalogue.ABANDONED, stage="streaming") == [3]
    assert values(points, catalogue.REJECTED, reason="5xx") == [0]


def test_a_restarted_exporter_goes_on_counting_those_who_left_also_under_load(tmp_path: Path) -> None:
    with server(pages([REST, LOAD])[0]) as url:
        shown = values(collect(EngineCollector(url, tmp_path)), catalogue.ABANDONED, stage="queued")
        assert values(collect(EngineCollector(url, tmp_path)), catalogue.ABANDONED, stage="queued") == shown == [4]
        assert values(collect(EngineCollector(url)), catalogue.ABANDONED, stage="queued") == []


def test_a_state_folder_that_cannot_be_written_to_costs_the_state_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with server(pages([REST])[0]) as url:
        collector = EngineCollector(url, tmp_path / "nowhere")
        for _ in range(2):
            assert values(collect(collector), catalogue.ABANDONED, stage="queued") == [4]
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith("not writable: No such file or directory. Check --state-dir.")


def test_every_counter_is_there_at_zero_before_the_first_request() -> None:
    with server(pages([FRESH])[0]) as url:
        points = collect(EngineCollector(url))
    counters = {
        metric for metric in catalogue.ALL if metric.kind == "counter" and set(catalogue.REPLICA) <= {*metric.labels}
    } - ({s.metric for s in VLLM.sources if s.optional} - {catalogue.OBJECTIVE_REQUESTS})  # adapters, speculation
    assert {point.metric for point in points if point.metric.kind == "counter"} == counters
    assert {point.value for point in points if point.metric.kind == "counter"} == {0}


def test_a_version_is_asked_for_again_when_the_server_was_started_anew() -> None:
    restarted = FRESH.replace("process_start_time_seconds 1", "process_start_time_seconds 2")
    answer, asked = pages([FRESH, restarted])
    with server(answer) as url:
        collector = EngineCollector(url)
        collect(collector)
        collect(collector)
    assert asked == ["/metrics", "/version"] * 2


def test_a_server_without_a_version_is_of_unknown_version() -> None:
    def answer(connection: socket.socket, path: str, stop: threading.Event) -> None:
        found = path == "/metrics"
        connection.sendall(http(REST.encode() if found else b"", "200 OK" if found else "404 Not Found"))

    with server(answer) as url:
        assert values(collect(EngineCollector(url)), catalogue.REPLICA_INFO, version="unknown") == [1]


def test_simulated_replicas_say_so() -> None:
    with server(pages([FRESH + "plimsoll_simulated 1\n"])[0]) as url:
        assert values(collect(EngineCollector(url)), catalogue.REPLICA_INFO, simulated="true") == [1]


def test_errors_of_the_server_are_counted_and_a_bad_request_is_not() -> None:
    row = 'http_requests_total{{handler="{}",method="POST",status="{}"}} {}\n'
    extra = [("/v1/completions", "5xx", 2), ("/v1/completions", "4xx", 9), ("/v1/embeddings", "5xx", 9)]
    with server(pages([FRESH + "".join(row.format(*line) for line in extra)])[0]) as url:
        assert values(collect(EngineCollector(url)), catalogue.REJECTED, reason="5xx") == [2]


def test_a_replica_can_be_given_a_name() -> None:
    with server(pages([REST])[0]) as url:
        collector = EngineCollector(f"blue-1={url}/metrics")
        assert (collector.name, collector.replica) == ("engine:blue-1", "blue-1")
        assert {point.labels["replica"] for point in collect(collector)} == {"blue-1"}


def test_a_replica_that_was_never_reached_is_down() -> None:
    collector = EngineCollector(f"http://127.0.0.1:{free_port()}")
    down = {"replica": collector.replica}
    with pytest.raises(CollectorError, match=r"/metrics: .*Connection refused. Is the engine running there\?"):
        collect(collector)
    assert list(collector.fallback) == [Point(catalogue.REPLICA_UP, down, 0)]


def test_a_replica_that_was_reached_before_is_down_under_the_same_labels() -> None:
    with server(pages([REST])[0]) as url:
        collector = EngineCollector(url)
        up = [point.labels for point in collect(collector) if point.metric == catalogue.REPLICA_UP]
    with pytest.raises(CollectorError):
        collect(collector)
    assert [(point.labels, point.value) for point in collector.fallback] == [(up[0], 0)]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            fixed("<html><body>Welcome"),
            r"not a metrics endpoint of .*vLLM: .*first line is '<html><body>Welcome'\. Check --engine\.",
        ),
        (
            fixed("go_goroutines 7\n"),
            r"not a metrics endpoint of .*vLLM: first line is 'go_goroutines 7'\. Check --engine\.",
        ),
        (fixed(""), r"not a metrics endpoint of .*vLLM: .*it is empty\. Check --engine\."),
        (fixed(LOAD[:-3]), "not a metrics endpoint of .*vLLM: the last line is truncated"),
        (fixed(b"\xff\xfe\x00\n"), r"it isn't text\. Check --engine\."),
        (fixed("", "302 Found", "Location: /elsewhere"), r"HTTP 302\. Redirects aren't followed\. Check --engine\."),
        (fixed("", "401 Unauthorized"), r"HTTP 401\. Check --engine\."),
        (fixed(gzip.compress(LOAD.encode()), "200 OK", "Content-Encoding: gzip"), "the response is compressed"),
        (fixed(b"a" * (LIMIT_BYTES + 1)), r"the response is larger than 4 MiB\. Check --engine\."),
        (fixed(LOAD, "200 OK", "Content-Length: 9999999"), "the response has two lengths. Is the engine running there"),
    ],
)
def test_what_is_not_an_engine_s_page_gives_one_line_with_the_address_and_the_fix(answer: Answer, problem: str) -> None:
    with server(answer) as url:
        with pytest.raises(CollectorError, match=problem) as raised:
            collect(EngineCollector(url))
        message = str(raised.value)
    assert message.startswith(f"{url}/metrics: ")
    assert "\n" not in message and len(message) < 300


def closing_ends_it(body: str) -> Answer:
    """A page as of HTTP/1.0: without a length, it ends as the connection does."""

    def answer(connection: socket.socket, path: str, stop: threading.Event) -> None:
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + body.encode())

    return answer


def test_a_page_that_ends_by_closing_is_read() -> None:
    with server(closing_ends_it(LOAD)) as url:
        by_closing = collect(EngineCollector(url))
    with server(fixed(LOAD)) as url:
        by_length = collect(EngineCollector(url))
    counters = [[point.value for point in one if point.metric.kind == "counter"] for one in (by_closing, by_length)]
    assert counters[0] == counters[1] and sum(counters[0]) > 0


@pytest.mark.parametrize("cut", [1, 3, 40])
def test_a_page_that_ends_by_closing_within_a_line_is_not_taken_for_whole(cut: int) -> None:
    with server(closing_ends_it(LOAD[:-cut])) as url, pytest.raises(CollectorError, match="the last line is truncated"):
        collect(EngineCollector(url))


@pytest.mark.parametrize(
    "start", [b"", b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"]
)
def test_a_server_that_drips_without_end_is_given_up_at_the_deadline(start: bytes) -> None:
    with server(drip(start)) as url, pytest.raises(CollectorError, match="no complete response in time"):
        collect(EngineCollector(url), seconds=0.3)


def test_a_version_that_never_comes_leaves_the_numbers() -> None:
    def answer(connection: socket.socket, path: str, stop: threading.Event) -> None:
        if path == "/metrics":
            connection.sendall(http(REST.encode()))
        else:
            drip(b"")(connection, path, stop)

    with server(answer) as url:
        points = collect(EngineCollector(url), seconds=1)
    assert values(points, catalogue.REPLICA_UP) == [1]
    assert values(points, catalogue.REPLICA_INFO, version="unknown") == [1]


@pytest.mark.parametrize(
    "engine", ["", "localhost:8000", "ftp://a:1", "http://", "http://a:99999", "http://a:8000/?x=1", "blue="]
)
def test_what_is_not_an_address_is_refused_with_the_form_to_write(engine: str) -> None:
    with pytest.raises(ValueError, match=r"not a server address. Use http://HOST:PORT or NAME=http://HOST:PORT"):
        EngineCollector(engine)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="not a server address") as raised:
        EngineCollector("http://user:secret@a:8000")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("engine", "replica"),
    [
        ("http://a", "a:80"),
        ("https://a/", "a:443"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("http://A:8000/metrics", "a:8000"),
    ],
)
def test_a_replica_is_named_by_host_and_port(engine: str, replica: str) -> None:
    assert EngineCollector(engine).replica == replica
