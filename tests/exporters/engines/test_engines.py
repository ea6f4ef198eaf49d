"""Engines by data: each engine's page is recognized, its names become ours, and what other programs do to names does no harm.

The pages are in tests/fixtures; the first line of each says where it is from.
"""

import json
import logging
import re
import socket
import threading
from collections.abc import Sequence

import pytest

from engine_pages import Answer, collect, http, pages, server
from paths import FIXTURES
from plimsoll.exporters.collector import CollectorError, Point
from plimsoll.exporters.engines import recognize
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.exporters.engines.normalize import missing, model_of, normalize
from plimsoll.exporters.engines.parser import parse
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric

VLLM_PAGE = (FIXTURES / "vllm-0.32.0-load.prom").read_text()
# Page -> engine, model (empty: not on the page), and values by metric, suffix and labels.
PAGES: dict[str, tuple[str, str, list[tuple[Metric, str, dict[str, str], list[float]]]]] = {
    "sglang-0.5-dp2": (
        "sglang",
        "Qwen/Qwen3-8B",
        [
            (c.REQUESTS_RUNNING, "", {"rank": "0"}, [2]),
            (c.REQUESTS_RUNNING, "", {"rank": "1"}, [5]),
            (c.REQUESTS_WAITING, "", {}, [3, 1]),
            (c.KV_CACHE_USAGE, "", {"rank": "1"}, [0.41]),
            (c.KV_CACHE_CAPACITY, "", {"rank": "0"}, [400000]),
            (c.PREEMPTIONS, "", {}, [2, 0]),
            (c.PREFIX_HIT, "", {}, [600]),
            (c.PREFIX_QUERIED, "", {}, [81289]),
            (c.FINISHED, "", {"reason": "stop"}, [120]),
            (c.FINISHED, "", {"reason": "abort"}, [7]),
            (c.TTFT, "_count", {}, [120]),
            (c.TTFT, "_bucket", {"le": "0.4"}, [65]),
            (c.DURATION, "_bucket", {"le": "4.0"}, [110]),
            (c.QUEUE, "_count", {"rank": "1"}, [70]),
        ],
    ),
    "trtllm-serve-1.2": (
        "trtllm",
        "llama-3.1-8b",
        [
            (c.REQUESTS_RUNNING, "", {}, [12]),
            (c.REQUESTS_WAITING, "", {}, [4]),
            (c.KV_CACHE_USAGE, "", {}, [0.62]),
            (c.KV_CACHE_CAPACITY, "", {"rank": "0"}, [6239 * 64]),
            (c.FINISHED, "", {"reason": "stop"}, [95]),
            (c.FINISHED, "", {"reason": "length"}, [5]),
            (c.REJECTED, "", {}, [2]),
            (c.TTFT, "_bucket", {"le": "0.5"}, [60]),
            (c.TPOT, "_count", {}, [100]),
        ],
    ),
    "triton-trtllm-24": (
        "triton-trtllm",
        "tensorrt_llm",
        [
            (c.REQUESTS_RUNNING, "", {}, [9]),
            (c.REQUESTS_WAITING, "", {}, [7]),
            (c.KV_CACHE_USAGE, "", {}, [0.25]),
            (c.KV_CACHE_CAPACITY, "", {}, [6239 * 64]),
        ],
    ),
    "tgi-3.3": (
        "tgi",
        "",
        [
            (c.REQUESTS_RUNNING, "", {}, [16]),
            (c.REQUESTS_WAITING, "", {}, [5]),
            (c.PROMPT_TOKENS, "", {}, [25000]),
            (c.GENERATION_TOKENS, "", {}, [9000]),
            (c.FINISHED, "", {"reason": "stop"}, [140]),
            (c.FINISHED, "", {"reason": "error"}, [1]),
            (c.FINISHED, "", {"reason": "abort"}, [2]),
            (c.REJECTED, "", {}, [3]),
            (c.DURATION, "_bucket", {"le": "5.0"}, [130]),
            (c.TTFT, "_count", {}, []),
        ],
    ),
    "llamacpp-b6000": (
        "llamacpp",
        "",
        [
            (c.REQUESTS_RUNNING, "", {}, [2]),
            (c.REQUESTS_WAITING, "", {}, [1]),
            (c.PROMPT_TOKENS, "", {}, [29907]),
            (c.GENERATION_TOKENS, "", {}, [940]),
            (c.KV_CACHE_USAGE, "", {}, []),
        ],
    ),
    "litellm-1.80": (
        "litellm",
        "",
        [
            (c.GATEWAY_REQUESTS, "", {"tenant": "red", "model": "chat"}, [33]),
            (c.GATEWAY_REQUESTS, "", {"tenant": "blue", "model": "chat"}, [30]),
            (c.GATEWAY_FAILURES, "", {"tenant": "red", "reason": "429"}, [3]),
            (c.GATEWAY_PROMPT_TOKENS, "", {"tenant": "red"}, [2000]),
            (c.GATEWAY_GENERATION_TOKENS, "", {"tenant": "none"}, [200]),
            (c.GATEWAY_DURATION, "_bucket", {"tenant": "red", "le": "1.0"}, [12]),
            (c.GATEWAY_TTFT, "_count", {"tenant": "red"}, [30]),
        ],
    ),
}


def text_of(name: str) -> str:
    return (FIXTURES / f"{name}.prom").read_text()


def points_of(text: str) -> list[Point]:
    page = parse(text)
    mapping = recognize(page.series)
    assert mapping is not None
    model = "" if mapping.gateway else model_of(page.shape, mapping) or "m"
    return normalize(page, mapping, "a:1", model)


def values(points: Sequence[Point], metric: Metric, suffix: str = "", **labels: str) -> list[float]:
    return [p.value for p in points if p.metric == metric and p.suffix == suffix and labels.items() <= p.labels.items()]


def engine_server(page: str, path: str, facts: dict[str, object]) -> Answer:
    """A server with its page at one path and facts in JSON at others; 404 elsewhere."""

    def answer(connection: socket.socket, asked: str, stop: threading.Event) -> None:
        found = page if asked == path else json.dumps(facts[asked]) if asked in facts else None
        connection.sendall(http((found or "").encode(), "200 OK" if found else "404 Not Found"))

    return answer


@pytest.mark.parametrize("name", PAGES)
def test_an_engine_s_page_is_recognised_and_its_names_become_ours(name: str) -> None:
    engine, model, expected = PAGES[name]
    page = parse(text_of(name))
    mapping = recognize(page.series)
    assert mapping is not None and mapping.engine == engine
    points = points_of(text_of(name))
    assert mapping.gateway or {p.labels["model"] for p in points} == {model or "m"}
    for metric, suffix, labels, numbers in expected:
        assert values(points, metric, suffix, **labels) == numbers, f"{metric}{suffix}{labels}"
    assert not [point for point in points if point.value > 1.7e9], "a time of creation is no number"
    assert missing(page, mapping, "9.9") == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_written_after_a_source_names_the_source(name: str) -> None:
    assert re.match("# Not captured: written after .{20}", text_of(name))


@pytest.mark.parametrize(
    ("name", "path", "facts", "model", "version"),
    [
        ("sglang-0.5-dp2", "/metrics", {"/get_server_info": {"version": "0.5.12"}}, "Qwen/Qwen3-8B", "0.5.12"),
        ("trtllm-serve-1.2", "/prometheus/metrics", {"/version": {"version": "1.2.1"}}, "llama-3.1-8b", "1.2.1"),
        ("tgi-3.3", "/metrics", {"/info": {"model_id": "org/m", "version": "3.3.7"}}, "org/m", "3.3.7"),
        (
            "llamacpp-b6000",
            "/metrics",
            {"/v1/models": {"data": [{"id": "qwen.gguf"}]}, "/props": {"build_info": "b6000-1a2b"}},
            "qwen.gguf",
            "b6000-1a2b",
        ),
        ("llamacpp-b6000", "/metrics", {"/v1/models": {"data": []}, "/props": [1]}, "unknown", "unknown"),
        ("triton-trtllm-24", "/metrics", {}, "tensorrt_llm", "unknown"),
    ],
)
def test_model_and_version_come_from_where_the_engine_has_them(
    name: str, path: str, facts: dict[str, object], model: str, version: str
) -> None:
    with server(engine_server(text_of(name), path, facts)) as url:
        points = collect(EngineCollector(url))
    assert values(points, c.REPLICA_INFO, model=model, version=version, engine=PAGES[name][0]) == [1]
    assert values(points, c.REPLICA_UP) == [1]
    assert {p.labels["model"] for p in points if "model" in p.labels} == {model}


def test_trtllm_serve_s_page_is_found_behind_its_json_and_only_asked_for_from_then_on() -> None:
    asked: list[str] = []
    page = engine_server(text_of("trtllm-serve-1.2"), "/prometheus/metrics", {"/metrics": [{"iter": 1}]})

    def answer(connection: socket.socket, path: str, stop: threading.Event) -> None:
        asked.append(path)
        page(connection, path, stop)

    with server(answer) as url:
        collector = EngineCollector(url)
        assert values(collect(collector), c.REQUESTS_RUNNING) == [12]
        del asked[:]
        collect(collector)
    assert asked[0] == "/prometheus/metrics" and "/metrics" not in asked


def test_a_gateway_is_up_and_is_no_replica_of_a_model() -> None:
    with server(engine_server(text_of("litellm-1.80"), "/metrics/", {})) as url:
        points = collect(EngineCollector(f"edge={url}"))
    assert values(points, c.REPLICA_UP, replica="edge") == [1]
    assert values(points, c.REPLICA_INFO) == []
    assert values(points, c.GATEWAY_REQUESTS, gateway="edge", tenant="none", model="small") == [40]


# Traps of engines' pages: old and new names, a router's page and NaN are in test_engines_vllm.py too; clients that no
# histogram sees are in test_derived.py.


def test_ranks_stay_apart_and_copies_of_one_rank_count_once() -> None:
    points = points_of(text_of("sglang-0.5-dp2"))
    assert sum(values(points, c.REQUESTS_WAITING)) == 4
    assert {p.labels["rank"] for p in points if p.metric == c.REQUESTS_RUNNING} == {"0", "1"}


def test_counters_that_begin_again_are_passed_on_as_they_are() -> None:
    restarted = re.sub(r"^(vllm:generation_tokens_total\{.*\}) .*$", r"\1 3.0", VLLM_PAGE, flags=re.MULTILINE)
    with server(pages([VLLM_PAGE, restarted])[0]) as url:
        collector = EngineCollector(url)
        first, second = (values(collect(collector), c.GENERATION_TOKENS) for _ in range(2))
    assert first[0] > 3 and second == [3]


def test_engine_names_that_a_router_re_exports_are_refused_and_say_so() -> None:
    page = 'vllm:num_requests_running{server="http://a:8000"} 3\nvllm:num_requests_running{server="http://b:8000"} 2\n'
    with server(pages([page])[0]) as url, pytest.raises(CollectorError, match="Is it a router"):
        collect(EngineCollector(url))


def test_a_name_that_the_page_should_have_and_has_not_is_reported_once_by_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    renamed = VLLM_PAGE.replace("vllm:kv_cache_usage_perc", "vllm:kv_usage_of_tomorrow")
    caplog.set_level(logging.WARNING)
    with server(pages([renamed, renamed, VLLM_PAGE], "0.40.1")[0]) as url:
        collector = EngineCollector(url)
        points = [collect(collector) for _ in range(3)]
    found = [[p.labels for p in page if p.metric == c.METRIC_MISSING] for page in points]
    lacking = {"collector": collector.name, "metric": "vllm:kv_cache_usage_perc", "reason": "absent"}
    assert found == [[lacking], [lacking], []]
    (line,) = [record.getMessage() for record in caplog.records]
    assert "metric vllm:kv_cache_usage_perc is missing, which this version should expose (vLLM 0.40.1)" in line


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.31.9", []),
        ("0.32.0", ["vllm:admission_rejections_total"]),
        ("0.32.0rc1", ["vllm:admission_rejections_total"]),
        ("unknown", []),
    ],
)
def test_a_name_is_expected_from_its_version_on(version: str, expected: list[str]) -> None:
    page = parse("".join(f"{line}\n" for line in VLLM_PAGE.splitlines() if "admission_rejections" not in line))
    mapping = recognize(page.series)
    assert mapping is not None and missing(page, mapping, version) == expected


def test_an_engine_that_writes_a_series_at_its_first_event_lacks_nothing_before_it_served() -> None:
    fresh = parse('sglang:num_running_reqs{model_name="m"} 0.0\n')
    mapping = recognize(fresh.series)
    assert mapping is not None and missing(fresh, mapping, "0.5") == []
    served = parse('sglang:num_requests_total{model_name="m"} 1.0\n')
    assert "sglang:time_to_first_token_seconds" in missing(served, mapping, "0.5")
