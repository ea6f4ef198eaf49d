"""The formats of recorded traffic, each as rows of a trace. A file that can't be replayed is rejected with what to give instead."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from statistics import fmean
from typing import Any, NamedTuple

from plimsoll.slo import strict_json

UNITS = {"ms": 1000.0, "s": 1.0}  # of timestamps, by how many there are in a second
NANOSECONDS = 1e9
BLOCK = 512  # tokens of a block of a session's prompts, as of Mooncake's hash_ids


class Arrival(NamedTuple):
    """One request of a trace: seconds since the trace began, tokens in, tokens out, and hashes of the prompt's blocks (Mooncake:
    of 512 tokens each, equal where everything up to their end is equal; the last one may be shorter).

    A turn of a `session` (0: none) with a `delay` is sent that many seconds after the response to the turn before; its time is the earliest."""

    time: float
    prompt: int
    output: int
    prefix: tuple[int, ...] = ()
    session: int = 0
    delay: float | None = None


def csv_rows(lines: Iterable[str]) -> Iterator[Arrival]:
    """Read Azure's traces (2023, 2024), or BurstGPT's."""
    rows = csv.DictReader(lines)
    yield from _burstgpt(rows) if "Request tokens" in (rows.fieldnames or ()) else _azure(rows)


def _azure(rows: Iterable[dict[str, str]]) -> Iterator[Arrival]:
    """2023: seven decimals, of which Python parses six, and no time zone: UTC. 2024: with a time zone, and whole seconds without decimals."""
    for row in rows:
        time = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", row["TIMESTAMP"]))
        aware = time if time.tzinfo else time.replace(tzinfo=UTC)
        yield Arrival(aware.timestamp(), int(row["ContextTokens"]), int(row["GeneratedTokens"]))


def _burstgpt(rows: Iterable[dict[str, str]]) -> Iterator[Arrival]:
    """Seconds since the trace began. 0 response tokens are a failure."""
    found = [(float(row["Timestamp"]), int(row["Request tokens"]), int(row["Response tokens"])) for row in rows]
    yield from _sent([(time, prompt, output, not output) for time, prompt, output in found])


def json_rows(text: str, unit: str | None) -> Iterator[Arrival]:
    """Read a JSON document, or JSON lines whose timestamps are in a `unit` (of UNITS; None: s if one has a decimal point, else ms)."""
    try:
        rows = [strict_json.load(line) for line in text.splitlines() if line.strip()]
    except strict_json.InvalidJsonError:
        if text.lstrip().count("\n") == 0:
            raise
        rows = [strict_json.load(text)]  # a document over several lines
    _reject(rows)
    first = rows[0] if rows else {}
    if "start_times" in first:  # with --append-result one a line
        for result in rows:
            yield from _vllm(result)
    elif "benchmarks" in first:
        yield from _guidellm(first)
    elif "metadata" in first and "metrics" in first:
        yield from _aiperf(rows)
    else:
        yield from _lines(rows, unit)


def _reject(rows: Sequence[Any]) -> None:
    """Raise ValueError for files that lack times or lengths, with what to give instead."""
    listed = bool(rows) and isinstance(rows[0], list)  # a document that is a list
    first: Any = next(iter(rows[0] if listed else rows), {})
    texts = isinstance(first, dict) and {"conversations", "payloads", "messages", "text_input", "data"} & set(first)
    if texts:
        raise ValueError(
            "it has texts without arrival times and token counts (ShareGPT, messages). Send it with `vllm bench serve "
            "--save-result --save-detailed`, AIPerf, or GuideLLM, and replay their result"
        )
    if listed or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it isn't a trace")
    if "aiperf_version" in first:
        raise ValueError("it is AIPerf's summary. Give profile_export.jsonl of the same folder")


def _lines(rows: Sequence[dict[str, Any]], unit: str | None) -> Iterator[Arrival]:
    """Mooncake, Bailian and others; a row with a `session_id` and a `delay` is a turn after the one before."""
    written = [row["delay" if _follows(row) else "timestamp"] for row in rows]
    by = UNITS[unit or ("s" if any(isinstance(time, float) for time in written) else "ms")]
    last: dict[Any, Arrival] = {}
    numbers: dict[Any, int] = {}
    for row in rows:
        lengths, hashes = (
            (int(row["input_length"]), int(row["output_length"])),
            tuple(map(int, row.get("hash_ids") or ())),
        )
        if "session_id" not in row:
            yield Arrival(float(row["timestamp"]) / by, *lengths, hashes)
            continue
        name = row["session_id"]
        number = numbers.setdefault(name, len(numbers) + 1)
        if _follows(row):
            if name not in last:
                raise ValueError(f"session {name!r} begins with a delay. Give its first turn a timestamp")
            last[name] = _turn(last[name], float(row["delay"]) / by, *lengths)
        else:
            last[name] = _session(number, float(row["timestamp"]) / by, *lengths, hashes)
        yield last[name]


def _follows(row: dict[str, Any]) -> bool:
    return row.get("delay") is not None and "session_id" in row and row.get("timestamp") is None


def _session(number: int, time: float, prompt: int, output: int, hashes: tuple[int, ...]) -> Arrival:
    return Arrival(time, prompt, output, (*hashes, *_blocks(number, len(hashes), prompt)), number)


def _turn(before: Arrival, delay: float, new: int, output: int) -> Arrival:
    """Return a turn whose prompt is the whole conversation and what is new, as AIPerf sends it."""
    prompt = before.prompt + before.output + new
    prefix = (*before.prefix, *_blocks(before.session, len(before.prefix), prompt))
    return Arrival(before.time + delay, prompt, output, prefix, before.session, delay)


def _blocks(session: int, known: int, prompt: int) -> Iterator[int]:
    """Yield hashes of a session's whole blocks beyond the known ones; negative, as traces' own are not."""
    return (-(session << 24) - index - 1 for index in range(known, prompt // BLOCK))


def _vllm(result: dict[str, Any]) -> Iterator[Arrival]:
    """vLLM's benchmark of a server: seconds of its own clock."""
    failed = [bool(error) for error in result.get("errors") or [None] * len(result["start_times"])]
    columns = (
        map(float, result["start_times"]),
        map(int, result["input_lens"]),
        map(int, result["output_lens"]),
        failed,
    )
    yield from _sent(list(zip(*columns, strict=True)))


def _guidellm(report: dict[str, Any]) -> Iterator[Arrival]:
    """GuideLLM's report: Unix seconds. Its benchmarks (rates) follow each other."""
    rows = [
        (float(one["request_start_time"] or 0.0), one["prompt_tokens"], one["output_tokens"], kind != "successful")
        for benchmark in report["benchmarks"]
        for kind in ("successful", "incomplete", "errored")
        for one in benchmark["requests"].get(kind) or ()
    ]
    yield from _sent([(time, prompt or 0, output or 0, failed) for time, prompt, output, failed in rows if time])


def _aiperf(records: Sequence[dict[str, Any]]) -> Iterator[Arrival]:
    """AIPerf's records of each request (profile_export.jsonl), but for its warmup: Unix nanoseconds."""
    rows = []
    for record in records:
        about, measured = record["metadata"], record["metrics"]
        if about.get("benchmark_phase", about.get("credit_phase")) == "warmup":
            continue
        failed = bool(record.get("error") or about.get("was_cancelled")) or "output_sequence_length" not in measured
        lengths = (measured.get(f"{side}_sequence_length", {}).get("value", 0) for side in ("input", "output"))
        prompt, output = map(int, lengths)
        rows.append((about["request_start_ns"] / NANOSECONDS, prompt, output, failed))
    yield from _sent(rows)


def _sent(rows: Sequence[tuple[float, int, int, bool]]) -> Iterator[Arrival]:
    """Yield what was sent: time, tokens in, tokens out, and whether it failed. What failed was to get an answer of unknown length, and may have
    a prompt of unknown length: the others' mean."""
    good = [(prompt, output) for _, prompt, output, failed in rows if not failed]
    prompts, outputs = (round(fmean(column)) for column in zip(*good or [(1, 1)], strict=True))
    for time, prompt, output, failed in rows:
        yield Arrival(time, prompt or prompts if failed else prompt, outputs if failed else output)
