"""Recorded traffic: both formats, plain and compressed, and files that are something else."""

import gzip
from pathlib import Path

import pytest

from slo.capacity.traces import Arrival, TraceError, load

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


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no requests"),
        ("time,tokens\n1,2\n", "'TIMESTAMP'; expected CSV with TIMESTAMP"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,many,1\n", "'many'"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03\n", "expected CSV"),
        ('{"timestamp": 1}\n', "input_length"),
        ('{"timestamp": 1\n', "expected CSV"),
    ],
)
def test_a_file_that_is_no_trace_is_named_with_what_was_expected(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(TraceError) as error:
        load(path)
    assert str(path) in str(error.value) and problem in str(error.value)
