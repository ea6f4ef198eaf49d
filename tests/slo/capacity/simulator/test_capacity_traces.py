"""Recorded traffic: every format, plain and compressed, and files that are something else."""

import gzip
import json
import time
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


def test_timestamps_with_a_decimal_point_are_seconds_and_a_unit_that_is_told_goes_before(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(BAILIAN)
    assert [(row.time, row.prefix) for row in load(path)] == [(0.0, (1, 2)), (pytest.approx(1.886), ())]
    assert load(path, unit="ms")[1].time == pytest.approx(0.001886)
    path.write_text(BAILIAN.replace("61.114", "61.0"))
    assert load(path)[1].time == 2.0, "Bailian writes 61.0"
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


def test_azures_trace_of_2024_has_a_time_zone_and_whole_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    path = tmp_path / "trace.csv"
    rows = (
        "2024-05-10 00:00:01.633403+00:00,582,517",
        "2024-05-10 00:00:00+00:00,2431,74",
        "2024-05-10 02:00:02+02:00,9,1",
    )
    path.write_text("\n".join(("TIMESTAMP,ContextTokens,GeneratedTokens", *rows)))
    assert [(row.time, row.prompt) for row in load(path)] == [
        *((0.0, 2431), (pytest.approx(1.633403), 582), (pytest.approx(2.0), 9))
    ]
    path.write_text(
        AZURE.replace("2023-11-16 18:17:04", "2023-11-05 06:30:00").replace(
            "2023-11-16 18:17:03", "2023-11-05 05:30:00"
        )
    )
    assert load(path)[1].time == pytest.approx(3599.052), "without a zone it is UTC, whatever the machine's clock shows"
    monkeypatch.undo()
    time.tzset()


def test_burstgpt_has_seconds_and_failed_requests_without_a_response(tmp_path: Path) -> None:
    path = tmp_path / "burst.csv"
    rows = ("5,ChatGPT,142,22,164,Conversation log", "8.5,GPT-4,625,0,625,API log", "6,GPT-4,1646,334,1980,API log")
    path.write_text("\n".join(("Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type", *rows)))
    assert load(path) == [Arrival(0.0, 142, 22), Arrival(1.0, 1646, 334), Arrival(3.5, 625, 178)]
    later = "19440110.0,1722ac82-0a46,43,GPT-4,906,446,1352,Conversation log"
    head = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type"
    path.write_text(f"{head}\n{later}\n")
    assert load(path) == [Arrival(0.0, 906, 446)]


def aiperf(start: int, phase: str, prompt: int | None, output: int | None, error: object = None) -> str:
    lengths = (("input_sequence_length", prompt), ("output_sequence_length", output))
    measured = {name: {"value": value, "unit": "tokens"} for name, value in lengths if value is not None}
    about = {"request_start_ns": start, "benchmark_phase": phase, "was_cancelled": False}
    return json.dumps({"metadata": about, "metrics": measured, "error": error})


def test_results_of_aiperf_and_guidellm_are_what_they_sent(tmp_path: Path) -> None:
    path = tmp_path / "profile_export.jsonl"
    lines = [
        aiperf(10**18, "warmup", 9, 9),
        aiperf(10**18 + 2 * 10**9, "profiling", 550, 60),
        aiperf(10**18 + 10**9, "profiling", 450, 40),
        aiperf(10**18 + 3 * 10**9, "profiling", None, None, {"code": 503}),
    ]
    path.write_text("\n".join(lines))
    assert load(path) == [Arrival(0.0, 450, 40), Arrival(1.0, 550, 60), Arrival(2.0, 500, 50)]
    good = [{"request_start_time": 1700000000.5 + one, "prompt_tokens": 100, "output_tokens": 20} for one in (0, 1)]
    bad = [{"request_start_time": 1700000003.0, "prompt_tokens": None, "output_tokens": 1}]
    report = {
        "benchmarks": [
            {"requests": {"successful": good[:1]}},
            {"requests": {"successful": good[1:], "incomplete": bad}},
        ]
    }
    path.write_text(json.dumps(report, indent=2))
    assert load(path) == [Arrival(0.0, 100, 20), Arrival(1.0, 100, 20), Arrival(2.5, 100, 20)]


SESSIONS = """{"session_id": "a", "timestamp": 0, "input_length": 1100, "output_length": 100}
{"session_id": "b", "timestamp": 200, "input_length": 300, "output_length": 100}
{"session_id": "a", "delay": 1500, "input_length": 500, "output_length": 100}
"""


def test_a_turn_of_a_session_has_the_whole_conversation_as_its_prompt(tmp_path: Path) -> None:
    path = tmp_path / "sessions.jsonl"
    path.write_text(SESSIONS)
    first, other, second = load(path, scale=2.0)
    assert [(row.time, row.prompt, row.delay) for row in (first, other, second)] == [
        *((0.0, 1100, None), (0.1, 300, None), (0.75, 1700, 0.75))
    ]
    assert second.prefix[:2] == first.prefix and len(second.prefix) == 3
    assert first.session == second.session != other.session
    copies = superposed(load(path), 2)
    assert [row.prompt for row in copies if row.session == copies[-1].session and row.delay is not None] == [1700]
    assert len({row.session for row in copies}) == 4


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no requests"),
        ("time,tokens\n1,2\n", "'TIMESTAMP'; expected CSV of Azure"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,many,1\n", "'many'"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03\n", "expected CSV"),
        ('{"timestamp": 1}\n', "input_length"),
        ('{"timestamp": 1\n', "expected CSV"),
        ('{"timestamp": null, "input_length": 1, "output_length": 1}\n', "expected CSV"),
        ('{"start_times": [1, 2], "input_lens": [3], "output_lens": [4, 5]}\n', "expected CSV"),
        ('[{"id": "x", "conversations": [{"from": "human", "value": "hi"}]}]', "texts without arrival times"),
        ('{"session_id": "a", "messages": [], "output_length": 5, "timestamp": 0}\n', "texts without arrival times"),
        ('{"data": [{"session_id": "a", "payloads": []}]}', "texts without arrival times"),
        ('{"aiperf_version": "0.14.0",\n "request_throughput": {"avg": 2.0}}', "profile_export.jsonl"),
        ('{"session_id": "a", "delay": 5, "input_length": 1, "output_length": 1}\n', "begins with a delay"),
        ('{"benchmarks": [{"requests": {"successful": []}}]}', "no requests"),
        ("[]", "it isn't a trace"),
    ],
)
def test_a_file_that_is_no_trace_is_named_with_what_was_expected(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(TraceError) as error:
        load(path)
    assert str(path) in str(error.value) and problem in str(error.value)
