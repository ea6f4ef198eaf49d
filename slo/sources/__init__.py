"""Where raw counters come from: the Prometheus HTTP API, or the service's own scrapes. Both give the same samples.

A source returns raw samples, never rates: the ledger counts, so it needs every sample with its own time.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from plimsoll.slo.sources.selector import Selector


class Series(NamedTuple):
    """One series: sample name, labels, and (Unix seconds, value) in order of time."""

    name: str
    labels: dict[str, str]
    samples: Sequence[tuple[float, float]]


class SourceError(Exception):
    """The source is unavailable; the message names it and states the reason."""


class Source(Protocol):
    """Raw samples of the recent past."""

    name: str

    def series(self, selectors: Sequence[Selector], start: float, end: float) -> list[Series]:
        """Return the samples with start < time <= end (Unix seconds) of all selected series; raises SourceError."""

    def earliest(self, since: float, now: float) -> float:
        """Return a Unix time from `since` to `now` before which the source holds nothing of use; raises SourceError."""


@runtime_checkable
class QueryableSource(Protocol):
    """A source that evaluates PromQL."""

    def slots_with_result(self, query: str, start: int, end: int) -> list[int]:
        """Return the slots from `start` until before `end` in which a query had a result other than 0; raises SourceError."""
