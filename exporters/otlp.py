"""Pushes the snapshot that a scrape returns, by OTLP over HTTP under OpenTelemetry's names (extra `otel`)."""

import logging
import math
import threading
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from itertools import pairwise

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from plimsoll.exporters.collector import Point
from plimsoll.exporters.log_once import OnceLogger
from plimsoll.exporters.otlp_names import ATTRIBUTES, Name, name_of
from plimsoll.exporters.runner import Runner
from plimsoll.slo import metrics as catalogue

_CUMULATIVE = AggregationTemporality.CUMULATIVE
_Attributes = frozenset[tuple[str, str]]


class Pusher:
    """Collects and pushes every `interval` seconds in its own thread, until the process ends."""

    def __init__(self, runner: Runner, url: str, interval: float) -> None:
        root = url.rstrip("/").removesuffix("/v1/metrics")
        self.endpoint = f"{root}/v1/metrics"
        self._runner = runner
        self._interval = interval
        self._exporter = OTLPMetricExporter(endpoint=self.endpoint, timeout=interval)
        self._resource = Resource.create({"service.name": "plimsoll", "service.version": version("plimsoll-slo")})
        self._started = time.time_ns()
        self._once = OnceLogger(logging.getLogger(__name__))

    def start(self) -> None:
        """Start pushing."""
        threading.Thread(target=self._run, name="otlp", daemon=True).start()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            started = time.monotonic()
            try:
                self.push()
            except Exception as error:
                self._once.failed("otlp", f"{self.endpoint}: {type(error).__name__}: {error}")
            pause.wait(max(0.0, started + self._interval - time.monotonic()))

    def push(self) -> None:
        """Collect and push once; a rejection is logged once."""
        points = self._runner.collect(time.monotonic() + self._interval / 2)
        data = to_otlp(points, time.time_ns(), self._started, self._resource)
        if self._exporter.export(data) is MetricExportResult.SUCCESS:
            self._once.recovered("otlp")
        else:
            self._once.failed(
                "otlp", f"{self.endpoint}: rejected. Check --otlp-endpoint: is an OTLP receiver (HTTP) running there?"
            )


def to_otlp(points: Iterable[Point], now: int, started: int, resource: Resource) -> MetricsData:
    """Convert a snapshot to OTLP data. Pure; times are in nanoseconds since 1970.

    Counters are cumulative since `started`; an engine's since the engine's start, where known.
    """
    points = list(points)
    starts = {p.labels["replica"]: int(p.value * 1e9) for p in points if p.metric is catalogue.REPLICA_START}
    groups: dict[str, list[Point]] = {}
    for point in points:
        if not math.isnan(point.value):
            groups.setdefault(name_of(point.metric).name, []).append(point)
    metrics = [_metric(name_of(group[0].metric), group, now, (starts, started)) for group in groups.values()]
    scope = ScopeMetrics(InstrumentationScope("plimsoll", version("plimsoll-slo")), metrics, "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _metric(name: Name, group: list[Point], now: int, starts: tuple[Mapping[str, int], int]) -> Metric:
    """Build one metric from points that share an OpenTelemetry name; two Plimsoll metrics may, distinguished by an attribute."""
    kind = group[0].metric.kind
    if kind == "histogram":
        return Metric(
            name.name, group[0].metric.help, name.unit, Histogram(_histograms(group, now, starts), _CUMULATIVE)
        )
    numbers = [NumberDataPoint(dict(_attributes(p)), _start(p, starts), now, float(p.value)) for p in group]
    adds_up = kind == "counter" or name.adds_up
    data = Sum(numbers, _CUMULATIVE, kind == "counter") if adds_up else Gauge(numbers)
    return Metric(name.name, group[0].metric.help, name.unit, data)


def _start(point: Point, starts: tuple[Mapping[str, int], int]) -> int:
    by_replica, started = starts
    return by_replica.get(point.labels.get("replica", ""), started)


def _attributes(point: Point) -> _Attributes:
    name = name_of(point.metric)
    mine = {ATTRIBUTES.get(key, key): value for key, value in point.labels.items() if key != "le" and value}
    return frozenset({**mine, **name.attributes}.items())


def _histograms(group: list[Point], now: int, starts: tuple[Mapping[str, int], int]) -> list[HistogramDataPoint]:
    """Convert cumulative buckets to separate ones; an inconsistent series is omitted."""
    series: dict[_Attributes, list[Point]] = {}
    for point in group:
        series.setdefault(_attributes(point), []).append(point)
    found = []
    for attributes, parts in series.items():
        buckets = sorted((float(p.labels["le"]), p.value) for p in parts if p.suffix == "_bucket")
        total, count = (next((p.value for p in parts if p.suffix == suffix), None) for suffix in ("_sum", "_count"))
        below = [0.0, *(value for _, value in buckets)]
        counts = [int(after - before) for before, after in pairwise(below)]
        if not buckets or total is None or count != below[-1] or min(counts) < 0 or not math.isinf(buckets[-1][0]):
            continue
        bounds = [bound for bound, _ in buckets[:-1]]
        start = _start(parts[0], starts)
        found.append(
            HistogramDataPoint(dict(attributes), start, now, int(count), total, counts, bounds, None, None)  # type: ignore[arg-type]
        )
    return found
