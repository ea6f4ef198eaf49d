"""Formats points as Prometheus text, or as OpenMetrics where the scraper accepts it.

prometheus_client's encoders took half of a scrape's time. Consecutive scrapes mostly have the same series, and most of their
values don't change, so only changed lines are written. The client library still reads the Accept header, formats numbers and
writes the process metrics; a test compares the output with its own, byte for byte.
"""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from sys import intern
from typing import NamedTuple

from prometheus_client import PROCESS_COLLECTOR
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from plimsoll.exporters.collector import Point
from plimsoll.slo.metrics import BUILD_INFO, Metric, bucket_bound

_PART = {"_bucket": 0, "_sum": 1, "_count": 2}
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})
# Cached lines are dropped once there are this many times as many as points.
MAX_CACHED_RATIO = 4

Series = tuple[
    tuple[Metric, ...], tuple[Mapping[str, str], ...], tuple[str, ...]
]  # metrics, labels and suffixes, by point


class Exposition(NamedTuple):
    """A response body ready to send, and the omitted samples, one line each."""

    body: bytes
    content_type: str
    problems: list[str]


class Line(NamedTuple):
    """A series' line up to its value, and the sort key in a histogram's family: series, part, bound."""

    start: str
    series: str
    part: int
    bound: float


class Layout:
    """The last output: its lines with headers, and the line number of each point."""

    __slots__ = ("lines", "places", "series", "starts", "values")

    def __init__(self, series: Series, count: int) -> None:
        self.series = series
        self.values: list[float] = [math.nan] * count
        self.starts = [""] * count
        self.places = [0] * count
        self.lines: list[str] = []

    def changed(self, values: list[float]) -> list[int]:
        """Return the indexes of points whose value changed; NaN always counts as changed."""
        return [place for place, (new, old) in enumerate(zip(values, self.values, strict=True)) if new != old]

    def write(self, changed: list[int], values: list[float]) -> None:
        """Update the lines of these points."""
        for place in changed:
            self.lines[self.places[place]] = f"{self.starts[place]}{_number(values[place])}\n"
        self.values = values


class Renderer:
    """Renders points, one call at a time. It caches the last output of each format.

    A point's labels must not change after rendering. Collectors that return the same label objects at every scrape cost least.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._layouts: dict[bool, Layout] = {}  # by format (True: OpenMetrics): scrapers may request any version
        self._known: dict[tuple[str, ...], Line] = {}
        self._build = Point(BUILD_INFO, {"version": version("plimsoll-slo")}, 1)

    def render(self, points: Sequence[Point], accept: str) -> Exposition:
        """Render the points, build info and process metrics in the format of the Accept header.

        Points are grouped by metric, in order of first appearance. A bad sample is omitted and listed in `problems`.
        """
        encode, content_type = _encoder(accept)
        openmetrics = content_type.startswith("application/openmetrics-text")
        with self._lock:
            lines, problems = self._write((*points, self._build), openmetrics)
        return Exposition("".join(lines).encode() + encode(PROCESS_COLLECTOR), content_type, problems)

    def _write(self, points: Sequence[Point], openmetrics: bool) -> tuple[list[str], list[str]]:
        """Return the lines and the problems. This code runs for every point at every scrape."""
        metrics, labels, raw, suffixes = zip(*points, strict=True)
        values = [value + 0.0 for value in raw]  # turns -0 into 0: they are equal but formatted differently
        series = metrics, labels, suffixes
        layout = self._layouts.get(openmetrics)
        if layout is not None and layout.series == series:
            changed = layout.changed(values)
            if not any(math.isnan(values[place]) for place in changed):
                layout.write(changed, values)
                return layout.lines, []
        layout, sound, problems = self._arrange(points, series, openmetrics)
        layout.write(sound, values)
        if not problems:
            self._layouts[openmetrics] = layout
        return layout.lines, problems

    def _arrange(
        self, points: Sequence[Point], series: Series, openmetrics: bool
    ) -> tuple[Layout, list[int], list[str]]:
        """Lay out a new set of series; returns also the indexes of valid points, and the problems."""
        families: dict[str, list[tuple[int, Line]]] = {}
        seen: set[str] = set()
        problems: list[str] = []
        for place, point in enumerate(points):
            try:
                line = self._line(point)
                if line.start in seen:
                    raise ValueError("duplicate series; only the first sample is exported")
                if math.isnan(point.value):
                    raise ValueError("omitted: NaN; a missing value must be an absent sample")
            except ValueError as error:
                problems.append(f"{point.metric}{point.suffix}{dict(point.labels)}: {error}")
                continue
            seen.add(line.start)
            families.setdefault(point.metric.name, []).append((place, line))
        if len(self._known) > MAX_CACHED_RATIO * len(points):
            self._known = {}
        layout = Layout(series, len(points))
        for family in families.values():
            metric = points[family[0][0]].metric
            layout.lines.append(_header(metric, openmetrics))
            for place, line in _ordered(metric, family):
                layout.starts[place], layout.places[place] = line.start, len(layout.lines)
                layout.lines.append("")
        return layout, [place for family in families.values() for place, _ in family], problems

    def _line(self, point: Point) -> Line:
        key = (point.metric.name, point.suffix, *point.labels, *point.labels.values())
        line = self._known.get(key)
        if line is None:
            line = self._known[key] = _line(point)
        return line


def _ordered(metric: Metric, family: list[tuple[int, Line]]) -> list[tuple[int, Line]]:
    """Order each histogram series as OpenMetrics requires: buckets by rising bound, then sum and count."""
    if metric.kind != "histogram":
        return family
    first: dict[str, int] = {}
    for place, line in family:
        first.setdefault(line.series, place)
    return sorted(family, key=lambda one: (first[one[1].series], one[1].part, one[1].bound))


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Return the client library's choice, which raises for non-numeric versions; those get the default."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):
        return choose_encoder("")


def _number(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _header(metric: Metric, openmetrics: bool) -> str:
    if openmetrics:
        name, text = metric.name.removesuffix("_total"), metric.help.translate(_ESCAPES)
    else:
        name, text = metric.name, metric.help.translate(_HELP_ESCAPES)
    return f"# HELP {name} {text}\n# TYPE {name} {metric.kind}\n"


def _line(point: Point) -> Line:
    """Format a series as Prometheus does: an empty label is absent, `le` is a float. Raises ValueError for a bad sample."""
    labels = {name: value for name, value in point.labels.items() if value}
    bound = math.inf
    if "le" in labels:
        try:
            bound = float(labels["le"])
        except ValueError:
            raise ValueError("omitted: the bucket bound isn't a number") from None
        labels["le"] = bucket_bound(bound)
    texts = {name: f'{name}="{value.translate(_ESCAPES)}"' for name, value in sorted(labels.items())}
    inside = ",".join(texts.values())
    histogram = point.metric.kind == "histogram"
    series = intern(",".join(text for name, text in texts.items() if name != "le")) if histogram else ""
    name = point.metric.name + point.suffix
    return Line(f"{name}{{{inside}}} " if inside else f"{name} ", series, _PART.get(point.suffix, 0), bound)
