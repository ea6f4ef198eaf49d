"""The recent past of a Prometheus API, held in memory: each call reads what is new, and again only what turns out to have changed.

A sample may come after later ones: an exporter answers slowly, a store is filled from elsewhere, or it loses some and finds them again.
So the last OVERLAP seconds are read again each time, and of everything older the source is asked for the number of samples, one per
selector. A selector whose number isn't the one held is read in full.
"""

import math
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock

from plimsoll.slo.sources import Series
from plimsoll.slo.sources.batches import alone, batches
from plimsoll.slo.sources.prometheus import SERIES_SECONDS, Key, PrometheusSource, without_nan
from plimsoll.slo.sources.samples import Line, Merge, Samples, Shared, Times, Window
from plimsoll.slo.sources.selector import Selector

RECENT = (
    2700.0  # seconds that are held at most: the usual look back of the ledger is 35 minutes, that of recommendations 31
)
TOGETHER = (
    300.0  # seconds that are read in a few large queries; of more, each response holds one selector, for its size
)
TOGETHER_SERIES = 10_000  # of several pools that are read in one response: each takes 2 KiB until it is stored
OVERLAP = 60.0  # seconds: longer than a scrape takes until it is stored (its timeout is at most its interval)


class _Held:
    """The samples of one selector with `since` < time <= `until`; `nan` names the series that have a NaN.

    `changes` are (number of a reading, time of the earliest sample that it changed): of two, the later one has the later time.
    `forgotten` is the number of the last reading that changed something older than what is held.
    """

    def __init__(self) -> None:
        self.since, self.until, self.span = math.inf, -math.inf, 0.0  # `span`: the longest that was asked for
        self.series: dict[Key, Line] = {}
        self.nan: set[Key] = set()
        self.changes: list[tuple[int, float]] = []
        self.forgotten = -1

    def holds(self, start: float, end: float) -> bool:
        """Whether it holds all that it ever read of a span of time."""
        return self.since <= start and end <= self.until

    def is_past(self, start: float, end: float) -> bool:
        """Whether a span of time lies before what is held, in part or in whole."""
        return start < self.since and end < self.until

    def replace(self, new: dict[Key, Line], start: float, end: float, number: int) -> None:
        """Hold what was read with start < time <= end, and nothing else."""
        earliest = start
        if self.holds(start, self.until) and start < self.until <= end:  # then it is known what is different
            earliest = self._merge(dict(new), Merge(start, start))
        else:
            self.series, self.nan = new, {key for key, line in new.items() if line.has_nan}
        self.since, self.until = start, end
        self._changed(number, earliest)

    def renew(self, new: dict[Key, Line], after: float, end: float, number: int, merges: dict[float, Merge]) -> None:
        """Put what was read with after < time <= end in place of what is held of it. `merges` are those of the same reading, by the time
        from which on they hold samples."""
        self.since = max(self.since, end - self.span)
        self.until = end
        merge = merges.setdefault(self.since, Merge(self.since, after))
        self._changed(number, self._merge(new, merge))

    def _merge(self, new: dict[Key, Line], merge: Merge) -> float:
        earliest, nothing = math.inf, Samples()
        for key in [*self.series, *(key for key in new if key not in self.series)]:
            before, line = self.series.get(key), new.get(key)
            samples, changed = merge.join(before.samples if before else nothing, line.samples if line else nothing)
            earliest = min(earliest, changed)
            named = before or line
            if samples.times and named:
                self.series[key] = named._replace(samples=samples)
            elif before:
                del self.series[key]
        self.nan |= {key for key, line in new.items() if line.has_nan}
        self.nan &= self.series.keys()
        return earliest

    def _changed(self, number: int, earliest: float) -> None:
        old = [one for one in self.changes if one[1] <= self.since]
        if old:
            self.forgotten = old[-1][0]
        self.changes = [one for one in self.changes if self.since < one[1] < earliest]
        if earliest < math.inf:
            self.changes.append((number, earliest))

    def changed_since(self, number: int) -> float:
        """Return the time of the earliest sample that changed after a reading (infinite: none)."""
        if number < self.forgotten:
            return self.since
        return next((earliest for one, earliest in self.changes if one > number), math.inf)

    def count(self, start: float, end: float) -> tuple[int, int]:
        """Return the number of samples with start < time <= end, and how many of them are NaN."""
        sharing = Counter(id(line.samples.times) for line in self.series.values())
        each = {id(line.samples.times): line.samples.times for line in self.series.values()}
        found = sum(
            (bisect_right(times, end) - bisect_right(times, start)) * sharing[key] for key, times in each.items()
        )
        lines = (self.series[key] for key in self.nan)
        return found, sum(math.isnan(value) for line in lines for at, value in line.samples if start < at <= end)


class RecentSource:
    """A Prometheus API whose recent samples are held in memory. Older ones are read as they are asked for. Thread-safe."""

    def __init__(self, source: PrometheusSource) -> None:
        """`source` is what is read."""
        self.name = source.name
        self._source = source
        self._held: dict[Selector, _Held] = {}
        self._lock = Lock()
        self._counts_nan = True  # whether the source counts samples that are NaN: VictoriaMetrics doesn't
        self._readings = 0

    def series(self, selectors: Sequence[Selector], start: float, end: float) -> list[Series]:
        """Return the samples with start < time <= end of all selected series, without NaN; raises SourceError."""
        if end - start > RECENT:
            return self._source.series(selectors, start, end)
        with self._lock:
            past = [one for one in selectors if one in self._held and self._held[one].is_past(start, end)]
            recent = [one for one in selectors if one not in past]
            self._renew(recent, start, end)
            found, window = {_key(item): item for item in self._source.series(past, start, end)}, Window(start, end)
            for held in (self._held[selector] for selector in recent):
                for key, line in held.series.items():
                    item = Series(line.name, line.labels, window.cut(line.samples))
                    found[key] = without_nan(item) if key in held.nan else item
        return [item for item in found.values() if item.samples]

    def changed_since(self, reading: int, selectors: Sequence[Selector], start: float, end: float) -> tuple[float, int]:
        """Read what is new, and return the time of the earliest sample with start < time <= end that changed after a reading, and the
        number of this reading.

        -1 is before the first reading. Infinite: no sample changed. Raises SourceError.
        """
        with self._lock:
            self._renew(selectors, start, end)
            changed = min(self._held[selector].changed_since(reading) for selector in selectors)
            return max(start, changed), self._readings

    def renew(self, groups: Iterable[Sequence[Selector]], start: float, end: float) -> None:
        """Let groups of selectors hold what the source has with start < time <= end, several groups by one request. Selectors that held
        nothing before are left for `series`. Raises SourceError."""
        with self._lock:
            for some in self._together(groups):
                self._renew(some, start, end)

    def _together(self, groups: Iterable[Sequence[Selector]]) -> Iterator[list[Selector]]:
        """Join groups as far as one response holds their series."""
        joined, series = dict[Selector, None](), 0
        for group in groups:
            held = [one for one in group if one in self._held]
            more = sum(len(self._held[one].series) for one in held)
            if joined and series + more > TOGETHER_SERIES:
                yield list(joined)
                joined, series = {}, 0
            joined, series = joined | dict.fromkeys(held), series + more
        yield list(joined)

    def earliest(self, since: float, now: float) -> float:
        """Return a time before which no replica has a sample, at most a minute early; raises SourceError."""
        return self._source.earliest(since, now)

    def slots_with_result(self, query: str, start: int, end: int) -> list[int]:
        """Ask the API; raises SourceError."""
        return self._source.slots_with_result(query, start, end)

    def close(self) -> None:
        """Close the connections."""
        self._source.close()

    def _renew(self, selectors: Sequence[Selector], start: float, end: float) -> None:
        """Let all selectors hold what the source has with start < time <= end."""
        deadline, shared = time.monotonic() + SERIES_SECONDS, Shared()
        self._readings += 1
        behind = [one for one in selectors if not self._held.setdefault(one, _Held()).holds(start, end)]
        usable = [one for one in behind if self._held[one].since <= start < self._held[one].until - OVERLAP <= end]
        after = min((self._held[one].until for one in usable), default=0.0) - OVERLAP
        usable = self._as_counted(usable, start, after, deadline) if start < after else []
        for selector in selectors:
            self._held[selector].span = max(self._held[selector].span, end - start)
        merges: dict[float, Merge] = {}
        for batch in batches(usable) if end - after <= TOGETHER else alone(usable):
            for selector, new in self._source.read(batch, after, end, deadline, shared).items():
                self._held[selector].renew(new, after, end, self._readings, merges)
        for batch in alone(one for one in behind if one not in usable):
            for selector, new in self._source.read(batch, start, end, deadline, shared).items():
                self._held[selector].replace(new, start, end, self._readings)
        for selector in [one for one, held in self._held.items() if held.until < end - RECENT]:
            del self._held[selector]  # of what is not asked for any more, such as GPUs that were taken out

    def _as_counted(self, selectors: Sequence[Selector], start: float, end: float, deadline: float) -> list[Selector]:
        """Return the selectors of which exactly as many samples are held as the source has."""
        start, end = self._between(selectors, start), round(end, 3)
        numbers = self._source.counts(selectors, start, end, deadline) if selectors else []
        counted = [
            (one, number, *self._held[one].count(start, end)) for one, number in zip(selectors, numbers, strict=True)
        ]
        with_nan = [one for one, number, found, _ in counted if number == found]
        without = [one for one, number, found, nan in counted if number == found - nan]
        if len(with_nan) != len(without):
            self._counts_nan = len(with_nan) > len(without)
        return with_nan if self._counts_nan else without

    def _between(self, selectors: Iterable[Selector], at: float) -> float:
        """Return the next whole millisecond from a moment on at which no held sample was taken."""
        times = {
            id(line.samples.times): line.samples.times for one in selectors for line in self._held[one].series.values()
        }
        at_ms = math.ceil(at * 1000)
        while any(_has(some, at_ms / 1000) for some in times.values()):
            at_ms += 1
        return at_ms / 1000


def _key(item: Series) -> Key:
    return item.name, tuple(sorted(item.labels.items()))


def _has(times: Times, at: float) -> bool:
    index = bisect_left(times, at)
    return index < len(times) and times[index] == at
