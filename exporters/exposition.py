"""Points become one metrics page: Prometheus text, or OpenMetrics where the scraper asks for it.

Written here and not by prometheus_client's encoders, which took half of a scrape's time: most series are the same at every
scrape, most of them have the value that they had, and their lines are kept. The client library still reads the Accept header, formats numbers and
writes the process's own metrics; a test holds our pages to be, byte for byte, what it would have written.
"""

import math
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import NamedTuple

from prometheus_client import PROCESS_COLLECTOR
from prometheus_client.exposition import choose_encoder
from prometheus_client.utils import floatToGoString

from exporters.collector import Point
from slo.catalogue import BUILD_INFO, Metric, bucket_bound

_PART = {"_bucket": 0, "_sum": 1, "_count": 2}
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})
Series = tuple[str, tuple[tuple[str, str], ...]]


class Exposition(NamedTuple):
    """A page ready to send, and what had to be left out of it: one line each."""

    body: bytes
    content_type: str
    problems: list[str]


class Line(NamedTuple):
    """A series' line up to its value, and the place of a histogram's line in its family: series, part, bound."""

    start: str
    series: str
    part: int
    bound: float


class Kept:
    """A line of the last page, with the labels from which it was made and, as one, its value and text."""

    __slots__ = ("labels", "line", "told")

    def __init__(self, labels: Mapping[str, str], line: Line) -> None:
        self.labels = labels
        self.line = line
        self.told = math.nan, ""

    def text(self, value: float) -> str:
        """The line with that value; raises ValueError for NaN."""
        last, text = self.told
        # NaN is never equal; 0 and -0 are, and are written differently.
        if value != last or (not value and math.copysign(1, value) != math.copysign(1, last)):
            if math.isnan(value):
                raise ValueError("left out: NaN, and a missing number is an absent sample")
            text = f"{self.line.start}{_number(value)}\n"
            self.told = value, text
        return text


class Renderer:
    """Writes pages. It keeps the lines of the last page; calls at the same time are safe, and share that.

    A point's labels must not change after it was rendered: many collectors give the same object at every scrape, and by
    that its line is known again without a look at what is in it.
    """

    def __init__(self) -> None:
        self._lines: dict[Series, Kept] = {}
        self._same: dict[tuple[int, int, str], Kept] = {}
        self._build = Point(BUILD_INFO, {"version": version("plimsoll-slo")}, 1)

    def render(self, points: Iterable[Point], accept: str) -> Exposition:
        """Write the points, build info and this process's own metrics in the format that the Accept header asks for.

        Points are merged by metric, in order of first sight. One bad sample must not cost the page: it is left out and named.
        """
        encode, content_type = choose_encoder(accept)
        openmetrics = content_type.startswith("application/openmetrics-text")
        groups: dict[str, list[Point]] = {}
        for point in (*points, self._build):
            groups.setdefault(point.metric.name, []).append(point)
        problems: list[str] = []
        lines: dict[Series, Kept] = {}
        same: dict[tuple[int, int, str], Kept] = {}
        page: list[str] = []
        for group in groups.values():
            page.append(_header(group[0].metric, openmetrics))
            page.extend(self._family(group, lines, same, problems))
        self._lines, self._same = lines, same
        return Exposition("".join(page).encode() + encode(PROCESS_COLLECTOR), content_type, problems)

    def _family(
        self,
        points: list[Point],
        lines: dict[Series, Kept],
        same: dict[tuple[int, int, str], Kept],
        problems: list[str],
    ) -> Iterable[str]:
        found: list[tuple[Line, str]] = []
        seen: set[str] = set()
        for point in points:
            metric, labels, value, suffix = point
            place = id(labels), id(metric), suffix
            kept = self._same.get(place)
            try:
                if kept is None or kept.labels is not labels:
                    kept = self._find(point, lines)
                same[place] = kept
                text = kept.text(value)
                if kept.line.start in seen:
                    raise ValueError("two samples of one series; the first is kept")
            except ValueError as error:
                problems.append(f"{metric}{suffix}{dict(labels)}: {error}")
                continue
            seen.add(kept.line.start)
            found.append((kept.line, text))
        if points[0].metric.kind == "histogram":
            found = _ordered(found)
        return [text for _, text in found]

    def _find(self, point: Point, lines: dict[Series, Kept]) -> Kept:
        """The line of labels that are another object than the last time, by what is in them."""
        key = (point.metric.name + point.suffix, tuple(point.labels.items()))
        kept = self._lines.get(key)
        kept = lines[key] = Kept(point.labels, kept.line if kept else _line(point))
        return kept


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
    series = ",".join(text for name, text in texts.items() if name != "le")
    name = point.metric.name + point.suffix
    return Line(f"{name}{{{inside}}} " if inside else f"{name} ", series, _PART.get(point.suffix, 0), bound)


def _ordered(found: list[tuple[Line, str]]) -> list[tuple[Line, str]]:
    """Keep each histogram series together: buckets by rising bound, then sum and count, as OpenMetrics demands."""
    places: dict[str, int] = {}
    for line, _ in found:
        places.setdefault(line.series, len(places))
    return sorted(found, key=lambda one: (places[one[0].series], one[0].part, one[0].bound))
