"""Recorded traffic: every format, plain and compressed, and files that are something else."""

import gzip
import json
from pathlib import Path

import pytest

from plimsoll.slo.capacity.simulator.traces import Arrival, TraceError, load, superposed

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:03.9799600,4808,0
"""
MOONCAKE = '{"timestamp": 3000, "input_length": 6755, "output_length": 500, "hash_ids": [1]}\n'
MOONCAKE += '{"timestamp": 5500, "input_length": 7, "output_length": 1}\n'


def test_azure_rows_are_read_in_order_of_arrival_plain_and_compressed(tmp_path: Path) -> None:
    plain, compressed = tmp_path / "trace.csv", tmp_path / "trace.csv.gz"
    plain.write_text(AZURE)
    compressed.write_bytes(gzip.compress(AZURE.encode()))
    assert load(plain) == load(compressed)
    first, second = load(plain)
    assert first == Arrival(0.0, 4808, 1)
    assert (second.prompt, second.output) == (3180, 8)
    assert second.time == pytest.approx(0.052)


def test_mooncake_lines_are_milliseconds_and_a_scale_speeds_them_up(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(MOONCAKE)
    assert load(path) == [Arrival(0.0, 6755, 500, (1,)), Arrival(2.5, 7, 1)]
    assert load(path, scale=2.0)[1].time == 1.25


def test_copies_keep_the_span_and_each_is_a_part_of_an_hour_later_with_prompts_of_its_own() -> None:
    rows = [Arrival(0.0, 5, 1, (1,)), Arrival(3000.0, 6, 2, (1, 2)), Arrival(7200.0, 7, 3)]
    found = superposed(rows, 2)
    assert [(row.time, row.prompt) for row in found] == [
        *((0.0, 5), (1800.0, 5), (1800.0, 7), (3000.0, 6), (4800.0, 6), (7200.0, 7))
    ], "what passes the end begins again at the start"
    hashes = [set(row.prefix) for row in found if row.prompt == 6]
    assert hashes[0].isdisjoint(hashes[1])
    assert superposed(rows, 1) == rows
    with pytest.raises(ValueError, match="0 copies"):
        superposed(rows, 0)


BAILIAN = '{"chat_id": 159, "parent_chat_id": -1, "timestamp": 61.114, "input_length": 521, "output_length": 132, "type": "text", "turn": 1, "hash_ids": [1, 2]}\n'
BAILIAN += '{"chat_id": 160, "parent_chat_id": 159, "timestamp": 63.0, "input_length": 40, "output_length": 8, "type": "text", "turn": 2, "hash_ids": null}\n'


def test_timestamps_with_a_fraction_are_seconds_and_a_unit_that_is_told_goes_before(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(BAILIAN)
    assert [(row.time, row.prefix) for row in load(path)] == [(0.0, (1, 2)), (pytest.approx(1.886), ())]
    assert load(path, unit="ms")[1].time == pytest.approx(0.001886)
    path.write_text(MOONCAKE)
    assert load(path, unit="s")[1].time == 2500.0


def test_results_of_vllms_benchmark_are_what_it_sent_and_a_failed_request_is_as_long_as_the_others(
    tmp_path: Path,
) -> None:
    result = {"start_times": [900.5, 900.0, 902.0], "input_lens": [70, 80, 90], "output_lens": [10, 20, 0]}
    path = tmp_path / "result.json"
    path.write_text(json.dumps({**result, "errors": ["", "", "Connection rejected"], "completed": 2}))
    assert load(path) == [Arrival(0.0, 80, 20), Arrival(0.5, 70, 10), Arrival(2.0, 90, 15)]
    again = {"start_times": [1000.0], "input_lens": [5], "output_lens": [6]}
    path.write_text(json.dumps(result) + "\n" + json.dumps(again))
    assert load(path)[-1] == Arrival(100.0, 5, 6), "with --append-result a further run is a further line"
    path.write_text(json.dumps({"completed": 2, "duration": 5}))
    with pytest.raises(TraceError, match="--save-detailed"):
        load(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no requests"),
        ("time,tokens\n1,2\n", "'TIMESTAMP'; expected CSV with TIMESTAMP"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,many,1\n", "'many'"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03\n", "expected CSV"),
        ('{"timestamp": 1}\n', "input_length"),
        ('{"timestamp": 1\n', "expected CSV"),
        ('{"timestamp": null, "input_length": 1, "output_length": 1}\n', "expected CSV"),
        ('{"start_times": [1, 2], "input_lens": [3], "output_lens": [4, 5]}\n', "expected CSV"),
    ],
)
def test_a_file_that_is_no_trace_is_named_with_what_was_expected(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(TraceError) as error:
        load(path)
    assert str(path) in str(error.value) and problem in str(error.value)
