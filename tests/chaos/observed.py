"""What a source stored of the fleet, read straight from it, and what a service says that its ledger holds."""

import json
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from math import isnan
from pathlib import Path
from typing import Any

import httpx

from truth_fleet import KINDS
from truth_slots import Expected, Seen, Slots

START, FINISHED = "llm_replica_start_time_seconds", "llm_requests_finished_total"
Point = tuple[str, dict[str, str], float, float]  # name, labels, time, value


def _pages(points: Iterable[Point]) -> list[Seen]:
    """Join the samples of one page: a start, and the finished requests by reason."""
    starts: dict[tuple[str, str, float], float] = {}
    finished: dict[tuple[str, str, float], float] = defaultdict(float)
    for name, labels, at, value in points:
        if isnan(value):  # VictoriaMetrics hands out its staleness markers
            continue
        key = (labels["replica"], labels.get("job", ""), at)
        if name == START:
            starts[key] = value
        else:
            finished[key] += value
    return [Seen(*key, start, round(finished[key])) for key, start in sorted(starts.items())]


def in_prometheus(url: str, since: float) -> list[Seen]:
    """Every page that a Prometheus holds."""

    def points() -> Iterator[Point]:
        now = time.time()
        for name in (START, FINISHED):
            asked = {"query": f"{name}[{round(now - since)}s]", "time": f"{now:.3f}"}
            answer = httpx.post(f"{url}/api/v1/query", data=asked, timeout=30, trust_env=False).raise_for_status()
            for one in answer.json()["data"]["result"]:
                yield from ((name, one["metric"], float(at), float(value)) for at, value in one["values"])

    return _pages(points())


def in_victoria(url: str, since: float) -> list[Seen]:
    """Every page that a VictoriaMetrics holds."""

    def points() -> Iterator[Point]:
        asked = {"match[]": f'{{__name__=~"{START}|{FINISHED}"}}', "start": str(since)}
        answer = httpx.get(f"{url}/api/v1/export", params=asked, timeout=30, trust_env=False).raise_for_status()
        for line in answer.text.splitlines():
            one = json.loads(line)
            for at, value in zip(one["timestamps"], one["values"], strict=True):
                if value is not None:
                    yield one["metric"]["__name__"], one["metric"], at / 1000, float(value)

    return _pages(points())


def in_sqlite(path: Path) -> list[Seen]:
    """Every page that an embedded source stored."""
    query = """SELECT s.name, s.labels, d.at_ms / 1000.0, d.value FROM scraped_samples d JOIN scraped_series s ON s.id = d.series
               WHERE s.name IN (?, ?)"""
    with sqlite3.connect(path, timeout=10) as connection:
        rows = connection.execute(query, (START, FINISHED)).fetchall()
    connection.close()
    return _pages((name, json.loads(labels), at, value) for name, labels, at, value in rows)


def in_ledger(service: str, pools: Iterable[str]) -> Slots:
    """Every slot of every objective, by the service's API."""
    found: Slots = {}
    with httpx.Client(base_url=service, timeout=20, trust_env=False) as client:
        for pool in pools:
            for kind in KINDS:
                answer: Any = client.get(f"/api/v1/slos/{pool}-{kind}/slots").raise_for_status().json()
                for one in answer["slots"]:
                    slot = int(datetime.fromisoformat(one["start"]).timestamp())
                    found[pool, kind, slot] = Expected(one["good"], one["total"], one["covered_seconds"])
    return found
