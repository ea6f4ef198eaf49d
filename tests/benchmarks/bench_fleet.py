"""Where Prometheus, rules and service stop as a fleet grows: `python tests/benchmarks/bench_fleet.py [--nodes 16,50,100,200] [--minutes 3]`.

A page of a real exporter (8 fake GPUs, 8 vLLM pages, recorded under load) is served for so many nodes, each a target of its own, with counters that grow.
A real Prometheus scrapes them every 15 s and evaluates the rules of 8 pools with 40 SLOs; a real service reads that Prometheus. Prints first the
series of a node by metric family, then a row for each number of nodes. Evaluates nothing.
"""

import argparse
import asyncio
import gzip
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from os import sysconf
from pathlib import Path

import httpx
from bench_exporter import Engine, running
from bench_scale import objectives

from fakenvml import FakeNvml
from plimsoll.alerts.build import render
from plimsoll.slo.spec.objectives import load
from stack import Prometheus, free_port

REPLICAS, POOLS, SCRAPE, WARM_UP = 8, 8, 15, 60  # of a node; of the fleet; seconds
PLIMSOLL = (sys.executable, "-m", "plimsoll.compose.cli")
_ROW = re.compile(r"^(\w+)(\{.*\})? (\S+)$", re.M)
_GROWS = re.compile(r"^(\w+(?:_total|_bucket|_count|_sum)(?:\{.*\})?) (\S+)$", re.M)


def node_page() -> str:
    """A page of a real exporter, each of whose replicas is of another model."""
    engines = [Engine() for _ in range(REPLICAS)]
    for engine in engines:
        engine.start()
    port = free_port()
    named = [part for index, engine in enumerate(engines) for part in ("--engine", f"r{index}={engine.url}")]
    with tempfile.TemporaryDirectory() as folder:
        fake = FakeNvml(Path(folder))
        command = [*PLIMSOLL, "export", "--listen", f"127.0.0.1:{port}", *named]
        with running(command, port, fake.env) as exporter:
            _, page = exporter.scrape()
    lines = (
        re.sub(r'model="[^"]*"', f'model="m{found[1]}"', line)
        if (found := re.search(r'replica="r(\d)"', line))
        else line
        for line in page.splitlines()
    )
    return "\n".join(lines) + "\n"


def table(page: str) -> str:
    """The series of a node by the prefix of their metric and what they are of, in Markdown."""
    rows = [(name, labels or "") for name, labels, _ in _ROW.findall(page)]
    kinds = Counter(
        (
            "of each replica" if "replica=" in labels else "of each GPU" if "uuid=" in labels else "of the node",
            re.sub(r"_(bucket|count|sum)$", "", name),
        )
        for name, labels in rows
    )
    found = ["| Series | Number | Most of them |", "|---|---|---|"]
    for kind, each in (("of each replica", REPLICAS), ("of each GPU", 8), ("of the node", 1)):
        mine = Counter({name: count for (one, name), count in kinds.items() if one == kind})
        most = ", ".join(f"`{name}` {count / each:g}" for name, count in mine.most_common(3))
        found.append(f"| {kind} | {mine.total() / each:g} | {most} |")
    found.append(f"| All of a node of {REPLICAS} replicas and 8 GPUs | {len(rows)} | |")
    return "\n".join(found)


def _grown(page: str, step: int) -> str:
    """The page some time later: every count and sum that is not 0 has grown."""

    def grow(row: re.Match[str]) -> str:
        return f"{row[1]} {float(row[2]) + (step if float(row[2]) else 0)}"

    return _GROWS.sub(grow, page)


def serve(page: str, port: int, seconds: int) -> None:
    """Serve the page at any path, with counters that grew for as long as this runs."""
    bodies = []
    for step in range(seconds // SCRAPE + 2):
        body = gzip.compress(_grown(page, step).encode(), 1)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
        bodies.append(head.encode() + body)
    begun = time.monotonic()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET"):
            writer.write(bodies[min(int(time.monotonic() - begun) // SCRAPE, len(bodies) - 1)])
            await writer.drain()

    async def run() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", port) as server:
            await server.serve_forever()

    sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - of connections that Prometheus closes at its end
    asyncio.run(run())


@contextmanager
def service(source: str, folder: Path) -> Iterator[tuple[int, str]]:
    """A real service; its process and its address."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    options = (f"--source=prometheus:{source}", f"--db=sqlite:///{folder}/ledger.db", f"--listen={address}")
    with (folder / "service.log").open("wb") as log:
        command = (*PLIMSOLL, "serve", f"--objectives={folder}/objectives.yaml", *options)
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield process.pid, f"http://{address}"
    finally:
        process.terminate()
        process.wait(60)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / sysconf("SC_CLK_TCK")


def rss(pid: int) -> float:
    (found,) = re.findall(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)
    return int(found) / 1024


def own_metrics(url: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for name, _, value in _ROW.findall(httpx.get(f"{url}/metrics", timeout=30).text):
        found.setdefault(name, []).append(float(value))
    return found


def measure(page: str, nodes: int, minutes: int) -> str:
    """Run one fleet; return its row."""
    port, text = free_port(), objectives(POOLS)
    seconds = WARM_UP + 60 * minutes + 120
    generator = multiprocessing.get_context("fork").Process(target=serve, args=(page, port, seconds), daemon=True)
    generator.start()
    targets = [
        {
            "targets": [f"127.0.0.1:{port}"],
            "labels": {"__metrics_path__": f"/{n}", "instance": f"n{n}:9800", "node": f"n{n}"},
        }
        for n in range(nodes)
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "objectives.yaml").write_text(text)
        rules = [folder / file for file in render(load(text)) if file.endswith(".rules.yml")]
        for file, body in render(load(text)).items():
            if folder / file in rules:
                (folder / file).write_text(body)
        with Prometheus(
            {"job_name": "plimsoll", "static_configs": targets}, rules=rules, interval=f"{SCRAPE}s"
        ) as prometheus:
            assert prometheus._process is not None
            with service(prometheus.url, folder) as (pid, url):
                parts = (prometheus._process.pid, pid, generator.pid or 0)
                time.sleep(WARM_UP)
                before, cpu, begun = own_metrics(prometheus.url), [cpu_seconds(one) for one in parts], time.monotonic()
                time.sleep(60 * minutes)
                took, after = time.monotonic() - begun, own_metrics(prometheus.url)
                spent = [(cpu_seconds(one) - early) / took for one, early in zip(parts, cpu, strict=True)]
                memory = [rss(one) for one in parts]
                up, slowest = prometheus.query("sum(up)"), prometheus.query("max(scrape_duration_seconds)")
                lag = own_metrics(url).get("plimsoll_ingest_lag_seconds", [float("nan")])[0]
    generator.terminate()
    samples = "prometheus_tsdb_head_samples_appended_total"
    rate = (sum(after[samples]) - sum(before[samples])) / took
    missed = "prometheus_rule_group_iterations_missed_total"
    cells = (
        nodes * REPLICAS,
        f"{after['prometheus_tsdb_head_series'][0]:,.0f}",
        f"{rate:,.0f}",
        f"{up[0].value:.0f} of {nodes}, {slowest[0].value:.1f} s",
        f"{sum(after['prometheus_rule_group_last_duration_seconds']):.1f} s, {sum(after[missed]) - sum(before[missed]):.0f}",
        f"{spent[0]:.2f}, {memory[0]:,.0f}",
        f"{spent[1]:.2f}, {memory[1]:,.0f}",
        f"{lag:.0f} s",
        f"{spent[2]:.2f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="16,50,100,200")
    parser.add_argument("--minutes", type=int, default=3)
    options = parser.parse_args()
    page = node_page()
    print(table(page), flush=True)
    print(
        "\n| Replicas | Series | Samples/s | Targets up, slowest scrape | Rules in a round of 15 s, rounds missed "
        "| Prometheus: cores, MiB | Service: cores, MiB | Lag | Generator: cores |\n|" + "---|" * 9
    )
    for nodes in map(int, options.nodes.split(",")):
        print(measure(page, nodes, options.minutes), f"load {os.getloadavg()[0]:.0f}", flush=True)


if __name__ == "__main__":
    main()
