"""Recorded traffic: when requests arrived and how long they were. Azure's CSV (plain or gz) and Mooncake's JSONL."""

import csv
import gzip
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple


class Arrival(NamedTuple):
    """One request of a trace: seconds since the trace began, tokens in, tokens out, and hashes of the prompt's blocks (Mooncake:
    of 512 tokens each, equal where everything up to their end is equal; the last one may be shorter)."""

    time: float
    prompt: int
    output: int
    prefix: tuple[int, ...] = ()


class TraceError(ValueError):
    """A trace cannot be read; the message names file, line and what was expected."""


def load(path: Path, scale: float = 1.0) -> list[Arrival]:
    """Read a trace in order of arrival; `scale` 2 replays it at twice its rate.

    A recorded length of 0 counts as 1: a request has a prompt and gets a token. Raises TraceError, OSError.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        first = file.readline()
        file.seek(0)
        rows = _mooncake(file) if first.startswith("{") else _azure(file)
        try:
            arrivals = sorted(rows, key=lambda row: row.time)
        except (KeyError, TypeError, ValueError) as error:
            raise TraceError(
                f"{path}: {error}; expected CSV with TIMESTAMP,ContextTokens,GeneratedTokens "
                "or JSON lines with timestamp, input_length, output_length (and hash_ids)"
            ) from error
    if not arrivals:
        raise TraceError(f"{path}: no requests in it")
    start = arrivals[0].time
    return [
        Arrival((time - start) / scale, max(1, prompt), max(1, output), prefix)
        for time, prompt, output, prefix in arrivals
    ]


def _azure(lines: Iterable[str]) -> Iterator[Arrival]:
    """Azure Public Dataset, LLM inference traces 2023: seven decimals, of which Python keeps six."""
    for row in csv.DictReader(lines):
        time = datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp()
        yield Arrival(time, int(row["ContextTokens"]), int(row["GeneratedTokens"]))


def _mooncake(lines: Iterable[str]) -> Iterator[Arrival]:
    """Mooncake's open traces: milliseconds since the start."""
    for line in lines:
        row = json.loads(line)
        yield Arrival(
            row["timestamp"] / 1000,
            int(row["input_length"]),
            int(row["output_length"]),
            tuple(map(int, row.get("hash_ids", ()))),
        )
