"""vLLM's names on real pages: captured from vLLM 0.32.0 (tests/fixtures), and others where PLIMSOLL_DATA is set."""

import gc
import os
import re
import weakref
from collections.abc import Sequence
from pathlib import Path

import pytest

from paths import FIXTURES
from plimsoll.exporters.collector import Point
from plimsoll.exporters.engines import recognize
from plimsoll.exporters.engines.mapping import Source
from plimsoll.exporters.engines.normalize import model_of, normalize
from plimsoll.exporters.engines.parser import Parser, parse
from plimsoll.exporters.engines.vllm import VLLM
from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric

LOAD = (FIXTURES / "vllm-0.32.0-load.prom").read_text()
MODEL = "meta-llama/Llama-3.3-70B-Instruct"


def points_of(text: str) -> list[Point]:
    page = parse(text)
    assert recognize(page.series) is VLLM
    return normalize(page, VLLM, "a:8000", model_of(page.shape, VLLM))


def values(points: Sequence[Point], metric: Metric, suffix: str = "", **labels: str) -> list[float]:
    return [p.value for p in points if p.metric == metric and p.suffix == suffix and labels.items() <= p.labels.items()]


def recorded(name: str) -> str:
    folder = os.environ.get("PLIMSOLL_DATA")
    if not folder:
        pytest.skip("PLIMSOLL_DATA is not set; it names the folder with pages of other vLLM versions (vllm/*.prom)")
    return (Path(folder) / "vllm" / name).read_text()


def test_a_loaded_server_shows_what_runs_what_waits_and_what_it_did() -> None:
    points = points_of(LOAD)
    assert values(points, metrics.REQUESTS_RUNNING, rank="0", model=MODEL) == [16]
    assert values(points, metrics.REQUESTS_WAITING, rank="0") == [4]
    assert values(points, metrics.FINISHED, reason="length") == [42]
    assert values(points, metrics.FINISHED, reason="abort") == [0]
    assert values(points, metrics.TTFT, "_count") == [67]  # 42 finished, 9 left mid-stream, 16 running
    assert 0 < values(points, metrics.KV_CACHE_USAGE)[0] < 1
    assert sorted(values(points, metrics.REJECTED)) == [0, 0]
    assert values(points, metrics.OBJECTIVE_REQUESTS, objective="chat-e2e", outcome="bad", rank="0") == [40]


def test_a_histogram_keeps_its_bounds_written_one_way_and_its_last_bucket_is_its_count() -> None:
    points = points_of(LOAD)
    bounds = [p.labels["le"] for p in points if p.metric == metrics.TTFT and p.suffix == "_bucket"]
    assert bounds == ["0.1", "0.25", "0.5", "0.6", "0.75", "1.0", "2.5", "5.0", "10.0", "20.0", "40.0", "+Inf"]
    terse = points_of(LOAD.replace('le="1.0"', 'le="1"').replace('le="10.0"', 'le="1e1"'))
    assert [p.labels["le"] for p in terse if p.metric == metrics.TTFT and p.suffix == "_bucket"] == bounds
    for metric in (source.metric for source in VLLM.sources if source.metric.kind == "histogram"):
        assert values(points, metric, "_bucket", le="+Inf") == values(points, metric, "_count")


def test_times_of_creation_are_not_taken_for_numbers() -> None:
    assert "_created" in LOAD
    assert not [point for point in points_of(LOAD) if point.value > 1.7e9]


@pytest.mark.parametrize(
    "source", [source for source in VLLM.sources if len(source.names) > 1], ids=lambda source: str(source.metric)
)
def test_an_old_name_is_understood_and_the_newest_alone_counts_where_both_are(source: Source) -> None:
    metric, suffix = source.metric, "_count" if source.metric.kind == "histogram" else ""
    newest, *older = source.names
    expected = values(points_of(LOAD), metric, suffix)
    assert len(expected) == 1
    for old in older:
        renamed = re.sub(rf"\b{newest}\b(?=[{{ ])|\b{newest}(?=_bucket|_sum|_count)", old, LOAD)
        assert newest + "{" not in renamed and newest + "_count{" not in renamed
        assert values(points_of(renamed), metric, suffix) == expected
        doubled = "".join(line + "\n" for line in renamed.splitlines() if line.startswith(old))
        assert values(points_of(LOAD + doubled.replace(" ", " 1", 1)), metric, suffix) == expected


def test_a_page_of_before_data_parallel_ranks_is_rank_0() -> None:
    points = points_of(re.sub(r'engine="0",', "", LOAD))
    assert values(points, metrics.REQUESTS_RUNNING, rank="0") == [16]


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1.0"])
def test_a_value_that_cannot_be_is_absent(value: str) -> None:
    text = re.sub(r"^(vllm:kv_cache_usage_perc\{.*\}) .*$", rf"\1 {value}", LOAD, flags=re.MULTILINE)
    assert text != LOAD
    points = points_of(text)
    assert values(points, metrics.KV_CACHE_USAGE) == []
    assert values(points, metrics.REQUESTS_RUNNING) == [16]


def test_capacity_is_one_rank_s_also_where_the_page_gives_all_ranks_blocks() -> None:
    assert values(points_of(LOAD), metrics.KV_CACHE_CAPACITY, rank="0") == [1048576]
    blocks = LOAD.replace('kv_cache_size_tokens="1048576"', 'kv_cache_size_tokens="None"')
    assert values(points_of(blocks), metrics.KV_CACHE_CAPACITY) == [1048576]
    unknown = blocks.replace('num_gpu_blocks="8192"', 'num_gpu_blocks="None"')
    assert values(points_of(unknown), metrics.KV_CACHE_CAPACITY) == []


def test_a_router_s_page_is_refused() -> None:
    with pytest.raises(ValueError, match=r"its series name servers. Is it a router"):
        points_of('vllm:num_requests_running{server="http://a:8000"} 3\n')
    with pytest.raises(ValueError, match=f"it names {MODEL}, other instead of one model"):
        points_of(LOAD + 'vllm:num_requests_running{engine="0",model_name="other"} 3\n')
    with pytest.raises(ValueError, match="its series name servers"):
        points_of(LOAD + f'vllm:num_requests_running{{engine="0",model_name="{MODEL}",server="http://b:8000"}} 3\n')


@pytest.mark.parametrize("text", ["<html>\n", "vllm:num_requests_running{engine= 3\n", "vllm:a 1\nvllm:b 12", ""])
def test_what_is_not_a_whole_page_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_a_page_of_another_program_is_not_recognised() -> None:
    assert recognize(parse("process_start_time_seconds 1.0\n").series) is None


@pytest.mark.parametrize(("name", "requests", "generated"), [("0.32.0.prom", 8, 800), ("0.27.1.prom", 0, 0)])
def test_pages_of_two_versions_give_the_same_metrics(name: str, requests: int, generated: int) -> None:
    points = points_of(recorded(name))
    expected = {source.metric for source in VLLM.sources if not source.optional}
    lacking = {metric for metric in expected if not any(point.metric == metric for point in points)}
    assert lacking == ({metrics.REJECTED} if name == "0.27.1.prom" else set())
    assert values(points, metrics.FINISHED, reason="length", model="tiny") == [requests]
    assert values(points, metrics.GENERATION_TOKENS) == [generated]
    assert [values(points, m, "_count") for m in (metrics.TTFT, metrics.TPOT, metrics.DURATION)] == [[requests]] * 3
    assert values(points, metrics.KV_CACHE_CAPACITY) == [1048576]


def test_two_ranks_stay_apart() -> None:
    text = recorded("0.32.0-dp2.prom")
    points = points_of(text)
    assert sum(values(points, metrics.FINISHED, reason="length")) == 12
    ranks = [values(points, metrics.TTFT, "_count", rank=rank) for rank in ("0", "1")]
    assert all(len(rank) == 1 for rank in ranks) and sum(rank[0] for rank in ranks) == 12
    assert values(points, metrics.KV_CACHE_CAPACITY) == [1048576, 1048576]
    older = text.replace('kv_cache_size_tokens="1048576"', 'kv_cache_size_tokens="None"')
    assert values(points_of(older), metrics.KV_CACHE_CAPACITY) == [1048576, 1048576]


def test_servers_with_the_same_lines_share_what_these_mean_and_nothing_else() -> None:
    # Lines that no parser of another test holds.
    load = LOAD.replace('engine="0"', 'engine="5"')
    busy = re.sub(r"^([^#].*) \S+$", r"\1 7", load, flags=re.MULTILINE)
    first, second, third = Parser(), Parser(), Parser()
    one, two = first.parse(load.encode()), second.parse(busy.encode())
    assert one.shape is two.shape
    running = "vllm:num_requests_running"
    assert set(two.series[running].values()) == {7.0} != set(one.series[running].values())
    other = third.parse(LOAD.replace('engine="0"', 'engine="1"').encode())
    assert other.shape is not one.shape
    assert {dict(labels)["engine"] for labels in other.series[running]} == {"1"}
    held = weakref.ref(first._last)
    del first, second
    gc.collect()
    assert held() is None
