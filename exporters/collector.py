"""The collector protocol: a name, one method, and the points to export when it fails."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from plimsoll.slo.metrics import Metric


class Point(NamedTuple):
    """One sample of a metric. `suffix` is `_bucket`, `_sum` or `_count` for parts of a histogram, else empty."""

    metric: Metric
    labels: Mapping[str, str]
    value: float
    suffix: str = ""


class CollectorError(Exception):
    """A collector failed; the message is one line: where, what is wrong, and the fix."""


class Collector(Protocol):
    """Reads one source. It raises on failure; only the runner turns that into `plimsoll_collector_success 0`."""

    name: str

    @property
    def fallback(self) -> Iterable[Point]:
        """Points to export when `collect` fails or exceeds its deadline, such as `llm_replica_up 0`."""

    def collect(self, deadline: float) -> Iterable[Point]:
        """Read now. `deadline` is a time.monotonic() value; later results are discarded."""
