"""Recorded traffic: when requests arrived and how long they were. Plain or gz, in the formats of plimsoll.slo.capacity.simulator.trace_formats."""

import csv
import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

from plimsoll.slo.capacity.simulator.trace_formats import UNITS, Arrival, csv_rows, json_rows

__all__ = ["UNITS", "Arrival", "TraceError", "load", "superposed"]

HOUR = 3600.0  # seconds
EXPECTED = (
    "expected CSV of Azure (TIMESTAMP,ContextTokens,GeneratedTokens) or BurstGPT, JSON lines with timestamp, input_length, output_length "
    "(and hash_ids, or session_id and delay), or a result of `vllm bench serve --save-result --save-detailed`, AIPerf, or GuideLLM"
)


class TraceError(ValueError):
    """A trace can't be read; the message names the file, the line, and the expected format."""


def load(path: Path, scale: float = 1.0, unit: str | None = None) -> list[Arrival]:
    """Read a trace in order of arrival; `scale` 2 replays it at twice its rate. `unit` (of UNITS) is that of JSON lines' timestamps; if it
    is not given, seconds if a timestamp has a decimal point, else milliseconds.

    A recorded length of 0 counts as 1: a request has a prompt and gets a token. Raises TraceError, OSError.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        try:
            first = file.readline()
            file.seek(0)
            rows = list(json_rows(file.read(), unit) if first.startswith(("{", "[")) else csv_rows(file))
        except KeyError as error:
            raise TraceError(f"{path}: missing {error}; {EXPECTED}") from error
        except (TypeError, ValueError, AttributeError, OverflowError, csv.Error, EOFError, zlib.error) as error:
            raise TraceError(f"{path}: {' '.join(str(error).split())[:200]}; {EXPECTED}") from error
    if not rows:
        raise TraceError(f"{path}: no requests in it")
    rows.sort(key=lambda row: row.time)
    start = rows[0].time
    return [
        row._replace(
            time=(row.time - start) / scale,
            prompt=max(1, row.prompt),
            output=max(1, row.output),
            delay=None if row.delay is None else row.delay / scale,
        )
        for row in rows
    ]


def superposed(arrivals: Sequence[Arrival], copies: int) -> list[Arrival]:
    """Return `copies` times the traffic in the same span, in order of arrival: a day keeps its hours, unlike at a higher rate.

    Each copy is an equal part of an hour later than the one before, as bursts of users who don't know of each other don't coincide;
    what passes the end begins again at the start, a session as a whole. Copies share no blocks of prompts. Raises ValueError below one copy.
    """
    if copies < 1:
        raise ValueError(f"{copies} copies: write a whole number, 1 or above")
    span = arrivals[-1].time or 1.0
    begun: dict[int, float] = {}
    for row in arrivals:
        begun.setdefault(row.session, row.time)
    found = [
        row._replace(
            time=_shifted(row.time, begun[row.session] if row.session else row.time, copy * HOUR / copies, span),
            prefix=tuple(block * copies + copy for block in row.prefix),
            session=row.session and row.session * copies + copy,
        )
        for copy in range(copies)
        for row in arrivals
    ]
    return sorted(found, key=lambda row: row.time) if copies > 1 else list(arrivals)


def _shifted(time: float, begun: float, by: float, span: float) -> float:
    return (begun + by) % span + time - begun if by else time
