"""Parses an engine's metrics in text format.

Consecutive scrapes (pages) of a server differ in their numbers and rarely in their series. So a page is a shape, one object for all
pages that share it, and a list of numbers; results derived from the shape can be reused for the next page.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from sys import intern
from typing import NamedTuple
from weakref import WeakValueDictionary

from prometheus_client.parser import text_string_to_metric_families

# Enough for 64 ranks of vLLM 0.32, which writes 600 series per rank, and a few comment lines per family.
LIMIT_SERIES = 40_000
LIMIT_LINES = 2 * LIMIT_SERIES
# Labels of one series (an info series has about 30), and of all series: 64 ranks have three per series.
LIMIT_LABELS = 200
LIMIT_ALL_LABELS = 120_000
# Bytes of a line: enough for the names of thousands of adapters.
LIMIT_LINE = 2**16
# Lines per call of the client library, which uses about 2 kB for each.
BATCH = 100

# A series with an exemplar (OpenMetrics): `name{labels} value [timestamp] # {labels} value [timestamp]`. Label values are quoted.
_EXEMPLAR = re.compile(
    rb'^([^\s#{]+(?:\{(?:[^"}\n]|"(?:[^"\\\n]|\\.)*")*\})?[ \t]+[^#\n]*?)[ \t]+#[ \t]*\{[^\n]*$', re.MULTILINE
)

Labels = tuple[tuple[str, str], ...]
Meanings = dict[bytes, tuple[str, Labels]]  # text of a series -> its name and labels
Row = tuple[bytes, bytes, bytes]  # a line up to its last space, the space, and what follows


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """The families that a page declares, and the position of each series in its numbers: by name, then labels."""

    families: frozenset[str]
    places: Mapping[str, Mapping[Labels, int]]


@dataclass(frozen=True, slots=True)
class Page:
    """A parsed page."""

    shape: Shape
    numbers: Sequence[float]

    @property
    def families(self) -> frozenset[str]:
        """The families that it declares."""
        return self.shape.families

    @property
    def series(self) -> Mapping[str, Mapping[Labels, float]]:
        """Values by series name, then labels."""
        return _Series(self)


class _Series(Mapping[str, Mapping[Labels, float]]):
    """Looks up numbers on demand: few of a page's series are read by name."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def __getitem__(self, name: str) -> Mapping[Labels, float]:
        numbers = self._page.numbers
        return {labels: numbers[place] for labels, place in self._page.shape.places[name].items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._page.shape.places)

    def __len__(self) -> int:
        return len(self._page.shape.places)


class Form(NamedTuple):
    """A page without its numbers: of each line the text before its last space, and whether it is a series."""

    texts: tuple[bytes, ...]
    series: tuple[bool, ...]
    comments: tuple[bool, ...]  # the other lines
    ends: tuple[bytes, ...]  # their text after that space


Arranged = tuple[list[bytes], list[bytes], list[int]]  # families' lines, series' texts, places without a value


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Arrangement:
    """A page without its numbers, and what its lines mean."""

    arranged: Arranged
    known: Meanings
    shape: Shape


# Servers of one version have the same lines: each takes 0.3 MiB for a vLLM.
_SHARED: WeakValueDictionary[int, Arrangement] = WeakValueDictionary()
_NOTHING = Arrangement(([], [], []), {}, Shape(frozenset(), {}))


class Parser:
    """Parses one server's pages. It reuses the last page's shape and the meaning of its lines."""

    def __init__(self) -> None:
        self._last = _NOTHING
        self._form: Form | None = None

    def parse(self, body: bytes) -> Page:
        """Parse the text format. NaN, infinite and negative values are absent.

        Raises ValueError if the text is truncated (a cut last line can be a wrong but valid number), has a series twice, or
        more than LIMIT_SERIES.
        """
        if b"# {" in body:
            body = _EXEMPLAR.sub(rb"\1", body)
        return self._follow(body) or self._read(body)

    def _follow(self, body: bytes) -> Page | None:
        """Return the page if only numbers differ from the last one, the usual case; takes half the time of a full parse."""
        if self._form is None or body.count(b"\n") + 1 != len(self._form.texts):
            return None
        texts, _, values = zip(*[line.rpartition(b" ") for line in body.split(b"\n")], strict=True)
        if texts != self._form.texts or tuple(compress(values, self._form.comments)) != self._form.ends:
            return None
        try:
            numbers = _numbers(list(compress(values, self._form.series)))
        except ValueError:
            return None  # the full parse reports the error
        return Page(self._last.shape, numbers) if numbers and min(numbers) >= 0 and sum(numbers) < math.inf else None

    def _read(self, body: bytes) -> Page:
        lines = _lines(body)
        declared = [line for line in lines if line.startswith(b"# TYPE ")]
        series = [bool(line) and line[0] != 35 and not line.isspace() for line in lines]  # 35 is #
        rows = [line.rpartition(b" ") for line in compress(lines, series)]
        if len(rows) > LIMIT_SERIES:
            raise ValueError(f"it has {len(rows)} series, more than {LIMIT_SERIES}")
        known, found = self._last.known, [row[0] for row in rows]
        written = found
        if found != self._last.arranged[1] and not known.keys() >= set(found):
            rows, known = _learn(rows, known)
            written = [row[0] for row in rows]
        numbers = _numbers([row[2] for row in rows])
        absent = [place for place, number in enumerate(numbers) if not 0 <= number < math.inf]
        arranged = declared, written, absent
        if arranged != self._last.arranged:
            self._last = _arrangement(arranged, known)
        # A page with timestamps, or with absent values, needs a full parse each time.
        self._form = None if absent or written != found else _form(lines, series, self._last.arranged[1])
        return Page(self._last.shape, numbers)


def parse(text: str) -> Page:
    """Parse one page; see Parser."""
    return Parser().parse(text.encode())


def _form(lines: list[bytes], series: list[bool], written: Iterable[bytes]) -> Form:
    """Reuse the texts in `written`, which are stored anyway: a page may be large."""
    comments = tuple(not one for one in series)
    apart = [line.rpartition(b" ") for line in compress(lines, comments)]
    rows, others = iter(written), iter(text for text, _, _ in apart)
    texts = tuple(next(rows if one else others) for one in series)
    return Form(texts, tuple(series), comments, tuple(end for _, _, end in apart))


def _numbers(values: list[bytes]) -> list[float]:
    if b"_" in b"".join(values):  # Python accepts 1_000 as a number
        raise ValueError("a value is not a number")
    return list(map(float, values))


def _lines(body: bytes) -> list[bytes]:
    if not body.endswith(b"\n"):
        raise ValueError("the last line is truncated")
    count = body.count(b"\n")
    if count > LIMIT_LINES:
        raise ValueError(f"it has {count} lines, more than {LIMIT_LINES}")
    labels = body.count(b'="')
    if labels > LIMIT_ALL_LABELS:
        raise ValueError(f"it has {labels} labels, more than {LIMIT_ALL_LABELS}")
    lines = body.split(b"\n")
    longest = max(map(len, lines))
    if longest > LIMIT_LINE:
        raise ValueError(f"it has a line of {longest} bytes, more than {LIMIT_LINE}")
    return lines


def _learn(rows: list[Row], known: Meanings) -> tuple[list[Row], Meanings]:
    """Parse new series. Returns the rows, each with the series' text separate from value and timestamp, and all meanings."""
    found: Meanings = {}
    fresh = [b"".join(row) for row in rows if row[0] not in known]
    parsed = (parts for start in range(0, len(fresh), BATCH) for parts in _parse_lines(fresh[start : start + BATCH]))
    learnt = []
    for row in rows:
        if row[0] in known:
            learnt.append(row)
            continue
        text, meaning, number = next(parsed)
        found[text] = meaning
        learnt.append((text, b" ", number))
    return learnt, known | found


def _parse_lines(lines: list[bytes]) -> Iterator[tuple[bytes, tuple[str, Labels], bytes]]:
    """Yield the text of each line's series (without value and timestamp), its meaning, and the value's text."""
    if any(line.count(b'="') > LIMIT_LABELS for line in lines):
        raise ValueError(f"a series has more than {LIMIT_LABELS} labels")
    families = text_string_to_metric_families(b"\n".join((*lines, b"")).decode())
    try:
        samples = [sample for family in families for sample in family.samples]
    except IndexError:  # the client library, for a label without a name
        raise ValueError("a label has no name") from None
    for line, sample in zip(lines, samples, strict=True):
        parts = line.rsplit(None, 1 if sample.timestamp is None else 2)
        if len(parts) < 2 or not parts[0].endswith((b"}", sample.name.encode())):
            raise ValueError(f"the line {line[:100].decode(errors='replace')!r} has no space before its value")
        labels = tuple(sorted((intern(name), intern(value)) for name, value in sample.labels.items()))
        yield parts[0], (intern(sample.name), labels), parts[1]


def _arrangement(arranged: Arranged, known: Meanings) -> Arrangement:
    """Return another server's, if it has the same lines."""
    declared, written, absent = arranged
    key = hash((*declared, *written, *absent))
    shared = _SHARED.get(key)
    if shared is None or shared.arranged != arranged:
        meanings = {text: known[text] for text in written}
        shared = _SHARED[key] = Arrangement(arranged, meanings, _arrange(declared, written, absent, known))
    return shared


def _arrange(declared: list[bytes], written: list[bytes], absent: list[int], known: Meanings) -> Shape:
    places: dict[str, dict[Labels, int]] = {}
    for place, text in enumerate(written):
        name, labels = known[text]
        rows = places.setdefault(name, {})
        # Includes series without a value, so that every duplicate is detected.
        if labels in rows:
            raise ValueError(f"the series {text[:100].decode(errors='replace')} is a duplicate")
        rows[labels] = place
    families = frozenset(name.decode() for line in declared for name in line.split()[2:3])
    without_value = frozenset(absent)
    present = {
        name: {labels: at for labels, at in rows.items() if at not in without_value} for name, rows in places.items()
    }
    return Shape(families, present)
