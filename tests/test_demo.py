"""The demo fleet: its pages by the model's clock, and the running command as Prometheus, probes and load tools meet it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import generate_latest

from compose.demo_fleet import LIMITS, Fleet
from compose.demo_replica import Replica
from compose.inputs import read_objectives
from exporters.engine import EngineCollector
from exporters.engines.vllm import VLLM
from exporters.page import Page, parse
from slo import catalogue
from slo.catalogue import bucket_bound
from stack import wait_for

SPEC = read_objectives(None)
MODEL = SPEC.pools[0].model
BURST = range(90, 130)

# The demo's replicas serve no adapters and do not speculate.
SOURCES = [s for s in VLLM.sources if not s.optional or s.metric is catalogue.OBJECTIVE_REQUESTS]


def fleet(replicas: int = 2, seed: int = 1) -> Fleet:
    return Fleet(SPEC, replicas, seed)


def page_of(replica: Replica) -> Page:
    return parse(generate_latest(replica.page.registry).decode())


def value(page: Page, name: str, **labels: str) -> float:
    """The sum of a page's series of that name that have these labels."""
    return sum(number for found, number in page.series.get(name, {}).items() if labels.items() <= dict(found).items())


def test_the_page_has_what_plimsoll_maps_and_says_that_it_is_simulated() -> None:
    page = page_of(fleet().replicas[0])
    suffix = {"gauge": "", "counter": "", "histogram": "_count"}
    missing = [s.names[0] for s in SOURCES if s.names[0] + suffix[s.metric.kind] not in page.series]
    assert missing == []
    assert page.series[catalogue.SIMULATED.name] == {(): 1.0}
    assert "HELP plimsoll_simulated 1: this is Plimsoll's demo fleet. Every number on this page comes from a model" in (
        generate_latest(fleet().replicas[0].page.registry).decode()
    )


def shape(page: Page) -> dict[str, set[tuple[str, ...]]]:
    """The labels of every series of vLLM's, without the bounds of buckets."""
    return {
        name: {
            tuple(sorted(f"{key}={label}" for key, label in found if key not in ("le", "model_name"))) for found in rows
        }
        for name, rows in page.series.items()
        if name.startswith("vllm:") and name != "vllm:cache_config_info"
    }


def bounds(page: Page, histogram: str) -> set[float]:
    return {float(dict(found)["le"]) for found in page.series[f"{histogram}_bucket"]}


@pytest.mark.skipif("PLIMSOLL_DATA" not in os.environ, reason="needs a page of a real vLLM: set PLIMSOLL_DATA")
def test_the_page_has_the_series_labels_and_bounds_of_a_real_vllm() -> None:
    real = parse((Path(os.environ["PLIMSOLL_DATA"]) / "vllm" / "0.32.0.prom").read_text())
    ours = page_of(fleet().replicas[0])
    assert shape(ours) == shape(real)
    added = {name: bounds(ours, name) - bounds(real, name) for name in VLLM_HISTOGRAMS}
    assert added == VLLM_HISTOGRAMS
    assert all(bounds(real, name) <= bounds(ours, name) for name in VLLM_HISTOGRAMS)
    info = dict(next(iter(ours.series["vllm:cache_config_info"])))
    assert set(info) <= set(dict(next(iter(real.series["vllm:cache_config_info"]))))


# The default objectives' limits, where --custom-histogram-buckets would put them.
VLLM_HISTOGRAMS = {
    "vllm:time_to_first_token_seconds": {0.6},
    "vllm:inter_token_latency_seconds": {0.04},
    "vllm:request_time_per_output_token_seconds": {0.04},
    "vllm:e2e_request_latency_seconds": {4.0},
    "vllm:request_queue_time_seconds": {4.0},
}


def test_every_request_is_accounted_for_at_every_moment() -> None:
    simulated, arrived = fleet(), 0
    for tick in range(1, 1200):
        simulated.advance(tick * 0.25)
        for replica in simulated.replicas:
            parts = (replica.finished, replica.waiting, replica.running, replica.abandoned, replica.failed)
            assert replica.arrived == sum(parts)
        if tick % 100 == 0:
            page = page_of(simulated.replicas[0])
            replica = simulated.replicas[0]
            arrived = replica.arrived
            assert value(page, "vllm:request_success_total") == replica.finished
            assert value(page, "vllm:num_requests_running") == replica.running
            assert value(page, "vllm:num_requests_waiting_by_reason") == replica.waiting
            assert value(page, "http_requests_total", status="2xx") == replica.finished + replica.abandoned
            assert value(page, "http_requests_total", status="5xx") == replica.failed
            assert 0 <= value(page, "vllm:kv_cache_usage_perc") <= 1
    assert arrived > 1000


def test_the_traffic_is_the_same_for_a_seed_however_often_the_clock_is_read() -> None:
    def outcome(seed: int, tick: float) -> list[tuple[int, ...]]:
        simulated = fleet(seed=seed)
        for index in range(1, int(150 / tick) + 1):
            simulated.advance(index * tick)
        return [(one.arrived, one.finished, one.abandoned, one.failed) for one in simulated.replicas]

    assert outcome(1, 0.1) == outcome(1, 2.5)
    assert outcome(1, 2.5) != outcome(2, 2.5)


def test_a_burst_queues_fills_the_cache_and_passes_while_calm_hours_meet_the_objectives() -> None:
    simulated, seen = fleet(), []
    for second in range(1, 300):
        simulated.advance(second)
        page = page_of(simulated.replicas[0])
        goodput = {
            outcome: value(page, catalogue.OBJECTIVE_REQUESTS.name, objective="chat-goodput", outcome=outcome)
            for outcome in ("good", "bad")
        }
        seen.append((value(page, "vllm:num_requests_waiting"), value(page, "vllm:kv_cache_usage_perc"), goodput))
    over = BURST.stop + 60
    burst, calm = seen[BURST.start : over], seen[: BURST.start] + seen[over:]
    assert max(queue for queue, _, _ in calm) < 20 < max(queue for queue, _, _ in burst)
    assert max(cache for _, cache, _ in calm) < 0.5
    assert max(cache for _, cache, _ in burst) > 0.85
    before, late, end = (seen[second][2] for second in (BURST.start - 1, over, -1))
    assert before["good"] > 95 / 5 * before["bad"]
    assert end["good"] - late["good"] > 95 / 5 * (end["bad"] - late["bad"])
    assert late["bad"] > 5 / 95 * late["good"]


def test_outcomes_agree_with_the_buckets_at_the_limits() -> None:
    simulated = fleet()
    simulated.advance(200)
    page = page_of(simulated.replicas[1])
    for objective, histogram, limit in (
        ("chat-e2e", "vllm:e2e_request_latency_seconds", 4.0),
        ("chat-tpot", "vllm:request_time_per_output_token_seconds", 0.04),
    ):
        good, bad = (
            value(page, catalogue.OBJECTIVE_REQUESTS.name, objective=objective, outcome=outcome)
            for outcome in ("good", "bad")
        )
        assert good == value(page, f"{histogram}_bucket", le=bucket_bound(limit)) > 0
        assert good + bad == value(page, f"{histogram}_count") and bad > 0
    assert not [
        found for found in page.series[catalogue.OBJECTIVE_REQUESTS.name] if ("objective", "chat-availability") in found
    ]


def test_clients_that_lose_patience_leave_nothing_but_an_http_2xx() -> None:
    simulated = fleet()
    simulated.advance(239)  # the burst has passed, and few are under way
    for replica in simulated.replicas:
        page = page_of(replica)
        first_tokens = value(page, "vllm:time_to_first_token_seconds_count")
        assert replica.abandoned > 0
        assert value(page, "vllm:request_success_total", finished_reason="abort") == 0
        under_way = replica.running + replica.waiting
        given_up = value(page, "http_requests_total", status="2xx") - first_tokens
        assert replica.abandoned - under_way <= given_up <= replica.abandoned


class Demo:
    """A running demo fleet of two replicas."""

    def __init__(self, log: Path) -> None:
        self.port = _two_ports()
        self._log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(_command(self.port, 2), stdout=file, stderr=subprocess.STDOUT)
        wait_for(lambda: self._up(0) and self._up(1), "both replicas to answer")

    def _up(self, replica: int) -> bool:
        assert self.process.poll() is None, self.said()
        try:
            return self.get("/health", replica).status_code == 200
        except httpx.TransportError:
            return False

    def said(self) -> str:
        return self._log.read_text()

    def url(self, replica: int = 0) -> str:
        return f"http://127.0.0.1:{self.port + replica}"

    def get(self, path: str, replica: int = 0) -> httpx.Response:
        return httpx.get(self.url(replica) + path, trust_env=False, timeout=30)

    def ask(self, path: str, **body: object) -> httpx.Response:
        return httpx.post(self.url() + path, json={"model": MODEL, **body}, trust_env=False, timeout=30)

    def answered(self, path: str, status: str, replica: int = 0) -> float:
        return value(parse(self.get("/metrics", replica).text), "http_requests_total", handler=path, status=status)


def _two_ports() -> int:
    """The first of two neighbouring free ports."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def _command(port: int, replicas: int) -> list[str]:
    options = ["--port", str(port), "--replicas", str(replicas)]
    return [sys.executable, "-m", "compose.cli", "demo", *options]


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
        (info,) = [point.labels for point in points if point.metric is catalogue.REPLICA_INFO]
        assert (info["model"], info["version"], info["simulated"]) == (MODEL, "0.32.0", "true")
        (capacity,) = [point.value for point in points if point.metric is catalogue.KV_CACHE_CAPACITY]
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
    assert (done.returncode, done.stderr.strip()) == (2, "plimsoll: --replicas 0: a fleet has at least 1")
