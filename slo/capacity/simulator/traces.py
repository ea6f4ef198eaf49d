"""Recorded traffic: when requests arrived and how long they were. Plain or gz:

- Azure's CSV;
- JSON lines with `timestamp`, `input_length`, `output_length` and perhaps `hash_ids`: Mooncake's (milliseconds), Bailian's (seconds) and
  others that `vllm bench serve --dataset-name timed_trace` replays;
- the result of `vllm bench serve --save-result --save-detailed`: what it sent, by `start_times`, `input_lens` and `output_lens`.
"""

import csv
import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from plimsoll.slo import strict_json

HOUR = 3600.0  # seconds
UNITS = {"ms": 1000.0, "s": 1.0}  # of timestamps, by how many there are in a second
EXPECTED = (
    "expected CSV with TIMESTAMP,ContextTokens,GeneratedTokens, JSON lines with timestamp, input_length, output_length "
    "(and hash_ids), or a result of `vllm bench serve --save-result --save-detailed` with start_times, input_lens, output_lens"
)


class Arrival(NamedTuple):
    """One request of a trace: seconds since the trace began, tokens in, tokens out, and hashes of the prompt's blocks (Mooncake:
    of 512 tokens each, equal where everything up to their end is equal; the last one may be shorter)."""

    time: float
    prompt: int
    output: int
    prefix: tuple[int, ...] = ()


class TraceError(ValueError):
    """A trace can't be read; the message names the file, the line, and the expected format."""


def load(path: Path, scale: float = 1.0, unit: str | None = None) -> list[Arrival]:
    """Read a trace in order of arrival; `scale` 2 replays it at twice its rate. `unit` (of UNITS) is that of JSON lines' timestamps; if it
    is not given, seconds if a timestamp has a fraction, else milliseconds.

    A recorded length of 0 counts as 1: a request has a prompt and gets a token. Raises TraceError, OSError.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        try:
            first = file.readline()
            file.seek(0)
            rows = list(_json(file, unit) if first.startswith("{") else _azure(file))
        except KeyError as error:
            raise TraceError(f"{path}: missing {error}; {EXPECTED}") from error
        except (TypeError, ValueError, AttributeError, OverflowError, csv.Error, EOFError, zlib.error) as error:
            raise TraceError(f"{path}: {' '.join(str(error).split())[:200]}; {EXPECTED}") from error
    if not rows:
        raise TraceError(f"{path}: no requests in it")
    rows.sort(key=lambda row: row.time)
    start = rows[0].time
    return [
        Arrival((time - start) / scale, max(1, prompt), max(1, output), prefix) for time, prompt, output, prefix in rows
    ]


def superposed(arrivals: Sequence[Arrival], copies: int) -> list[Arrival]:
    """Return `copies` times the traffic in the same span, in order of arrival: a day keeps its hours, unlike at a higher rate.

    Each copy is an equal part of an hour later than the one before, as bursts of users who don't know of each other don't coincide;
    what passes the end begins again at the start. Copies share no blocks of prompts. Raises ValueError below one copy.
    """
    if copies < 1:
        raise ValueError(f"{copies} copies: write a whole number, 1 or above")
    span = arrivals[-1].time or 1.0
    found = [
        row._replace(
            time=(row.time + copy * HOUR / copies) % span if copy else row.time,
            prefix=tuple(block * copies + copy for block in row.prefix),
        )
        for copy in range(copies)
        for row in arrivals
    ]
    return sorted(found, key=lambda row: row.time) if copies > 1 else list(arrivals)


def _azure(lines: Iterable[str]) -> Iterator[Arrival]:
    """Azure Public Dataset, LLM inference traces 2023: seven decimals; Python parses six."""
    for row in csv.DictReader(lines):
        time = datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp()
        yield Arrival(time, int(row["ContextTokens"]), int(row["GeneratedTokens"]))


def _json(lines: Iterable[str], unit: str | None) -> Iterator[Arrival]:
    rows = [strict_json.load(line) for line in lines if line.strip()]
    results = [row for row in rows if "start_times" in row]  # with --append-result one a line
    if results:
        for result in results:
            yield from _vllm(result)
        return
    found = [float(row["timestamp"]) for row in rows]
    by = UNITS[unit or ("ms" if all(time.is_integer() for time in found) else "s")]
    for time, row in zip(found, rows, strict=True):
        hashes = tuple(map(int, row.get("hash_ids") or ()))
        yield Arrival(time / by, int(row["input_length"]), int(row["output_length"]), hashes)


def _vllm(result: dict[str, Any]) -> Iterator[Arrival]:
    """vLLM's benchmark of a server: seconds of its own clock. What failed was to get an answer of unknown length: the others' mean."""
    failed = [bool(error) for error in result.get("errors") or [None] * len(result["start_times"])]
    lengths = [int(length) for length in result["output_lens"]]
    mean = fmean([length for length, bad in zip(lengths, failed, strict=True) if not bad] or [1])
    for time, prompt, output, bad in zip(result["start_times"], result["input_lens"], lengths, failed, strict=True):
        yield Arrival(float(time), int(prompt), round(mean) if bad else output)
