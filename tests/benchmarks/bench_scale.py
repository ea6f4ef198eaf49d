"""What a minute of the SLO service costs on a large fleet, with a real VictoriaMetrics or Prometheus as its source.

    .venv/bin/python tests/benchmarks/bench_scale.py [--replicas 1600] [--pools 8] [--minutes 5]

Backfills a VictoriaMetrics with the exporter's pages of a fleet, as scraped every 15 s, and lets the service record its first hour and then
minute after minute of it. Prints, per minute, the processor time of the jobs that run in it, the longest ingest, and how far the ledger
is behind at most; then the lag at the begin and at the end, the peak of the service's memory and the API's 99th percentile.
"""

import argparse
import json
import math
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import cast

import httpx
from apscheduler.schedulers.background import BackgroundScheduler
from starlette.testclient import TestClient

from plimsoll.exporters.gc_tuning import freeze_objects
from plimsoll.slo import metrics as c
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.metrics import Metric
from plimsoll.slo.service import jobs
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sources.prometheus import PrometheusSource
from plimsoll.slo.sources.recent import RecentSource
from plimsoll.slo.spec.objectives import load
from stack import Server

SCRAPE = 15  # seconds
HISTORY = 3900  # seconds before the first minute
NODE = 8  # replicas
BOUNDS = ("0.1", "0.25", "0.6", "1.0", "4.0", "+Inf")
TPOT_BOUNDS = ("0.01", "0.02", "0.04", "0.08", "+Inf")


class VictoriaMetrics(Server):
    """A VictoriaMetrics without scrape targets."""

    def __init__(self) -> None:
        super().__init__("victoria-metrics")

    def arguments(self) -> list[str]:
        """Enough series for the fleet in one query."""
        return [
            f"-storageDataPath={self.folder}/data",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=1y",
            "-search.latencyOffset=0s",
            "-search.maxUniqueTimeseries=1000000",
            "-search.maxSamplesPerQuery=1000000000",
            "-search.disableCache",
        ]

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=1).is_success
        except httpx.TransportError:
            return False


def objectives(pools: int) -> str:
    """Return a file of pools with the five SLOs of the bundled objectives file."""
    lines = ["version: plimsoll/v1", "pools:"]
    lines += [
        f"  - {{name: p{n}, model: m{n}, node: {{gpu: H100-80GB, gpus: 1}}, nodes: {{min: 1, max: 2000}}, "
        "timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}}"
        for n in range(pools)
    ]
    lines.append("objectives:")
    for n in range(pools):
        for name, indicator in (
            ("ttft", "{time_to_first_token: 600ms}"),
            ("tpot", "{time_per_output_token: 40ms}"),
            ("e2e", "{request_duration: 4s}"),
            ("availability", "availability"),
            ("goodput", "{goodput: {ttft: 600ms, tpot: 40ms, e2e: 4s}}"),
        ):
            lines.append(f"  - {{id: {name}-{n}, pool: p{n}, indicator: {indicator}, target: 95%, window: 28d}}")
    return "\n".join(lines)


def _histogram(metric: Metric, bounds: Sequence[str]) -> Iterator[tuple[str, dict[str, str], float]]:
    for index, bound in enumerate(bounds):
        yield metric.bucket, {"le": bound}, 2.0 * (index + 1) / len(bounds)
    yield metric.count, {}, 2.0


def page(pool: int) -> list[tuple[str, dict[str, str], float]]:
    """Return (name, own labels, growth per second) of every series that the service may read of one replica; 0 is a gauge."""
    found: list[tuple[str, dict[str, str], float]] = [
        (c.FINISHED.name, {"reason": "stop"}, 1.8),
        (c.FINISHED.name, {"reason": "length"}, 0.2),
        (c.FINISHED.name, {"reason": "error"}, 0.01),
        (c.FINISHED.name, {"reason": "abort"}, 0.02),
        (c.REJECTED.name, {"reason": "queue_full"}, 0.01),
        (c.ABANDONED.name, {"stage": "queued"}, 0.01),
        (c.ABANDONED.name, {"stage": "streaming"}, 0.02),
        (c.PROMPT_TOKENS.name, {}, 2000.0),
        (c.GENERATION_TOKENS.name, {}, 400.0),
        (c.PREFIX_HIT.name, {}, 500.0),
        (c.PREEMPTIONS.name, {}, 0.02),
        (c.REQUESTS_RUNNING.name, {}, 0.0),
        (c.REQUESTS_WAITING.name, {}, 0.0),
        (c.KV_CACHE_USAGE.name, {}, 0.0),
        *_histogram(c.TTFT, BOUNDS),
        *_histogram(c.TPOT, TPOT_BOUNDS),
        *_histogram(c.DURATION, BOUNDS),
        *_histogram(c.GENERATION_LENGTH, ("1.0", "100.0", "+Inf")),
    ]
    for name in ("ttft", "tpot", "e2e", "goodput"):
        for outcome, rate in (("good", 1.9), ("bad", 0.1)):
            found.append((c.OBJECTIVE_REQUESTS.name, {"objective": f"{name}-{pool}", "outcome": outcome}, rate))
    return found


def fleet(replicas: int, pools: int, begin: int, end: int) -> Iterator[str]:
    """Yield VictoriaMetrics' JSON lines of a fleet; each node is scraped at its own offset."""
    count = (end - begin) // SCRAPE
    drawn: dict[tuple[float, int], str] = {}

    def values(rate: float, kind: int) -> str:
        if (rate, kind) not in drawn:
            steps = range(count)
            numbers = (int(rate * SCRAPE * i) + kind if rate else (i * 7 + kind) % 10 / 10 for i in steps)
            drawn[rate, kind] = json.dumps(list(numbers))
        return drawn[rate, kind]

    for number in range(replicas):
        node, pool = number // NODE, number % pools
        times = json.dumps([begin * 1000 + node * 37 % (SCRAPE * 1000) + i * SCRAPE * 1000 for i in range(count)])
        place = {"cluster": "c1", "region": "eu", "node": f"n{node}"}
        target = {"job": "plimsoll", "instance": f"node-{node}:9800", **place}
        own = {"replica": f"node-{node}:{8000 + number % NODE}", "model": f"m{pool}", "engine": "vllm"}

        def line(name: str, labels: dict[str, str], text: str, when: str = times) -> str:
            return f'{{"metric":{json.dumps({"__name__": name, **labels})},"values":{text},"timestamps":{when}}}\n'

        yield line(c.REPLICA_START.name, target | own, json.dumps([begin - 86400.5] * count))
        yield line(c.REPLICA_INFO.name, target | own | {"version": "0.32.0"}, json.dumps([1] * count))
        for name, labels, rate in page(pool):
            yield line(name, target | own | {"rank": "0"} | labels, values(rate, number % 20))
        gpu = {"uuid": f"GPU-{number:08}"}
        engine = {name: own[name] for name in ("replica", "model")}
        yield line(c.GPU_ASSIGNMENT.name, target | gpu | engine, json.dumps([1] * count))
        yield line(c.GPU_ENERGY.name, target | gpu, values(500.0, number % 20))


def backfill(url: str, replicas: int, pools: int, begin: int, end: int) -> None:
    """Write a fleet's samples to a VictoriaMetrics."""
    batch: list[str] = []

    def send() -> None:
        httpx.post(f"{url}/api/v1/import", content="".join(batch).encode(), timeout=300).raise_for_status()
        batch.clear()

    for line in fleet(replicas, pools, begin, end):
        batch.append(line)
        if len(batch) >= 5000:
            send()
    send()
    httpx.get(f"{url}/internal/force_flush", timeout=60)


class Clock:
    """The service's time."""

    now = 0.0

    def __call__(self) -> float:
        """Return it."""
        return self.now


class Jobs:
    """Runs a service's jobs as they are planned, on a clock of its own."""

    def __init__(self, service: Service, clock: Clock) -> None:
        self.service, self.clock, self.longest, self.runs = service, clock, 0.0, 0
        self.lags: list[float] = []  # plimsoll_ingest_lag_seconds at the end of each ingest, where it is highest
        self._ingest, service.ingest = service.ingest, self._timed  # type: ignore[method-assign]
        self.seconds: dict[str, float] = defaultdict(float)  # of the job's own thread
        self._due: list[tuple[int, int, str, Callable[[], object]]] = []
        jobs.spaced = partial(jobs.spaced, clock=clock)
        jobs.plan(cast(BackgroundScheduler, self), service)  # it only adds jobs

    def add_job(self, work: Callable[[], object], trigger: str, *, seconds: int, id: str, **_: object) -> None:
        """Take a job into the plan."""
        if seconds <= 60:
            self._due.append((seconds, len(self._due) % seconds, id, work))

    def _timed(self) -> None:
        begun, before = time.perf_counter(), self.service.ingested_at or 0.0
        self._ingest()
        took = time.perf_counter() - begun
        self.longest, self.runs = max(self.longest, took), self.runs + 1
        self.lags.append(self.clock.now - before + took)

    def minute(self) -> float:
        """Run the jobs of a minute; return their processor time in seconds."""
        cpu, self.longest, self.runs = time.process_time(), 0.0, 0
        for _ in range(60):
            self.clock.now += 1
            for seconds, after, name, work in self._due:
                if self.clock.now % seconds == after:
                    begun = time.thread_time()
                    work()
                    self.seconds[name] += time.thread_time() - begun
        assert not self.service.runs.errors, self.service.runs.errors
        return time.process_time() - cpu


def peak() -> float:
    """Return the most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ends_of(lags: list[list[float]]) -> None:
    """Print the lag in the first and in the last sixth of the minutes."""
    for name, some in (("first", lags[: len(lags) // 6 or 1]), ("last", lags[-(len(lags) // 6 or 1) :])):
        ends = [lag for minute in some for lag in minute]
        print(
            f"highest lag of each ingest, {name} {len(some)} min: {min(ends):.1f}, {statistics.median(ends):.1f}, {max(ends):.1f} s "
            "(least, median, most)"
        )


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, usual in (("--replicas", 1600), ("--pools", 8), ("--minutes", 5)):
        parser.add_argument(option, type=int, default=usual)
    options = parser.parse_args()
    begin = int(time.time()) // 3600 * 3600 - 4 * 3600
    clock, start = Clock(), time.perf_counter()
    clock.now = begin + HISTORY
    with ExitStack() as stack:
        server = stack.enter_context(VictoriaMetrics())
        end = begin + HISTORY + 60 * options.minutes
        writer = multiprocessing.get_context("fork").Process(
            target=backfill, args=(server.url, options.replicas, options.pools, begin, end)
        )
        writer.start()  # in a process of its own, whose memory isn't the service's
        writer.join()
        series = len(page(0)) + 4
        print(
            f"{options.replicas} replicas in {options.pools} pools, {options.replicas * series:,} series: {time.perf_counter() - start:.0f} s to write"
        )
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ledger = Ledger(open_database(f"sqlite:///{folder}/ledger.db"))
        service = Service(
            load(objectives(options.pools)), RecentSource(PrometheusSource(server.url)), ledger, clock=clock
        )
        service.leads()
        freeze_objects()  # as `plimsoll serve` does
        base = peak()
        begun, cpu = time.perf_counter(), time.process_time()
        service.ingest()
        assert not service.runs.errors, service.runs.errors
        spent = f"{time.perf_counter() - begun:.1f} s, {time.process_time() - cpu:.1f} s of CPU"
        print(f"first catch-up of {HISTORY / 3600:.1f} h: {spent}, peak memory {peak():.0f} MiB")
        found, planned, lags = [], Jobs(service, clock), list[list[float]]()
        for number in range(options.minutes):
            found.append(planned.minute())
            lags.append(planned.lags)
            planned.lags = []
            print(
                f"minute {number + 1}: {found[-1]:6.2f} s of CPU, {planned.runs} ingests of at most {planned.longest:.2f} s, "
                f"at most {max(lags[-1], default=math.nan):.0f} s behind, peak memory {peak():.0f} MiB",
                flush=True,
            )
        ends_of(lags)
        each = {name: round(seconds / options.minutes, 2) for name, seconds in planned.seconds.items()}
        print(f"median of a minute: {statistics.median(found):.2f} s of CPU; {each}")
        print(f"peak memory {peak():.0f} MiB, of which {base:.0f} MiB before the first ingest")
        times = list[float]()
        client = TestClient(create_app(service, limits={"reads": "100000/second"}), base_url="http://127.0.0.1")
        for _ in range(200):
            begun = time.perf_counter()
            client.get("/api/v1/slos").raise_for_status()
            times.append((time.perf_counter() - begun) * 1000)
        print(f"GET /api/v1/slos: {statistics.median(times):.1f} ms, p99 {sorted(times)[197]:.1f} ms (target 50 ms)")


if __name__ == "__main__":
    main()
