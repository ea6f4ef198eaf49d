"""The running demo fleet, as exporters, probes and load tools meet it."""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from demo_page import MODEL, SOURCES
from demo_process import Demo, _command
from plimsoll.compose.demo.fleet import LIMITS
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.slo import metrics
from stack import wait_for


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = Demo(tmp_path_factory.mktemp("demo") / "log")
    try:
        yield running
    finally:
        running.process.terminate()
        assert running.process.wait(timeout=20) == 0, running.said()
    assert "SIMULATED" in running.said() and "Traceback" not in running.said()


def test_the_exporter_reads_each_replica_as_a_simulated_vllm(demo: Demo) -> None:
    for replica in range(2):
        points = list(EngineCollector(f"demo-{replica}={demo.url(replica)}").collect(time.monotonic() + 20))
        (info,) = [point.labels for point in points if point.metric is metrics.REPLICA_INFO]
        assert (info["model"], info["version"], info["simulated"]) == (MODEL, "0.32.0", "true")
        (capacity,) = [point.value for point in points if point.metric is metrics.KV_CACHE_CAPACITY]
        assert capacity == LIMITS.num_blocks * LIMITS.block_size
        assert {source.metric.name for source in SOURCES} <= {point.metric.name for point in points}


def test_a_chat_is_streamed_token_by_token(demo: Demo) -> None:
    body = {"max_tokens": 20, "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
    answer = demo.ask("/v1/chat/completions", messages=[{"role": "user", "content": "Who are you?"}], **body)
    events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert events.pop() == "[DONE]"
    *tokens, usage = map(json.loads, events)
    assert usage["usage"] == {"prompt_tokens": 4, "completion_tokens": 20, "total_tokens": 24}
    assert len(tokens) == 20
    deltas = [token["choices"][0]["delta"] for token in tokens]
    assert [delta.get("role") for delta in deltas] == ["assistant"] + [None] * 19
    assert "".join(delta["content"] for delta in deltas).startswith("These words come from a simulated engine. These")
    assert [token["choices"][0]["finish_reason"] for token in tokens] == [None] * 19 + ["length"]


def test_a_completion_comes_whole_and_is_counted_at_its_replica_alone(demo: Demo) -> None:
    before = [demo.answered("/v1/completions", "2xx", replica) for replica in range(2)]
    answer = demo.ask("/v1/completions", prompt=[1, 2, 3], max_tokens=4, ignore_eos=True).json()
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert (answer["object"], answer["choices"][0]["text"]) == ("text_completion", "These words come from")
    after = [demo.answered("/v1/completions", "2xx", replica) for replica in range(2)]
    assert after == [before[0] + 1, before[1]]


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_is_noticed(demo: Demo, stream: bool) -> None:
    before = demo.answered("/v1/completions", "2xx")
    # At a hundredth of a second a token this would take minutes.
    body = {"model": MODEL, "prompt": "x", "max_tokens": 30_000, "ignore_eos": True, "stream": stream}
    with httpx.Client(trust_env=False, timeout=0.5 if not stream else 30) as client:
        if stream:
            with client.stream("POST", demo.url() + "/v1/completions", json=body) as answer:
                assert next(answer.iter_lines()).startswith("data: ")
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post(demo.url() + "/v1/completions", json=body)
    wait_for(lambda: demo.answered("/v1/completions", "2xx") == before + 1, "the request to be dropped")


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"model": "gpt-5", "prompt": "x"}, 404, "The model `gpt-5` does not exist."),
        ({"prompt": "x", "max_tokens": 0}, 400, "max_tokens"),
        ({"prompt": "x", "max_tokens": 33_000}, 400, "maximum context length is 32768 tokens"),
        ({"prompt": 5}, 400, "prompt"),
    ],
)
def test_a_wrong_question_is_answered_with_what_is_wrong(
    demo: Demo, body: dict[str, object], status: int, said: str
) -> None:
    before = demo.answered("/v1/completions", "4xx")
    answer = demo.ask("/v1/completions", **body)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    assert demo.answered("/v1/completions", "4xx") == before + 1


def test_load_tools_find_the_model(demo: Demo) -> None:
    assert demo.get("/version", 1).json() == {"version": "0.32.0"}
    assert [model["id"] for model in demo.get("/v1/models").json()["data"]] == [MODEL]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_even_amid_a_stream(tmp_path: Path, number: signal.Signals) -> None:
    running = Demo(tmp_path / "log")
    body = {"model": MODEL, "prompt": "x", "max_tokens": 30_000, "ignore_eos": True, "stream": True}
    with (
        httpx.Client(trust_env=False) as client,
        client.stream("POST", running.url() + "/v1/completions", json=body) as answer,
    ):
        assert next(answer.iter_lines()).startswith("data: ")
        running.process.send_signal(number)
        assert running.process.wait(timeout=20) == 0
    assert "Traceback" not in running.said()


def test_a_port_in_use_is_one_line_that_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(_command(port, 1), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip() == (
        f"plimsoll: demo fleet: port {port} on 127.0.0.1: Address already in use; choose others with --port"
    )


def test_a_fleet_of_none_is_refused() -> None:
    done = subprocess.run(_command(8100, 0), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.strip()) == (2, "plimsoll: --replicas: expected 1 or more, got 0.")
