"""The probe against servers that answer well, badly, slowly and not at all, as a command and as a collector."""

import json
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from chat_server import Step, chat_server, event, token
from demo_page import MODEL
from demo_process import Demo
from export_process import exporting
from plimsoll.exporters.collector import Point
from plimsoll.exporters.probe import MAX_BYTES, ProbeCollector, ProbeRequest, probe
from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric
from process import PLIMSOLL, environment, rejected
from stack import free_port, wait_for

ANSWER: list[Step] = [
    0.2,
    token("one"),
    0.3,
    token(" two"),
    token(" three", "length"),
    event(choices=[], usage={"completion_tokens": 9}),
]
DONE = "data: [DONE]\n\n"
GOOD: list[Step] = [event(choices=[{"delta": {"role": "assistant", "content": ""}}]), *ANSWER, DONE]


def values(points: Sequence[Point], metric: Metric, **labels: str) -> list[float]:
    return [p.value for p in points if p.metric == metric and labels.items() <= p.labels.items()]


def test_a_whole_answer_is_timed_as_its_client_sees_it() -> None:
    with chat_server(GOOD) as (url, asked):
        result = probe(ProbeRequest(url, "m", "s3cret", max_tokens=9))
    assert (result.outcome, result.problem, result.tokens) == ("ok", "", 9)
    first, gap, each = result.time_to_first_token, result.longest_gap, result.time_per_output_token
    # The server's pauses are lower bounds; an event with a role and no text is no token.
    assert first is not None and gap is not None and each is not None
    assert first >= 0.2 and first + gap >= 0.5 and each == pytest.approx(gap / 8, rel=0.5)
    assert result.duration >= first + gap
    assert asked.paths == ["/v1/chat/completions"]
    (body,) = asked.bodies
    assert (body["model"], body["max_tokens"], body["stream"]) == ("m", 9, True)
    assert asked.headers[0]["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_a_thought_is_a_first_token_too(field: str) -> None:
    with chat_server([token("hm", field=field), token("", "length"), DONE]) as (url, _):
        result = probe(ProbeRequest(f"{url}/v1", "m"))
    assert (result.outcome, result.tokens) == ("ok", 1)
    assert result.time_to_first_token is not None and result.time_per_output_token is None


@pytest.mark.parametrize(
    ("steps", "status", "outcome", "problem"),
    [
        ([], 503, "status", "HTTP 503"),
        ([], 302, "status", "HTTP 302"),
        ([token("one")], 200, "stream", "ended early"),
        ([token("", "stop"), DONE], 200, "stream", "had no text"),
        ([token("one"), event(error={"message": "CUDA"})], 200, "stream", "ended with an error: .*CUDA"),
        (["data: {oops\n\n"], 200, "stream", "JSON is malformed"),
        ([b"data: \xff\n\n"], 200, "stream", "."),
        ([": x" * MAX_BYTES], 200, "stream", "larger than 1 MiB"),
        ([token("one"), 60.0], 200, "timeout", "no complete response within 0.3 s"),
        ([60.0], 200, "timeout", "no complete response within 0.3 s"),
    ],
)
def test_what_is_no_whole_answer_says_what_went_wrong(
    steps: list[Step], status: int, outcome: str, problem: str
) -> None:
    with chat_server(steps, status) as (url, _):
        result = probe(ProbeRequest(url, "m", timeout=0.3 if outcome == "timeout" else 20))
    assert result.outcome == outcome
    assert re.search(problem, result.problem)


def test_a_server_that_is_not_there_is_a_failed_connection() -> None:
    result = probe(ProbeRequest(f"http://127.0.0.1:{free_port()}", "m"))
    assert (result.outcome, result.time_to_first_token) == ("connect", None)


@pytest.mark.parametrize("limits", [{"max_tokens": 1}, {"max_tokens": 65}, {"timeout": 0.0}, {"timeout": 121.0}])
def test_a_probe_that_costs_too_much_is_refused(limits: dict[str, float]) -> None:
    with pytest.raises(
        ValueError, match=r"(--max-tokens: expected 2 to 64|--timeout: expected above 0 and at most 120 seconds)"
    ):
        ProbeRequest("http://a:1", "m", **limits)  # type: ignore[arg-type]


def test_a_scrape_shows_the_last_probe_and_never_waits_for_one() -> None:
    with chat_server([token("one"), token(" two", "stop"), DONE]) as (url, asked):
        collector = ProbeCollector(f"edge={url}", "m", 5)
        before = list(collector.collect(time.monotonic()))
        assert values(before, metrics.PROBE_REQUESTS, target="edge", outcome="ok") == [0]
        assert values(before, metrics.PROBE_SUCCESS) == []
        wait_for(lambda: values(list(collector.collect(time.monotonic())), metrics.PROBE_SUCCESS), "a probe to end")
        after = list(collector.collect(time.monotonic()))
        assert len(asked.bodies) == 1
    labels = {"target": "edge", "model": "m"}
    assert values(after, metrics.PROBE_SUCCESS, **labels) == [1]
    assert values(after, metrics.PROBE_REQUESTS, outcome="ok") == [1]
    assert values(after, metrics.PROBE_TOKENS) == [2]
    assert 0 < values(after, metrics.PROBE_TTFT)[0] <= values(after, metrics.PROBE_DURATION)[0]


def test_a_failed_probe_has_no_times_that_it_did_not_reach() -> None:
    collector = ProbeCollector(f"http://127.0.0.1:{free_port()}", "m", 5)
    wait_for(lambda: values(list(collector.collect(time.monotonic())), metrics.PROBE_SUCCESS), "a probe to end")
    points = list(collector.collect(time.monotonic()))
    assert values(points, metrics.PROBE_SUCCESS) == [0]
    assert values(points, metrics.PROBE_REQUESTS, outcome="connect") == [1]
    assert values(points, metrics.PROBE_TTFT) == []


def test_the_exporter_shows_its_probes(tmp_path: Path) -> None:
    with (
        chat_server([token("one"), token(" two", "stop"), DONE]) as (url, _),
        exporting(tmp_path, "--no-gpu", "--probe", f"edge={url}", "--probe-model", "m") as exporter,
    ):
        wait_for(lambda: 'llm_probe_success{model="m",target="edge"} 1.0' in exporter.get().text, "a probe to end")
        assert 'plimsoll_collector_success{collector="probe:edge"} 1.0' in exporter.get().text


def test_bad_input_is_refused_in_one_line() -> None:
    assert "--probe requires --probe-model NAME" in rejected(["export", "--no-gpu", "--probe", "http://a:1"])
    common = ["export", "--no-gpu", "--probe", "http://a:1", "--probe-model", "m"]
    assert "--probe-interval: probes cost tokens. Use 5s or more." in rejected([*common, "--probe-interval", "1s"])
    assert "--probe-interval: 'often' isn't a duration" in rejected([*common, "--probe-interval", "often"])
    assert "--probe: a:1 is given 2 times" in rejected([*common, "--probe", "http://a:1"])
    assert "URL ftp://x: not a server address" in rejected(["probe", "ftp://x", "--model", "m"])
    assert "--max-tokens: expected 2 to 64" in rejected(
        ["probe", "http://a:1", "--model", "m", "--max-tokens", "100000"]
    )


def test_the_command_says_what_a_client_of_the_demo_fleet_sees(tmp_path: Path) -> None:
    demo = Demo(tmp_path / "demo.log")
    try:
        command = [*PLIMSOLL, "probe", demo.url(), "--model", MODEL]
        done = subprocess.run([*command, "--json"], env=environment(), capture_output=True, text=True, check=False)
        result = json.loads(done.stdout)
        assert (done.returncode, result["outcome"], result["tokens"]) == (0, "ok", 16)
        assert 0 < result["time_to_first_token"] < result["duration"]
        assert httpx.get(f"{demo.url()}/metrics", trust_env=False).text.count("http_requests_total{") == 1
        wrong = subprocess.run([*command[:-1], "no-such-model"], capture_output=True, text=True, check=False)
        assert (wrong.returncode, wrong.stderr) == (1, "")
        assert "/v1/chat/completions status: HTTP 404" in wrong.stdout
    finally:
        demo.process.terminate()
        demo.process.wait(30)
