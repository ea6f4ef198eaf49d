"""Pages of engines, routers and gateways as their users' fleets have them: each number right, or one sentence on what is missing.

The pages are in tests/fixtures/engines; the first line of each says where it is from. Others are made from a real page of vLLM.
"""

import gzip
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from engine_pages import LOAD, MODEL, collect, fixed, pages, server
from paths import FIXTURES
from plimsoll.exporters.collector import CollectorError, Point
from plimsoll.exporters.engines import engines, recognize
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.exporters.engines.parser import parse
from plimsoll.exporters.process_tree import ProcessTree
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric

FOLDER = FIXTURES / "engines"
Fact = tuple[Metric, str, dict[str, str], list[float]]
RED = {"tenant": "red", "model": "qwen"}
# Page -> values by metric, suffix and labels.
FACTS: dict[str, list[Fact]] = {
    "vllm-0.32-two-api-servers": [
        (c.REPLICA_INFO, "", {"model": "meta-llama/Llama-3.3-70B-Instruct"}, [1]),
        (c.REPLICA_START, "", {}, [0]),
        (c.METRIC_MISSING, "", {}, []),
    ],
    "sglang-0.5.23-plain": [
        (c.FINISHED, "", {"reason": "stop"}, [95]),
        (c.FINISHED, "", {"reason": "abort"}, [5]),
        (c.TPOT, "_count", {}, [100]),
        (c.TTFT, "_count", {}, [100]),
        (c.PROGRESS_TOKENS, "", {}, []),
        (c.REPLICA_INFO, "", {"role": ""}, [1]),
        (c.KV_TRANSFER_REQUESTS, "", {"stage": "to_start"}, [16]),
        (c.KV_TRANSFER_REQUESTS, "", {"stage": "in_progress"}, [5]),
        (c.METRIC_MISSING, "", {}, []),
    ],
    "sglang-0.5.23-priority": [
        (c.REQUESTS_RUNNING, "", {}, [12]),
        (c.REQUESTS_WAITING, "", {}, [4]),
        (c.PROMPT_TOKENS, "", {}, [60000]),
        (c.TTFT, "_count", {}, [300]),
        (c.FINISHED, "", {"reason": "stop"}, [295]),
    ],
    "sglang-0.5.23-pd-prefill": [
        (c.REPLICA_INFO, "", {"role": "prefill"}, [1]),
        (c.TTFT, "_count", {}, []),
        (c.METRIC_MISSING, "", {}, []),
    ],
    "sglang-0.5.3": [(c.REQUESTS_RUNNING, "", {}, [12]), (c.METRIC_MISSING, "", {}, [])],
    "trtllm-1.1-unprefixed": [
        (c.REPLICA_INFO, "", {"model": "looked-up", "engine": "trtllm"}, [1]),
        (c.FINISHED, "", {"reason": "stop"}, [20]),
        (c.FINISHED, "", {"reason": "error"}, [5]),
        (c.FINISHED, "", {"reason": "abort"}, [3]),
        (c.TTFT, "_bucket", {"le": "0.3"}, [20]),
        (c.METRIC_MISSING, "", {}, []),
    ],
    "trtllm-main-undefined": [
        (c.REPLICA_INFO, "", {"model": "looked-up"}, [1]),
        (c.REJECTED, "", {}, [6, 2, 8]),
        (c.KV_CACHE_CAPACITY, "", {}, [32000]),
        (c.DRAFTED_ACCEPTED, "", {}, [500]),
        (c.PROGRESS_TOKENS, "", {}, []),
    ],
    "triton-vllm-backend": [
        (c.REPLICA_INFO, "", {"model": "vllm_model", "engine": "triton-vllm"}, [1]),
        (c.TTFT, "_count", {}, [1]),
        (c.METRIC_MISSING, "", {}, []),
    ],
    "nim-1": [
        (c.REPLICA_INFO, "", {"model": "meta/llama-3.1-8b-instruct", "engine": "nim"}, [1]),
        (c.FINISHED, "", {"reason": "stop"}, [40]),
        (c.FINISHED, "", {"reason": "error"}, [2]),
        (c.TTFT, "_bucket", {"le": "0.5"}, [30]),
        (c.PROGRESS_TOKENS, "", {}, [12000]),
    ],
    "tei-1.8": [
        (c.REPLICA_INFO, "", {"engine": "tei"}, [1]),
        (c.REQUESTS_WAITING, "", {}, [6]),
        (c.FINISHED, "", {"reason": "stop"}, [50]),
        (c.FINISHED, "", {"reason": "error"}, [1]),
        (c.REJECTED, "", {}, [4]),
        (c.DURATION, "_count", {}, [50]),
        (c.TTFT, "_count", {}, []),
        (c.METRIC_MISSING, "", {}, []),
    ],
    "llamacpp-2026": [
        (c.GENERATION_TOKENS, "", {}, [404669]),
        (c.DRAFTS, "", {}, [300]),
        (c.METRIC_MISSING, "", {}, []),
    ],
    "ray260-serve2": [
        (c.REPLICA_UP, "", {}, [1, 1]),
        (c.REPLICA_INFO, "", {"replica": "edge/pyrn8t9m", "model": "qwen-0.5b"}, [1]),
        (c.REQUESTS_RUNNING, "", {"replica": "edge/m71hjdfr", "rank": "0"}, [3]),
        (c.METRIC_MISSING, "", {}, []),
    ],
    "ray260-modelswap": [
        (c.REPLICA_INFO, "", {}, [1]),
        (c.REPLICA_INFO, "", {"model": "new-model"}, [1]),
        (c.FINISHED, "", {}, [10]),
    ],
    "ray260-twomodels": [
        (c.FINISHED, "", {"model": "llama-8b"}, [10]),
        (c.FINISHED, "", {"model": "qwen-0.5b"}, [10]),
    ],
    "ray260-noserve-dp2": [
        (c.REPLICA_UP, "", {}, [1]),
        (c.REQUESTS_RUNNING, "", {"rank": "0"}, [3]),
        (c.REQUESTS_RUNNING, "", {"rank": "1"}, [4]),
    ],
    "ray246-actors": [(c.REPLICA_UP, "", {}, [1, 1]), (c.FINISHED, "", {}, [10, 10])],
    "litellm-1.110": [
        (c.GATEWAY_REQUESTS, "", {"tenant": "red", "model": "chat"}, [100]),
        (c.GATEWAY_REQUESTS, "", {"tenant": "t1", "model": "embed"}, [7]),
        (c.GATEWAY_FAILURES, "", {"reason": "500"}, [10]),
        (c.GATEWAY_FAILURES, "", {"reason": "429"}, [3]),
    ],
    "epp": [
        (c.GATEWAY_REQUESTS, "", RED, [123]),
        (c.GATEWAY_FAILURES, "", {**RED, "reason": "overloaded"}, [20]),
        (c.GATEWAY_FAILURES, "", {**RED, "reason": "502"}, [5]),
        (c.GATEWAY_FAILURES, "", {**RED, "reason": "400"}, [3]),
        (c.GATEWAY_TTFT, "_bucket", {**RED, "le": "0.6"}, [70]),
        (c.GATEWAY_QUEUED, "", RED, [7]),
        (c.GATEWAY_REJECTED, "", {"reason": "capacity"}, [15]),
        (c.GATEWAY_REJECTED, "", {"reason": "timeout"}, [5]),
        (c.GATEWAY_READY, "", {}, [4]),
    ],
    "dynamo-frontend": [
        (c.GATEWAY_REQUESTS, "", {"model": "qwen3-0.6b"}, [100]),
        (c.GATEWAY_QUEUED, "", {}, [2]),
        (c.GATEWAY_TTFT, "_bucket", {"le": "0.1"}, [50]),
    ],
    "smg-1.13": [(c.GATEWAY_REQUESTS, "", {"model": "qwen"}, [50]), (c.GATEWAY_FAILURES, "", {}, [3])],
    "ai-gateway": [
        (c.GATEWAY_REQUESTS, "", {"model": "qwen"}, [34]),
        (c.GATEWAY_FAILURES, "", {"reason": "5xx"}, [4]),
        (c.GATEWAY_DURATION, "_count", {}, [30]),
    ],
    "vllm-router": [(c.GATEWAY_READY, "", {}, [1]), (c.REQUESTS_RUNNING, "", {}, [])],
}


def values(points: Sequence[Point], metric: Metric, suffix: str = "", **labels: str) -> list[float]:
    return [p.value for p in points if p.metric == metric and p.suffix == suffix and labels.items() <= p.labels.items()]


def read(*texts: str) -> list[Point]:
    """The points of the last of these pages, of a server whose process can't be seen and that names its model elsewhere."""
    with server(pages(texts, model="looked-up")[0]) as url:
        collector = EngineCollector(f"edge={url}", tree=ProcessTree(Path("/nowhere")))
        for _ in texts:
            points = collect(collector)
    return points


@pytest.mark.parametrize("name", FACTS)
def test_a_page_s_numbers_are_right(name: str) -> None:
    points = read((FOLDER / f"{name}.prom").read_text())
    for metric, suffix, labels, numbers in FACTS[name]:
        assert sorted(values(points, metric, suffix, **labels)) == sorted(numbers), f"{metric}{suffix}{labels}"
    assert set(values(points, c.REPLICA_UP)) == {1}


@pytest.mark.parametrize("name", [path.stem for path in FOLDER.glob("*.prom")])
def test_each_page_says_where_it_is_from_and_has_facts(name: str) -> None:
    text = (FOLDER / f"{name}.prom").read_text()
    assert re.match("# (Not captured: written after|Captured:) .{15}", text) and name in FACTS


def test_each_mapping_recognizes_a_page_here_or_is_an_older_name_of_one() -> None:
    texts = [path.read_text() for path in (*FOLDER.glob("*.prom"), *FIXTURES.glob("*.prom"))]
    found = {mapping.engine for text in texts if (mapping := recognize(parse(text).series)) is not None}
    assert found == {mapping.engine for mapping in engines()}


# One line of a real page, written as other programs and versions write it.


def with_exemplars(text: str) -> str:
    return re.sub(
        r"^(vllm:\S+_bucket\S* \S+)$", r'\1 # {trace_id="a # {b} 9"} 0.05 1795251262.1', text, flags=re.MULTILINE
    )


def with_timestamps(text: str) -> str:
    return re.sub(r"^([a-z].*)$", r"\1 1795251262000", text, flags=re.MULTILINE)


def openmetrics(text: str) -> str:
    return re.sub(r"^# HELP.*\n", "", text, flags=re.MULTILINE) + "# EOF\n"


@pytest.mark.parametrize("written", [with_exemplars, with_timestamps, openmetrics])
def test_numbers_are_the_same_however_the_text_is_written(written: Callable[[str], str]) -> None:
    plain, other = read(LOAD), read(written(LOAD))
    assert {(p.metric, p.suffix, *sorted(p.labels.items())): p.value for p in other if p.metric != c.REPLICA_START} == {
        (p.metric, p.suffix, *sorted(p.labels.items())): p.value for p in plain if p.metric != c.REPLICA_START
    }


def test_later_pages_with_exemplars_are_right_too() -> None:
    more = LOAD.replace("vllm:generation_tokens_total{", "vllm:generation_tokens_total{", 1)
    assert values(read(with_exemplars(LOAD), with_exemplars(more)), c.TTFT, "_bucket", le="0.1") == values(
        read(LOAD), c.TTFT, "_bucket", le="0.1"
    )


def test_a_page_that_is_compressed_against_the_request_is_read() -> None:
    with server(fixed(gzip.compress(LOAD.encode()), "200 OK", "Content-Encoding: gzip")) as url:
        assert values(collect(EngineCollector(url)), c.REPLICA_UP) == [1]


def rows(name: str, numbers: Sequence[float], label: str) -> str:
    """LOAD with one row of a family replaced by several that differ in a label unknown to us."""
    row = re.compile(rf"^{name}\{{(.*)\}} \S+$", re.MULTILINE)
    parts = "\n".join(f'{name}{{\\1,{label}="{place}"}} {number}' for place, number in enumerate(numbers))
    return row.sub(parts, LOAD)


def test_an_unknown_label_is_a_part_of_one_number() -> None:
    assert values(read(rows("vllm:kv_cache_usage_perc", [0, 0.65, 0], "pid")), c.KV_CACHE_USAGE) == [0.65]
    assert values(read(rows("vllm:num_requests_waiting", [3, 4], "priority")), c.REQUESTS_WAITING) == [7]
    assert values(read(rows("vllm:generation_tokens_total", [3, 4], "tenant")), c.GENERATION_TOKENS) == [7]


def test_what_cannot_be_told_costs_that_family_alone_and_is_named() -> None:
    uneven = LOAD + f'vllm:time_to_first_token_seconds_bucket{{engine="0",le="0.123",model_name="{MODEL}",x="1"}} 4\n'
    uneven += f'vllm:time_to_first_token_seconds_bucket{{engine="0",le="0.1",model_name="{MODEL}",x="1"}} 4\n'
    points = read(uneven)
    assert values(points, c.TTFT, "_count") == [] and values(points, c.TTFT, "_bucket") == []
    name = "vllm:time_to_first_token_seconds"
    named = [p.labels["reason"] for p in points if p.metric == c.METRIC_MISSING and p.labels["metric"] == name]
    assert named == ["ambiguous"]
    assert values(points, c.DURATION, "_count") == values(read(LOAD), c.DURATION, "_count")


def test_errors_of_sagemaker_s_path_are_counted() -> None:
    text = LOAD + 'http_requests_total{handler="/invocations",method="POST",status="5xx"} 40.0\n'
    before = values(read(LOAD), c.REJECTED, reason="5xx")
    assert values(read(text, text), c.REJECTED, reason="5xx") == [(before or [0])[0] + 40]


def test_sglang_s_server_errors_are_counted() -> None:
    text = (FOLDER / "sglang-0.5.23-plain.prom").read_text()
    text += 'sglang:http_responses_total{endpoint="/v1/chat/completions",method="POST",status_code="500"} 6\n'
    text += 'sglang:http_responses_total{endpoint="/v1/chat/completions",method="POST",status_code="200"} 900\n'
    text += 'sglang:http_responses_total{endpoint="/health",method="GET",status_code="503"} 7\n'
    points = read(text, text)
    assert values(points, c.REJECTED) == [6]
    assert values(points, c.ABANDONED) == [], "its 200 is counted before the first token"


def test_sglang_s_progress_is_what_moves_while_a_request_runs() -> None:
    text = (FOLDER / "sglang-0.5.23-plain.prom").read_text()
    for mode, tokens in {"prefill_compute": 900, "prefill_cache": 50, "decode": 70}.items():
        text += f'sglang:realtime_tokens_total{{model_name="qwen",mode="{mode}",tp_rank="0"}} {tokens}\n'
    points = read(text)
    assert values(points, c.PROGRESS_TOKENS) == [1020]
    assert values(points, c.PROMPT_TOKENS_BY_SOURCE, source="computed") == [900]
    assert sorted(values(points, c.PROMPT_TOKENS_BY_SOURCE)) == [50, 900]


def test_transfers_between_engines_are_seconds_and_bytes() -> None:
    text = (FOLDER / "sglang-0.5.23-plain.prom").read_text()
    for part, value in {'_bucket{le="5.0"}': 3, '_bucket{le="+Inf"}': 4, "_sum": 60, "_count": 4}.items():
        text += f"sglang:kv_transfer_latency_ms{part} {value}\n"
    text += "sglang:kv_transfer_total_mb_sum 2\nsglang:num_transfer_failed_reqs_total 7\n"
    points = read(text)
    assert values(points, c.KV_TRANSFER_TIME, "_bucket", le="0.005") == [3]
    assert values(points, c.KV_TRANSFER_TIME, "_sum") == [0.06]
    assert values(points, c.KV_TRANSFER_BYTES) == [2 * 2**20]
    assert values(points, c.KV_TRANSFER_FAILURES, reason="transport") == [7]


def test_a_page_of_two_models_is_refused_with_their_names() -> None:
    own = "".join(line for line in LOAD.splitlines(keepends=True) if MODEL in line)
    text = own + own.replace(MODEL, "other")
    with (
        server(fixed(text)) as url,
        pytest.raises(CollectorError, match=f"it names {MODEL}, other instead of one model"),
    ):
        collect(EngineCollector(url))


@pytest.mark.parametrize(
    ("page", "what"), [("ollama_requests_total 3\n", "--probe"), ("lmcache:x_total 3\n", "engine's page")]
)
def test_a_known_page_that_says_too_little_names_what_to_read_instead(page: str, what: str) -> None:
    with server(fixed(page)) as url, pytest.raises(CollectorError, match=what):
        collect(EngineCollector(url))
