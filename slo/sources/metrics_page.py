"""The wanted samples of a scraped metrics page, in the text format. The page may come from anyone: what isn't wanted isn't parsed."""

import math
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

LIMIT_BYTES = 8 * 2**20  # of a page: a node's 8 engines with 16 ranks each have 4 MiB
LIMIT_LINES = 100_000  # of a page
LIMIT_SAMPLES = 20_000  # of a page that are wanted: an engine with 16 ranks has 6,000
LIMIT_LINE = 2**14  # characters of a wanted line: the parser's time grows with the square of it
_NAME = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)[{\s]")


class Sample(NamedTuple):
    """One sample of a page."""

    name: str
    labels: dict[str, str]
    value: float


def samples(body: bytes | bytearray, framed: bool, names: Collection[str]) -> Iterator[Sample]:
    """Yield the samples with one of the names, but for those that are NaN. Raises ValueError that quotes the first odd line.

    A response that isn't `framed` (it ends as the connection does) must end with a whole line.
    """
    text = body.decode()
    if not framed and text and not text.endswith("\n"):
        raise ValueError("it ends in the middle of a line")
    if text.count("\n") > LIMIT_LINES:
        raise ValueError(f"it has more than {LIMIT_LINES:,} lines")
    wanted = []
    for line in text.split("\n"):
        if not line or line.startswith("#") or line.isspace():
            continue
        if (match := _NAME.match(line)) is None:
            raise ValueError(f"line {line[:60]!a}")
        if match[1] in names:
            wanted.append(line)
    if len(wanted) > LIMIT_SAMPLES:
        raise ValueError(f"it has more than {LIMIT_SAMPLES:,} samples to store")
    for line in wanted:
        yield from _parsed(line)


def _parsed(line: str) -> Iterator[Sample]:
    try:
        if len(line) > LIMIT_LINE:
            raise ValueError("too long")
        (family,) = text_string_to_metric_families(line + "\n")
        (sample,) = family.samples
    except Exception as error:  # the parser fails in many ways on a broken line
        raise ValueError(f"line {line[:60]!a}") from error
    if not math.isnan(sample.value):
        yield Sample(sample.name, dict(sample.labels), sample.value)
