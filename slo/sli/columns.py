"""What series that were read together have in common is worked out once: most of a fleet's series share the times of their replica's page.

A counter that was there at every observation of one process, and never fell, has grown in a slot by the difference of its values at
the end of the slot and before it. Whatever is not that plain is for plimsoll.slo.sli.increments.
"""

from itertools import pairwise
from operator import gt
from typing import NamedTuple

from plimsoll.slo.calendar import slot_of
from plimsoll.slo.metrics.engine import SAME_START
from plimsoll.slo.sli.increments import MAX_GAP, Replica, baseline, is_derived
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.samples import Samples, Times


class _Shared(NamedTuple):
    """Of one tuple of times: the same as a set, and its slots with the index of the last time in each."""

    times: frozenset[float]
    slots: dict[int, int]


class Columns:
    """The columns of series that live as long as this."""

    def __init__(self) -> None:
        self._same: dict[Times, Times] = {}
        self._samples: dict[int, Samples] = {}
        self._shared: dict[int, _Shared] = {}
        self._steady: dict[int, Times | None] = {}

    def times(self, item: Series) -> frozenset[float]:
        """Return when a series was read: one object for all series with the same times."""
        return self._of(self._columns(item).times).times

    def slots(self, item: Series) -> frozenset[int]:
        """Return the slots in which a series was read."""
        return frozenset(self._of(self._columns(item).times).slots)

    def steady_growth(self, item: Series, replica: Replica) -> list[tuple[float, float]] | None:
        """Return (time, growth) of a counter, one entry per slot that saw growth; None for what isn't plain.

        `replica` lives as long as this, and values are whole numbers: a difference is the sum of the increments in between.
        """
        samples = self._columns(item)
        if samples.times is not self._observed(replica) or any(map(gt, samples.values, samples.values[1:])):
            return None
        before = baseline(samples.values[0], *replica.observed[0], None, is_derived(item))
        found = []
        for last in self._of(samples.times).slots.values():
            value = samples.values[last]
            if value > before:
                found.append((samples.times[last], value - before))
                before = value
        return found

    def _columns(self, item: Series) -> Samples:
        found = self._samples.get(id(item))
        if found is None:
            found = Samples.of(item.samples, {})
            same = self._same.setdefault(found.times, found.times)
            found = self._samples[id(item)] = found if same is found.times else Samples(same, found.values)
        return found

    def _of(self, times: Times) -> _Shared:
        found = self._shared.get(id(times))
        if found is None:
            slots = {slot_of(at): index for index, at in enumerate(times)}
            found = self._shared[id(times)] = _Shared(frozenset(times), slots)
        return found

    def _observed(self, replica: Replica) -> Times | None:
        """Return the times of a replica whose observations are of one process and have no gap; None for any other."""
        if id(replica) not in self._steady:
            steady = all(
                at - before <= MAX_GAP and abs(start - last) <= SAME_START
                for (before, last), (at, start) in pairwise(replica.observed)
            )
            times = tuple([at for at, _ in replica.observed])
            self._steady[id(replica)] = self._same.setdefault(times, times) if steady and times else None
        return self._steady[id(replica)]
