"""A metrics page of an engine, parsed.

A server's pages differ in their numbers and seldom in their series. So a page is a shape, which is one object for all pages
that have it, and a list of numbers; whatever is made of the shape can be kept for the next page.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from sys import intern

from prometheus_client.parser import text_string_to_metric_families

# More than 64 ranks of vLLM 0.32 need, which writes 600 series a rank; and a few lines about each family.
LIMIT_SERIES = 50_000
LIMIT_LINES = 2 * LIMIT_SERIES
# Labels of one series (settings of an info series are some 30), and of all: those ranks have three a series.
LIMIT_LABELS = 200
LIMIT_ALL_LABELS = 150_000
# Bytes of a line: names of thousands of adapters.
LIMIT_LINE = 2**16
# Lines that the client library parses at a time: it holds some 2 kB for each.
BATCH = 500

Labels = tuple[tuple[str, str], ...]
Meanings = dict[bytes, tuple[str, Labels]]  # text of a series -> its name and labels
Row = tuple[bytes, bytes, bytes]  # a line up to its last space, the space, and what follows


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """The families that a page declares, and where in its numbers each series stands: by name, then labels."""

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
    """Puts numbers in their places where one asks for them: few of a page's series are wanted by name."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def __getitem__(self, name: str) -> Mapping[Labels, float]:
        numbers = self._page.numbers
        return {labels: numbers[place] for labels, place in self._page.shape.places[name].items()}

    def __iter__(self) -> Iterator[str]:
        return iter(self._page.shape.places)

    def __len__(self) -> int:
        return len(self._page.shape.places)


class Parser:
    """Parses one server's pages. It keeps the last page's shape, and what each of its lines means, for the next one."""

    def __init__(self) -> None:
        self._shape: Shape | None = None
        self._form: tuple[list[bytes], list[bytes], list[int]] = [], [], []
        self._known: Meanings = {}

    def parse(self, body: bytes) -> Page:
        """Parse the text format. Values that no metric of ours can have (NaN, infinite, negative) are absent.

        Raises ValueError where the text is not a whole page (a cut last line can be a wrong number that looks right), has a
        series twice, or more than LIMIT_SERIES.
        """
        lines = _lines(body)
        declared = [line for line in lines if line.startswith(b"# TYPE ")]
        rows = [line.rpartition(b" ") for line in lines if line and line[0] != 35 and not line.isspace()]  # 35 is #
        if len(rows) > LIMIT_SERIES:
            raise ValueError(f"it has {len(rows)} series, more than {LIMIT_SERIES}")
        known, written = self._known, [row[0] for row in rows]
        if written != self._form[1] and not known.keys() >= set(written):
            rows, known = _learn(rows, known)
            written = [row[0] for row in rows]
        values = [row[2] for row in rows]
        if b"_" in b"".join(values):  # which Python would read as a number
            raise ValueError("a value is not a number")
        numbers = [float(value) for value in values]
        absent = [place for place, number in enumerate(numbers) if not 0 <= number < math.inf]
        form = declared, written, absent
        if self._shape is None or form != self._form:
            self._shape = _arrange(*form, known)
            self._form, self._known = form, {text: known[text] for text in form[1]}
        return Page(self._shape, numbers)


def parse(text: str) -> Page:
    """Parse one page; see Parser."""
    return Parser().parse(text.encode())


def _lines(body: bytes) -> list[bytes]:
    if not body.endswith(b"\n"):
        raise ValueError("the last line is cut")
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
    """Find out what new series mean. Returns the rows, each with the text of its series apart from value and time, and all meanings."""
    found: Meanings = {}
    fresh = [b"".join(row) for row in rows if row[0] not in known]
    told = (parts for start in range(0, len(fresh), BATCH) for parts in _parse_lines(fresh[start : start + BATCH]))
    learnt = []
    for row in rows:
        if row[0] in known:
            learnt.append(row)
            continue
        text, meaning, number = next(told)
        found[text] = meaning
        learnt.append((text, b" ", number))
    return learnt, known | found


def _parse_lines(lines: list[bytes]) -> Iterator[tuple[bytes, tuple[str, Labels], bytes]]:
    """Return the text of each line's series (without value and time), what it means, and the value's text."""
    if any(line.count(b'="') > LIMIT_LABELS for line in lines):
        raise ValueError(f"a series has more than {LIMIT_LABELS} labels")
    families = text_string_to_metric_families(b"\n".join((*lines, b"")).decode())
    samples = [sample for family in families for sample in family.samples]
    for line, sample in zip(lines, samples, strict=True):
        parts = line.rsplit(None, 1 if sample.timestamp is None else 2)
        if len(parts) < 2 or not parts[0].endswith((b"}", sample.name.encode())):
            raise ValueError(f"the line {line[:100].decode(errors='replace')!r} has no space before its value")
        labels = tuple(sorted((intern(name), intern(value)) for name, value in sample.labels.items()))
        yield parts[0], (intern(sample.name), labels), parts[1]


def _arrange(declared: list[bytes], written: list[bytes], absent: list[int], known: Meanings) -> Shape:
    places: dict[str, dict[Labels, int]] = {}
    for place, text in enumerate(written):
        name, labels = known[text]
        rows = places.setdefault(name, {})
        # Those without a value too: a series that is there twice must be seen.
        if labels in rows:
            raise ValueError(f"the series {text[:100].decode(errors='replace')} is there twice")
        rows[labels] = place
    families = frozenset(name.decode() for line in declared for name in line.split()[2:3])
    gone = frozenset(absent)
    kept = {name: {labels: at for labels, at in rows.items() if at not in gone} for name, rows in places.items()}
    return Shape(families, kept)
