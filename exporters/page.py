"""A metrics page of an engine, parsed."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

# Some 80 ranks of vLLM 0.32, which writes 600 series a rank.
LIMIT_SERIES = 50_000

Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, tuple[str, Labels], str]


@dataclass(frozen=True, slots=True)
class Page:
    """A parsed page: the families it declares and, by series name, its values by labels."""

    families: frozenset[str]
    series: Mapping[str, Mapping[Labels, float]]


class Parser:
    """Parses one server's pages. The text of a series is the same on every page, so its meaning is kept for the next one."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, Labels]] = {}

    def parse(self, text: str) -> Page:
        """Parse the text format. Values that no metric of ours can have (NaN, infinite, negative) are absent.

        Raises ValueError where the text is not a whole page (a cut last line can be a wrong number that looks right), has a
        series twice, or more than LIMIT_SERIES.
        """
        if not text.endswith("\n"):
            raise ValueError("the last line is cut")
        lines = text.split("\n")
        families = frozenset(name for line in lines if line.startswith("# TYPE ") for name in line.split()[2:3])
        samples = [line for line in lines if line.strip() and line[0] != "#"]
        if len(samples) > LIMIT_SERIES:
            raise ValueError(f"it has {len(samples)} series, more than {LIMIT_SERIES}")
        read = [self._read(line) for line in samples]
        fresh = iter(_parse_lines([line for line, known in zip(samples, read, strict=True) if known is None]))
        known: dict[str, tuple[str, Labels]] = {}
        series: dict[str, dict[Labels, float]] = {}
        for written, meaning, number in (sample or next(fresh) for sample in read):
            known[written] = meaning
            # For now every value is kept, so that a series that is there twice is seen.
            rows = series.setdefault(meaning[0], {})
            if meaning[1] in rows:
                raise ValueError(f"the series {written[:100]} is there twice")
            rows[meaning[1]] = _number(number)
        self._known = known
        return Page(families, {name: _possible(rows) for name, rows in series.items()})

    def _read(self, line: str) -> Sample | None:
        written, _, number = line.rpartition(" ")
        meaning = self._known.get(written)
        return None if meaning is None else (written, meaning, number)


def parse(text: str) -> Page:
    """Parse one page; see Parser."""
    return Parser().parse(text)


def _parse_lines(lines: list[str]) -> Iterator[Sample]:
    """Return the text of each line's series (without value and time), what it means, and the value's text."""
    families = text_string_to_metric_families("\n".join((*lines, "")))
    samples = [sample for family in families for sample in family.samples]
    for line, sample in zip(lines, samples, strict=True):
        parts = line.rsplit(None, 1 if sample.timestamp is None else 2)
        yield parts[0], (sample.name, tuple(sorted(sample.labels.items()))), parts[1]


def _possible(rows: dict[Labels, float]) -> dict[Labels, float]:
    return {labels: value for labels, value in rows.items() if 0 <= value < math.inf}


def _number(text: str) -> float:
    if "_" in text:  # which Python would read as a number
        raise ValueError(f"{text[:30]!r} is not a number")
    return float(text)
