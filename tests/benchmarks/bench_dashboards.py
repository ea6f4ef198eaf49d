"""Measures the queries of the on-call dashboard: `python tests/benchmarks/bench_dashboards.py [replicas] [hours] [folder]`. Asserts nothing.

promtool backfills a real Prometheus with 100 replicas by default, each on a node with two GPUs, scraped every 15 s for 6 hours,
and with the recording rules' results. Every panel, variable and annotation query then runs as Grafana sends it for a screen
1,920 pixels wide: All chosen, 600 points per panel. Printed: the sum of the median times to the last byte, the slowest
queries, the same quantiles from raw buckets, and one evaluation of the recording rules. With `folder`, the data is kept and
reused: writing it takes some minutes.
"""

import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import yaml

from backfill import Backfill
from moving_fleet import LABELS, REASONS, SPEC
from plimsoll.alerts.build import render as render_alerts
from plimsoll.dashboards import queries
from plimsoll.dashboards.build import boards
from plimsoll.exporters.vllm.histogram_buckets import with_limits
from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric
from promql import annotation_queries, panel_queries, panels, substitute, variable_queries
from stack import Prometheus

STEP, ROUNDS, SCRAPE = 30, 5, 15
VARIABLES = {"__rate_interval": "60s"}  # Grafana's value for a step of 30 s and scrapes every 15 s
BOUNDS = {
    "latency": (*with_limits(SPEC)["request_latency"], float("inf")),
    "first": (*with_limits(SPEC)["time_to_first_token"], float("inf")),
    "gap": (*with_limits(SPEC)["inter_token_latency"], float("inf")),
    "length": (*(float(digit * 10**power) for power in range(5) for digit in (1, 2, 5)), float("inf")),
}
FAMILY = {metrics.TTFT: "first", metrics.ITL: "gap", metrics.TPOT: "gap"} | dict.fromkeys(
    (metrics.PROMPT_LENGTH, metrics.GENERATION_LENGTH), "length"
)
WORK = {
    metric.name
    for metric in metrics.ALL
    if metric.name.endswith(("_tokens_total", "_joules_total"))
    or metric in (metrics.FINISHED, metrics.OBJECTIVE_REQUESTS)
}
Value = Callable[[float], float]  # as a function of the seconds since the first scrape


def series(replica: int, born: float) -> Iterator[tuple[str, Value]]:
    """Yield each series of a replica, its exporter and its GPUs: the text before the value, and the value over time."""
    pace = 1 + replica % 7 / 10
    for metric in metrics.ALL:
        if {"pool", "target", "gateway"} & set(metric.labels) or not metric.labels:
            continue
        for labels in _label_sets(metric, replica):
            if metric.kind == "histogram":
                yield from _histogram(metric, labels, pace)
            elif metric is metrics.REPLICA_START:
                yield _start(metric.name, labels), lambda _: born
            else:
                value = _value(metric, pace)
                yield _start(metric.name, labels), value


def _value(metric: Metric, pace: float) -> Value:
    """Return the value of a healthy replica's metric: work counters rise, gauges vary, faults stay 0."""
    if metric.name in WORK:
        return lambda age: round(30 * pace * age)
    if metric in (
        metrics.REPLICA_INFO,
        metrics.REPLICA_UP,
        metrics.GPU_UP,
        metrics.GPU_INFO,
        metrics.COLLECTOR_SUCCESS,
    ):
        return lambda _: 1
    if metric.name.endswith(("_ratio", "_running", "_bytes", "_watts", "_celsius", "_hertz", "_tokens")):
        return lambda age: round(pace / 3 + 0.02 * (age // 60 % 7), 3)
    return lambda _: 0


def _growing(rate: float, age: float) -> float:
    return round(rate * age)


def _histogram(metric: Metric, labels: dict[str, str], pace: float) -> Iterator[tuple[str, Value]]:
    bounds = BOUNDS[FAMILY.get(metric, "latency")]
    middle = bounds[len(bounds) // 2]
    for bound in bounds:
        share = 1 if bound == bounds[-1] else bound / (bound + middle)
        rate = 3 * pace * share
        yield _start(metric.bucket, {**labels, "le": metrics.bucket_bound(bound)}), partial(_growing, rate)
    yield _start(metric.sum, labels), lambda age: round(3 * pace * middle * age, 3)
    yield _start(metric.count, labels), lambda age: round(3 * pace * age)


def _label_sets(metric: Metric, replica: int) -> Iterator[dict[str, str]]:
    mine = {"instance": f"node-{replica:03}:9800", "node": f"node-{replica:03}", "region": f"region-{replica % 2}"}
    sets = [mine]
    for name in metric.labels:
        values: tuple[str, ...] = {
            "replica": (f"r{replica:03}:8000",),
            "model": (SPEC.pools[0].model,),
            "rank": ("0",),
            "uuid": (f"GPU-{replica:03}-0", f"GPU-{replica:03}-1"),
            "reason": REASONS.get(metric, ("software_thermal", "hardware_thermal", "software_power_cap")),
            "version": ("0.32.0",),
            "collector": ("nvml", f"engine:r{replica:03}"),
            "metric": (),
            "xid": (),
        }.get(name, LABELS.get(name, ("x",)))
        sets = [one | {name: value} for one in sets for value in values]
    yield from sets


def _start(name: str, labels: dict[str, str]) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{inside}}} "


def service() -> Iterator[tuple[str, Value]]:
    """Yield the series of the SLO service."""
    for objective in SPEC.objectives:
        for metric in (metrics.BUDGET_REMAINING, metrics.COVERAGE):
            yield (
                _start(metric.name, {"instance": "service", "objective": objective.id, "pool": objective.pool}),
                lambda _: 0.6,
            )
    for pool in SPEC.pools:
        yield _start(metrics.RECOMMENDED_NODES.name, {"instance": "service", "pool": pool.name}), lambda _: 8.0


def make(backfill: Backfill, replicas: int, start: int, end: int) -> int:
    """Backfill raw and recorded series; return the number of raw ones."""
    found = [one for replica in range(replicas) for one in series(replica, start - 86400)] + list(service())
    for since in range(start, end, 7200):
        times = range(since, min(since + 7200, end), SCRAPE)
        backfill.openmetrics("".join([f"{text}{value(at - start)} {at}\n" for at in times]) for text, value in found)
    backfill.rules(SPEC, start, end)
    return len(found)


def cpu_seconds(prometheus: Prometheus) -> float:
    """Return the CPU time in seconds that Prometheus has used, which other load on the machine doesn't change."""
    found = httpx.get(f"{prometheus.url}/metrics", timeout=30).text
    return float(re.search(r"(?m)^process_cpu_seconds_total (\S+)$", found)[1])  # type: ignore[index]


def _measure_one(client: httpx.Client, query: tuple[str, str, bool], start: float, end: float) -> float:
    """Return the milliseconds to the last byte of one response."""
    _, expr, instant = query
    kind, span = ("query", {"time": end}) if instant else ("query_range", {"start": start, "end": end, "step": STEP})
    begun = time.perf_counter()
    client.post(f"/api/v1/{kind}", data={"query": expr, **span}).raise_for_status()
    return 1000 * (time.perf_counter() - begun)


def measure_at_once(
    prometheus: Prometheus, chosen: list[tuple[str, str, bool]], start: float, end: float
) -> list[float]:
    """Return, per round, the milliseconds to the last response with all queries at once over six connections, as in a browser."""
    found = []
    with httpx.Client(base_url=prometheus.url, timeout=60) as client, ThreadPoolExecutor(6) as connections:
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            list(connections.map(lambda query: _measure_one(client, query, start, end), chosen))
            found.append(1000 * (time.perf_counter() - begun))
    return found


def measure(prometheus: Prometheus, chosen: list[tuple[str, str, bool]], start: float, end: float) -> dict[str, float]:
    """Return the median milliseconds of each query by name."""
    times: dict[str, list[float]] = {}
    with httpx.Client(base_url=prometheus.url, timeout=60) as client:
        for query in ROUNDS * chosen:
            times.setdefault(query[0], []).append(_measure_one(client, query, start, end))
    return {name: statistics.median(found) for name, found in times.items()}


def oncall() -> list[tuple[str, str, bool]]:
    """Return name, PromQL, and whether it is instant, of every query of the on-call dashboard."""
    board = json.loads(boards(SPEC)["oncall.json"])
    instant = {panel["title"] for panel in panels(board) if panel["targets"][0]["instant"]}
    chosen = [(f"{one.panel} {one.ref}", one.expr, one.panel in instant) for one in panel_queries(board, **VARIABLES)]
    chosen += [(one.panel, one.expr, True) for one in variable_queries(board, **VARIABLES)]
    return chosen + [(one.panel, one.expr, False) for one in annotation_queries(board, **VARIABLES)]


def raw() -> list[tuple[str, str, bool]]:
    """Return the quantiles of the latency and phase panels from raw buckets."""
    histograms = (
        metrics.TTFT,
        metrics.TPOT,
        metrics.DURATION,
        metrics.QUEUE,
        metrics.PREFILL,
        metrics.DECODE,
    )
    return [
        (f"{one} {share}", substitute(queries.quantile(share, one), **VARIABLES), False)
        for one in histograms
        for share in (0.5, 0.95, 0.99)
    ]


def rules() -> list[tuple[str, str, bool]]:
    """Return the queries of the recording rules for dashboards, each evaluated every 30 or 60 s."""
    groups = yaml.safe_load(render_alerts(SPEC)["fleet.rules.yml"])["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    return [(f"{rule['record']} {rule['labels'].get('signature', '')}", rule["expr"], True) for rule in found]


def main() -> None:
    """Write the data if it is missing, run the queries, print the times."""
    replicas, hours = (int(text) for text in (*sys.argv[1:3], "100", "6")[:2]) if len(sys.argv) > 2 else (100, 6)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[3] if len(sys.argv) > 3 else scratch)
        backfill = Backfill(folder)
        end = int(time.time()) // 7200 * 7200
        if not backfill.made:
            begun = time.monotonic()
            count = make(backfill, replicas, end - hours * 3600, end)
            backfill.done(json.dumps({"end": end, "series": count}))
            print(f"made {count} series in {time.monotonic() - begun:.0f} s", flush=True)
        made = json.loads(backfill.made)
        end, start = made["end"] - SCRAPE, made["end"] - hours * 3600 + 600
        with backfill.prometheus() as prometheus:
            for name, chosen in (
                ("on-call dashboard", oncall()),
                ("quantiles from raw buckets (baseline)", raw()),
                ("one evaluation of the recording rules for dashboards", rules()),
            ):
                before = cpu_seconds(prometheus)
                times = measure(prometheus, chosen, start, end)
                used = (cpu_seconds(prometheus) - before) / ROUNDS
                at_once = measure_at_once(prometheus, chosen, start, end)
                slowest = sorted(times.items(), key=lambda one: -one[1])[:12]
                print(f"{name}: {len(times)} queries over {hours} h, {replicas} replicas, {made['series']} raw series")
                print(f"  one by one: sum of medians {sum(times.values()) / 1000:.2f} s, CPU {used:.2f} s a round")
                print(
                    f"  all at once: median {statistics.median(at_once) / 1000:.2f} s, fastest {min(at_once) / 1000:.2f} s"
                )
                print("\n".join(f"  {ms:6.0f} ms  {query}" for query, ms in slowest))


if __name__ == "__main__":
    main()
