"""Since when a replica's counters count: one start per life, whatever restarts; several processes at one address are no restarts."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine_pages import FRESH, LOAD, collect, fixed, pages, server
from paths import FIXTURES
from plimsoll.exporters.collector import CollectorError, Point
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.exporters.process_tree import ProcessTree
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric

TWO_SERVERS = (FIXTURES / "engines/vllm-0.32-two-api-servers.prom").read_text()
RAY = (FIXTURES / "engines/ray260-serve2.prom").read_text()
LITELLM = (FIXTURES / "engines/litellm-1.110.prom").read_text()
UNSEEN = ProcessTree(Path("/nowhere"))


def without_start(text: str) -> str:
    """The page of an engine with several server processes."""
    return re.sub(r"^.*process_start_time_seconds.*\n", "", text, flags=re.MULTILINE)


def grown(text: str, by: int) -> str:
    """The page after so many more tokens."""
    row = re.compile(r"^(vllm:generation_tokens_total\{.*\}) (\S+)$", re.MULTILINE)
    return row.sub(lambda found: f"{found[1]} {float(found[2]) + by}", text)


def values(points: list[Point], metric: Metric, **labels: str) -> list[float]:
    return [p.value for p in points if p.metric == metric and p.suffix == "" and labels.items() <= p.labels.items()]


def starts(*texts: str, state: Path | None = None, tree: ProcessTree = UNSEEN) -> list[float]:
    """The start at each of these pages, in one run of the exporter."""
    with server(pages(texts)[0]) as url:
        collector = EngineCollector(f"r={url}", state, tree=tree)
        return [values(collect(collector), c.REPLICA_START)[0] for _ in texts]


def test_an_engine_without_a_start_on_its_page_is_observed_since_an_unknown_time() -> None:
    page = without_start(TWO_SERVERS)
    assert starts(page, grown(page, 5), grown(page, 5)) == [0, 0, 0]


def test_counters_that_fall_began_anew_and_keep_that_start() -> None:
    page, fresh, before = without_start(LOAD), without_start(FRESH), time.time()
    found = starts(page, fresh, grown(fresh, 5), grown(fresh, 9))
    assert found[0] == 0 and found[1] == found[2] == found[3] >= before


def test_counters_that_vanish_began_anew() -> None:
    page = without_start(LOAD)
    gone = "".join(line for line in page.splitlines(keepends=True) if "_tokens_total" not in line)
    assert starts(page, gone)[1] > 0


def test_a_restarted_exporter_keeps_the_start_and_sees_a_fall_across_its_restart(tmp_path: Path) -> None:
    page, fresh = without_start(LOAD), without_start(FRESH)
    _, began = starts(page, fresh, state=tmp_path)
    assert starts(grown(fresh, 5), state=tmp_path) == [began]
    assert starts(without_start(FRESH), state=tmp_path)[0] > began


@pytest.mark.parametrize(
    "state", ['{"": {"start": "x"}}', '{"": {"start": 1, "totals": [], "process": 2}}', "[]", "7", '{"": 3}']
)
def test_a_state_that_is_none_begins_anew(state: str, tmp_path: Path) -> None:
    (tmp_path / "engine%3Ar.json").write_text(state)
    assert starts(without_start(LOAD), state=tmp_path) == [0]


SERVE = """
import http.server, pathlib, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = pathlib.Path(sys.argv[2]).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
http.server.HTTPServer.allow_reuse_address = True
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Page)
print("ready", flush=True)
server.serve_forever()
"""


@contextmanager
def process(port: int, page: Path) -> Iterator[int]:
    """A server process of its own; yields its PID."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(port), str(page)], stdout=subprocess.PIPE, text=True
    ) as run:
        try:
            assert run.stdout is not None and run.stdout.readline() == "ready\n"
            yield run.pid
        finally:
            run.kill()


def started(pid: int) -> float:
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    booted = re.search(r"^btime (\d+)", Path("/proc/stat").read_text(), re.MULTILINE)
    assert booted is not None
    return int(booted[1]) + ticks / os.sysconf("SC_CLK_TCK")


def test_the_start_is_that_of_the_process_behind_the_port(tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.write_text(without_start(LOAD))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    collector = EngineCollector(f"http://127.0.0.1:{port}")
    with process(port, page) as pid:
        assert (
            values(collect(collector), c.REPLICA_START) == values(collect(collector), c.REPLICA_START) == [started(pid)]
        )
        assert values(collect(EngineCollector(f"http://127.0.0.1:{port}")), c.REPLICA_START) == [started(pid)]
    page.write_text(without_start(grown(LOAD, 10**9)))  # nothing fell
    with process(port, page) as pid:
        assert values(collect(collector), c.REPLICA_START) == [started(pid)]


def replica_of_ray(name: str) -> str:
    return "".join(line for line in RAY.splitlines(keepends=True) if f'"{name}"' in line or line.startswith("#"))


def test_a_replica_that_appears_on_a_page_of_many_began_then() -> None:
    before = time.time()
    with server(pages([replica_of_ray("pyrn8t9m"), RAY, RAY])[0]) as url:
        collector = EngineCollector(f"r={url}", tree=UNSEEN)
        found = [collect(collector) for _ in range(3)]
    assert [values(page, c.REPLICA_START, replica="r/pyrn8t9m") for page in found] == [[0], [0], [0]]
    first, second, third = (values(page, c.REPLICA_START, replica="r/m71hjdfr") for page in found)
    assert first == [] and second == third and second[0] >= before


def test_a_node_s_replicas_are_down_together_and_one_that_was_removed_is_not() -> None:
    with server(pages([RAY, replica_of_ray("pyrn8t9m")])[0]) as url:
        collector = EngineCollector(f"r={url}", tree=UNSEEN)
        collect(collector)
        both = [p.labels["replica"] for p in collector.fallback if p.metric == c.REPLICA_UP]
        collect(collector)
    assert sorted(both) == ["r/m71hjdfr", "r/pyrn8t9m"]
    assert [p.labels["replica"] for p in collector.fallback if p.metric == c.REPLICA_UP] == ["r/pyrn8t9m"]


def worker(requests: int, started: float) -> str:
    """LiteLLM's page as one of its workers answers it, without PROMETHEUS_MULTIPROC_DIR."""
    text = re.sub(
        r"^(litellm_proxy_total_requests_metric_total.*) \S+$", rf"\1 {requests}", LITELLM, flags=re.MULTILINE
    )
    return text + (f"process_start_time_seconds {started}\n" if started else "")


def requests_seen(texts: list[str]) -> list[list[float]]:
    with server(pages(texts)[0]) as url:
        collector = EngineCollector(f"edge={url}", tree=UNSEEN)
        return [values(collect(collector), c.GATEWAY_REQUESTS, model="embed") for _ in texts]


def test_a_counter_of_several_workers_in_turn_is_unknown() -> None:
    began = time.time() - 3600
    turns = [worker(1000 + n, began) if n % 2 else worker(2000 + n, began + 2) for n in range(6)]
    assert requests_seen(turns) == [[2000], [], [], [], [], []]


def test_workers_whose_pages_have_no_start_are_told_by_counters_that_fall_twice() -> None:
    turns = [worker(1000 + n, 0) if n % 2 else worker(2000 + n, 0) for n in range(6)]
    assert requests_seen(turns)[3:] == [[], [], []]


def test_what_several_workers_cost_is_named() -> None:
    began = time.time() - 3600
    with server(pages([worker(9, began), worker(5, began + 3)])[0]) as url:
        collector = EngineCollector(f"edge={url}", tree=UNSEEN)
        points = [collect(collector) for _ in range(2)][1]
    (missing,) = [p.labels for p in points if p.metric == c.METRIC_MISSING]
    assert missing["metric"] == "litellm_proxy_total_requests_metric_total" and missing["reason"] == "several_processes"
    assert values(points, c.REPLICA_UP) == [1]


def test_a_gateway_that_restarts_is_one_process() -> None:
    began = time.time()
    assert requests_seen([worker(9, began - 3600), worker(5, began + 1), worker(7, began + 1)]) == [[9], [5], [7]]


@pytest.mark.parametrize(
    ("status", "reason"),
    [("401 Unauthorized", "unauthorized"), ("404 Not Found", "status"), ("200 OK", "page")],
)
def test_why_a_replica_is_down_is_told_apart(status: str, reason: str) -> None:
    with server(fixed("go_goroutines 7\n", status)) as url:
        collector = EngineCollector(url)
        with pytest.raises(CollectorError):
            collect(collector)
    assert [p.labels["reason"] for p in collector.fallback if p.metric == c.REPLICA_DOWN_REASON] == [reason]
