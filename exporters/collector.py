"""What every collector is: a name, one method, and the points to show when it fails."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from plimsoll.slo.metrics import Metric


class Point(NamedTuple):
    """One sample of a catalogue metric. `suffix` is `_bucket`, `_sum` or `_count` for parts of a histogram, else empty."""

    metric: Metric
    labels: Mapping[str, str]
    value: float
    suffix: str = ""


class CollectorError(Exception):
    """A collector could not read; the message is one line that says what, where and the fix."""


class Collector(Protocol):
    """Reads one thing. It raises when it cannot; the wrapper alone turns that into `plimsoll_collector_success 0`."""

    name: str

    @property
    def fallback(self) -> Iterable[Point]:
        """Points that stay true when `collect` fails or runs late, such as `llm_replica_up 0`."""

    def collect(self, deadline: float) -> Iterable[Point]:
        """Read now. `deadline` is a time.monotonic() value after which nobody waits for the answer."""
