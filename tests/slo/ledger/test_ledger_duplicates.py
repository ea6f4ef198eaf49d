"""One exporter in two jobs of a real Prometheus: requests, replicas, signals and the recommendation are those of one, and `check` says so."""

import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from page import Page
from plimsoll.compose.cli import main
from plimsoll.slo import metrics
from plimsoll.slo.calendar import SLOT
from plimsoll.slo.capacity.model import signals
from plimsoll.slo.ledger.ingest import ingest
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.usage import pool_rows
from plimsoll.slo.sources.prometheus import PrometheusSource
from stack import Prometheus, scrape, wait_for
from world import SPEC_TEXT, spec

Opener = Callable[[str], Ledger]
BEFORE = 100  # requests before the first scrape, of which nobody knows when they were
REPLICAS = ("r0", "r1")


def page(good: int, bad: int, started: float) -> str:
    lines = []
    for replica in REPLICAS:
        mine = f'engine="vllm",model="m",replica="{replica}"'
        rank = f'{mine},rank="0"'
        lines += [
            f"{metrics.REPLICA_START}{{{mine}}} {started!r}",
            f"{metrics.REQUESTS_RUNNING}{{{rank}}} 2",
            f"{metrics.REQUESTS_WAITING}{{{rank}}} 3",
            f"{metrics.KV_CACHE_USAGE}{{{rank}}} 0.5",
            f'{metrics.OBJECTIVE_REQUESTS}{{{rank},objective="fast",outcome="good"}} {good}',
            f'{metrics.OBJECTIVE_REQUESTS}{{{rank},objective="fast",outcome="bad"}} {bad}',
            f'{metrics.FINISHED}{{{rank},reason="stop"}} {good + bad}',
        ]
    return "\n".join(lines) + "\n"


@pytest.mark.prometheus
def test_an_exporter_in_two_jobs_of_a_prometheus_counts_once(
    tmp_path: Path, open_ledger: Opener, capsys: pytest.CaptureFixture[str]
) -> None:
    exporter, started = Page(), time.time() - 9000
    with exporter.served() as address:
        exporter.text = page(BEFORE, BEFORE // 10, started)
        jobs = [scrape(name, address) for name in ("podmonitor", "servicemonitor")]
        with Prometheus(*jobs) as server, closing(PrometheusSource(server.url)) as source:
            counter = f'{metrics.OBJECTIVE_REQUESTS}{{outcome="good"}}'
            for good in (BEFORE, BEFORE + 40, BEFORE + 90):
                exporter.text = page(good, good // 10, started)
                seen = [float(good)] * 2 * len(REPLICAS)
                wait_for(lambda seen=seen: [one.value for one in server.query(counter)] == seen, f"{good} twice")  # type: ignore[misc]
            now = time.time()
            ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
            problems = ingest(spec(), source, ledger, now)
            slots = ledger.slots("fast", 0, 1e12)
            usage = pool_rows(ledger.engine, "pool", 0, 1e12)
            live = signals.read(source.series(signals.selectors(spec().pool("pool")), now - 60, now), now)
            file = tmp_path / "objectives.yaml"
            file.write_text(SPEC_TEXT)
            capsys.readouterr()
            main(["check", "--objectives", str(file), "--source", f"prometheus:{server.url}", "--json"])
            findings = [one["code"] for one in json.loads(capsys.readouterr().out)]
    assert sum(slot.good for slot in slots) == len(REPLICAS) * 90
    assert sum(slot.total - slot.good for slot in slots) == len(REPLICAS) * 9
    assert sum(row.finished or 0 for row in usage) == len(REPLICAS) * (90 + 9)
    assert {row.replicas for row in usage} == {2.0}
    assert [(one.replica, one.waiting[-1][1]) for one in live] == [("r0", 3.0), ("r1", 3.0)]
    assert [one.code for one in problems] == ["duplicate_target"] * len(REPLICAS)
    assert findings.count("duplicate-target") == len(REPLICAS)
    assert all(slot.covered_seconds <= SLOT for slot in slots)
