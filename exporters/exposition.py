"""Points become one metrics page: Prometheus text, or OpenMetrics where the scraper asks for it.

Written here and not by prometheus_client's encoders, which took half of a scrape's time: most series are the same at every
scrape, most of them have the value that they had, and their lines are kept. The client library still reads the Accept header, formats numbers and
writes the process's own metrics; a test holds our pages to be, byte for byte, what it would have written.
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

from exporters.collector import Point
from slo.catalogue import BUILD_INFO, Metric, bucket_bound

_PART = {"_bucket": 0, "_sum": 1, "_count": 2}
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})
# Lines of series that are gone are forgotten once there are this many times as many as on a page.
MOST_KEPT = 4


class Exposition(NamedTuple):
    """A page ready to send, and what had to be left out of it: one line each."""

    body: bytes
    content_type: str
    problems: list[str]


class Line(NamedTuple):
    """A series' line up to its value, and in a histogram's family its place there: series, part, bound."""

    start: str
    series: str
    part: int
    bound: float


class Kept:
    """A series' line as it was last written, and the labels from which it was made."""

    __slots__ = ("family", "labels", "line", "page", "text", "value")

    def __init__(self, labels: Mapping[str, str], line: Line, family: "Family") -> None:
        self.labels = labels
        self.line = line
        self.family = family
        self.page = 0
        self.value, self.text = math.nan, ""


class Family:
    """A metric's lines on the page with the number `page`, and how those of the last one were put in order."""

    __slots__ = ("last", "lines", "metric", "page")

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.page = 0
        self.lines: list[Kept] = []
        self.last: tuple[list[Kept], list[Kept]] = [], []

    def ordered(self) -> list[Kept]:
        """Keep each histogram series together: buckets by rising bound, then sum and count, as OpenMetrics demands."""
        if self.metric.kind != "histogram":
            return self.lines
        if self.lines != self.last[0]:
            places: dict[str, int] = {}
            for kept in self.lines:
                places.setdefault(kept.line.series, len(places))
            order = sorted(self.lines, key=lambda kept: (places[kept.line.series], kept.line.part, kept.line.bound))
            self.last = self.lines, order
        return self.last[1]


class Renderer:
    """Writes pages, one at a time. It keeps the lines of the last ones.

    A point's labels must not change after it was rendered: many collectors give the same object at every scrape, and by
    that its line is known again without a look at what is in it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._page = 0
        self._families: dict[str, Family] = {}
        self._lines: dict[str, Kept] = {}
        self._same: dict[tuple[int, int, str], Kept] = {}
        self._build = Point(BUILD_INFO, {"version": version("plimsoll-slo")}, 1)

    def render(self, points: Sequence[Point], accept: str) -> Exposition:
        """Write the points, build info and this process's own metrics in the format that the Accept header asks for.

        Points are merged by metric, in order of first sight. One bad sample must not cost the page: it is left out and named.
        """
        encode, content_type = _encoder(accept)
        openmetrics = content_type.startswith("application/openmetrics-text")
        parts: list[str] = []
        with self._lock:
            problems: list[str] = []
            for family in self._sort(points, problems):
                parts.append(_header(family.metric, openmetrics))
                parts.extend([kept.text for kept in family.ordered()])
            if len(self._lines) + len(self._same) > MOST_KEPT * (len(points) + 1):
                self._lines, self._same = {}, {}
        return Exposition("".join(parts).encode() + encode(PROCESS_COLLECTOR), content_type, problems)

    def _sort(self, points: Sequence[Point], problems: list[str]) -> list[Family]:
        """Bring every line up to date and to its family; returns the families. What is done here is done for every series."""
        self._page += 1
        page, same, families = self._page, self._same, []
        for point in (*points, self._build):
            metric, labels, value, suffix = point
            kept = same.get((id(labels), id(metric), suffix))
            try:
                if kept is None or kept.labels is not labels:
                    kept = self._find(point)
                if kept.page == page:
                    raise ValueError("two samples of one series; the first is kept")
                # NaN is never equal; 0 and -0 are, and are written differently.
                if value != kept.value or (not value and math.copysign(1, value) != math.copysign(1, kept.value)):
                    _write(kept, value)
            except ValueError as error:
                problems.append(f"{metric}{suffix}{dict(labels)}: {error}")
                continue
            kept.page = page
            family = kept.family
            if family.page != page:
                family.page, family.lines = page, []
                families.append(family)
            family.lines.append(kept)
        return families

    def _find(self, point: Point) -> Kept:
        """The line of labels that are another object than the last time."""
        metric, labels, _, suffix = point
        line = _line(point)
        kept = self._lines.get(line.start)
        if kept is None:
            family = self._families.setdefault(metric.name, Family(metric))
            kept = self._lines[line.start] = Kept(labels, line, family)
        self._same.pop((id(kept.labels), id(metric), suffix), None)
        kept.labels = labels
        self._same[id(labels), id(metric), suffix] = kept
        return kept


def _write(kept: Kept, value: float) -> None:
    if math.isnan(value):
        raise ValueError("left out: NaN, and a missing number is an absent sample")
    kept.value, kept.text = value, f"{kept.line.start}{_number(value)}\n"


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """The client library's choice; it raises for versions that are no numbers."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):
        return choose_encoder("")


def _number(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _header(metric: Metric, openmetrics: bool) -> str:
    if openmetrics:
        name, told = metric.name.removesuffix("_total"), metric.help.translate(_ESCAPES)
    else:
        name, told = metric.name, metric.help.translate(_HELP_ESCAPES)
    return f"# HELP {name} {told}\n# TYPE {name} {metric.kind}\n"


def _line(point: Point) -> Line:
    """Labels as Prometheus sees them: an empty one is none, and `le` is a float. Raises ValueError for a broken sample."""
    labels = {name: value for name, value in point.labels.items() if value}
    bound = math.inf
    if "le" in labels:
        try:
            bound = float(labels["le"])
        except ValueError:
            raise ValueError("left out: the bucket's bound is not a number") from None
        labels["le"] = bucket_bound(bound)
    texts = {name: f'{name}="{value.translate(_ESCAPES)}"' for name, value in sorted(labels.items())}
    inside = ",".join(texts.values())
    histogram = point.metric.kind == "histogram"
    series = intern(",".join(text for name, text in texts.items() if name != "le")) if histogram else ""
    name = point.metric.name + point.suffix
    return Line(f"{name}{{{inside}}} " if inside else f"{name} ", series, _PART.get(point.suffix, 0), bound)
