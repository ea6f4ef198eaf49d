"""What the exporter costs: `python tests/benchmarks/bench_exporter.py [scrapes]`. Prints figures; evaluates nothing.

Eight fake GPUs and four engine pages behind a real `plimsoll export`; beside it nvitop-exporter, installed into a temporary
virtual environment, on the same fake driver. CPU is user and system time of all processes of an exporter; memory is PSS (shared
pages divided among their users) and RSS, both summed over the processes.
"""

import gzip
import itertools
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from os import sysconf
from pathlib import Path

from fakenvml import UNSIGNED, FakeNvml
from paths import FIXTURES
from stack import free_port

FIXTURE = FIXTURES / "vllm-0.32.0-load.prom"
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"  # as Prometheus asks
TICK = sysconf("SC_CLK_TCK")
ENGINES, WARM_UP, PACED, DEADLINE = 4, 20, 15, 2.0
ROUNDS = 10


def moved(page: str, step: int) -> bytes:
    """The page some time later: every count and sum that is not 0 has grown."""
    number = re.compile(r"^(vllm:(?!\S*(?:_info|_created)\b)\S*(?:_bucket|_sum|_count|_total)\S*) (\S+)$", re.MULTILINE)
    return number.sub(lambda row: f"{row[1]} {float(row[2]) + (step if float(row[2]) else 0)}", page).encode()


def answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class Engine(threading.Thread):
    """A busy vLLM server: no two of its pages in a row are the same. Nearly free, as it shares the machine with what is measured."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    def run(self) -> None:
        pages = itertools.cycle([answer(moved(FIXTURE.read_text(), step)) for step in range(16)])
        version = answer(b'{"version": "0.32.0"}')
        while True:
            connection, _ = self.listening.accept()
            with connection:
                asked = connection.recv(4096)
                connection.sendall(next(pages) if asked.startswith(b"GET /metrics ") else version)


class Exporter:
    """An exporter's processes."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.pid = process.pid
        self.connection = HTTPConnection("127.0.0.1", port, timeout=60)

    def scrape(self, timeout: float = 10) -> tuple[float, str]:
        """Milliseconds until the page is here (compressed, on a connection that stays open, as Prometheus does it), and the page."""
        headers = {
            "Accept": OPENMETRICS,
            "Accept-Encoding": "gzip",
            "X-Prometheus-Scrape-Timeout-Seconds": str(timeout),
        }
        start = time.perf_counter()
        self.connection.request("GET", "/metrics", headers=headers)
        response = self.connection.getresponse()
        body = response.read()
        took = (time.perf_counter() - start) * 1000
        assert response.status == 200, body
        return took, (gzip.decompress(body) if response.headers.get("Content-Encoding") == "gzip" else body).decode()

    def pids(self) -> list[int]:
        children = subprocess.run(
            ["ps", "--ppid", str(self.pid), "-o", "pid="], capture_output=True, text=True, check=False
        )
        return [self.pid, *map(int, children.stdout.split())]

    def signal(self, number: int) -> None:
        """Send a signal to all processes."""
        for pid in self.pids():
            os.kill(pid, number)

    def cpu_ms(self) -> float:
        times = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13] for pid in self.pids()]
        return sum(int(part) for pair in times for part in pair) / TICK * 1000

    def memory(self) -> str:
        totals = {"Rss": 0, "Pss": 0}
        for pid in self.pids():
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            for name in totals:
                totals[name] += sum(map(int, re.findall(rf"^{name}:\s+(\d+)", rollup, re.MULTILINE)))
        return ", ".join(f"{name.upper()} {size / 1024:.1f} MiB" for name, size in totals.items())


def series(page: str) -> int:
    return sum(1 for line in page.splitlines() if line and not line.startswith("#"))


@contextmanager
def running(command: list[str], port: int, env: dict[str, str]) -> Iterator[Exporter]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            exporter = Exporter(process, port)
            for _ in range(300):
                try:
                    exporter.scrape()
                    break
                except OSError:
                    exporter.connection.close()
                    time.sleep(0.1)
            else:
                log.seek(0)
                sys.exit(log.read().decode())
            yield exporter
        finally:
            process.terminate()
            process.wait(30)


def move(fake: FakeNvml, number: int, gpus: int) -> None:
    """Change what moves on a GPU at work."""
    for index in range(gpus):
        fake.set(index, power_mw=600_000 + number % 977, energy_mj=10**11 + number * 9000, busy_percent=number % 100)
        fake.field(index, 186, 600_000 + number % 983, UNSIGNED)
        fake.field(index, 197, 10**10 + number * 10**6)


def measure(title: str, exporter: Exporter, fake: FakeNvml, scrapes: int, gpus: int = 8) -> None:
    """Latency, CPU and memory over that many scrapes in a row."""
    for _ in range(WARM_UP):
        _, page = exporter.scrape()
    before, cpu = exporter.memory(), exporter.cpu_ms()
    took = []
    for number in range(scrapes):
        move(fake, number, gpus)
        took.append(exporter.scrape()[0])
    took.sort()
    spent, count = (exporter.cpu_ms() - cpu) / scrapes, series(page)
    print(f"{title}: {count} series, {len(page) // 1024} KiB; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"  scrape p50 {statistics.median(took):.1f} ms, p99 {took[int(len(took) * 0.99)]:.1f} ms")
    print(f"  CPU {spent:.1f} ms a scrape, {spent / count * 1000:.1f} us a series, scrapes back to back")
    cpu = exporter.cpu_ms()
    for _ in range(PACED):
        time.sleep(1)
        exporter.scrape()
    spent = (exporter.cpu_ms() - cpu) / PACED
    print(f"  CPU {spent:.1f} ms a scrape, {spent / count * 1000:.1f} us a series, one scrape a second")
    print(f"  memory after {WARM_UP} scrapes: {before}")
    print(f"  memory after {WARM_UP + scrapes} scrapes: {exporter.memory()}")


def wedge(exporter: Exporter, fake: FakeNvml) -> None:
    """One GPU hangs: the first scrape against its deadline, and the later ones."""
    fake.wedge(3)
    first, page = exporter.scrape(DEADLINE)
    up = re.findall(r"^gpu_up\{.*\} (\S+)$", page, re.MULTILINE)
    later = [exporter.scrape(DEADLINE)[0] for _ in range(200)]
    deadline = (DEADLINE - 0.5) * 1000  # the exporter keeps half a second for the way back
    print(f"one GPU wedged: {up.count('1.0')} of {len(up)} up")
    print(
        f"  first scrape {first:.0f} ms at a deadline of {deadline:.0f} ms, later ones p50 {statistics.median(later):.1f} ms"
    )
    fake.restore(3)


def side_by_side(ours: Exporter, peer: Exporter, fake: FakeNvml, scrapes: int) -> None:
    """Both at work in turn, so that what else the machine does meets both. The one that isn't scraped is stopped."""
    medians: dict[Exporter, list[float]] = {ours: [], peer: []}
    for turn in range(ROUNDS):
        for exporter, other in ((ours, peer), (peer, ours))[:: -1 if turn % 2 else 1]:
            other.signal(signal.SIGSTOP)
            for _ in range(5):
                exporter.scrape()
            took = []
            for number in range(scrapes // 3):
                move(fake, number, 8)
                took.append(exporter.scrape()[0])
            medians[exporter].append(statistics.median(took))
            other.signal(signal.SIGCONT)
    ratios = sorted(one / two for one, two in zip(*medians.values(), strict=True))
    ms = [statistics.median(every) for every in medians.values()]
    print(f"side by side, {ROUNDS} rounds: plimsoll p50 {ms[0]:.1f} ms, nvitop-exporter {ms[1]:.1f} ms")
    print(f"  ratio of a round: median {statistics.median(ratios):.2f}, {ratios[0]:.2f} to {ratios[-1]:.2f}")


def nvitop(folder: Path) -> str:
    """Install nvitop-exporter into a folder; returns its command."""
    venv.create(folder, with_pip=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "nvitop-exporter"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return str(folder / "bin" / "nvitop-exporter")


def main(scrapes: int) -> None:
    servers = [Engine() for _ in range(ENGINES)]
    for server in servers:
        server.start()
    engines = [part for server in servers for part in ("--engine", server.url)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        fake = FakeNvml(folder)
        port = free_port()
        export = [sys.executable, "-m", "plimsoll.compose.cli", "export", "--listen", f"127.0.0.1:{port}"]
        with running([*export, *engines], port, fake.env) as exporter:
            measure("plimsoll export, 8 GPUs and 4 engines", exporter, fake, scrapes)
            wedge(exporter, fake)
        with running(export, port, fake.env) as exporter:
            measure("plimsoll export, 8 GPUs", exporter, fake, scrapes)
        for gpus in (4, 16):  # a node of an NVL72 has 4; the cost is linear
            (folder / str(gpus)).mkdir()
            other = FakeNvml(folder / str(gpus), gpus)
            with running(export, port, other.env) as exporter:
                measure(f"plimsoll export, {gpus} GPUs", exporter, other, scrapes, gpus)
        other_port = free_port()
        command = [nvitop(folder / "nvitop"), "-B", "127.0.0.1", "-p", str(other_port)]
        with running(command, other_port, fake.env) as peer:
            measure("nvitop-exporter, 8 GPUs", peer, fake, scrapes)
            with running([*export, *engines], port, fake.env) as exporter:
                side_by_side(exporter, peer, fake, scrapes)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
