"""Samples in little memory: a fleet of 1,600 replicas has ten million of them in half an hour."""

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, overload

Sample = tuple[float, float]  # Unix seconds, value
Times = tuple[float, ...]
Pairs = tuple[tuple[str, str], ...]  # a series' labels, in order of name
NONE: "array[float]" = array("d")


class Samples(Sequence[Sample]):
    """(Unix seconds, value) in order of time, as two columns of one length. Equal to a list of the same.

    Series that were read together share one tuple of `times`, and can be compared by it.
    """

    __slots__ = ("times", "values")

    def __init__(self, times: Times = (), values: "array[float]" = NONE) -> None:
        self.times, self.values = times, values

    @classmethod
    def of(cls, samples: Iterable[Sample], shared: dict[Times, Times]) -> "Samples":
        """Return samples as columns. `shared` holds the times of others, to which these are added."""
        if isinstance(samples, cls):
            return samples
        pairs = list(samples)
        times = tuple([at for at, _ in pairs])
        return cls(shared.setdefault(times, times), array("d", [value for _, value in pairs]))

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[Sample]:
        return zip(self.times, self.values, strict=True)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "Samples": ...
    def __getitem__(self, index: int | slice) -> "Sample | Samples":
        if isinstance(index, slice):
            return Samples(self.times[index], self.values[index])
        return self.times[index], self.values[index]

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Samples | list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))


class Shared:
    """What series that are read together have in common: their times, and the pairs of their labels."""

    def __init__(self) -> None:
        self.times: dict[Times, Times] = {}
        self._pairs: dict[tuple[str, str], tuple[str, str]] = {}

    def pairs(self, labels: Mapping[str, str]) -> Pairs:
        """Return a series' labels in order of name. A pair is one object for all series that have it: names and values of a fleet's
        labels would take more memory than its samples."""
        known = self._pairs
        return tuple([known.setdefault(pair, pair) for pair in sorted(labels.items())])


class Line(NamedTuple):
    """One series as it was read: sample name, labels, and its samples, NaN included."""

    name: str
    labels: dict[str, str]
    samples: Samples

    @property
    def has_nan(self) -> bool:
        """Whether a sample is NaN."""
        return math.isnan(sum(self.samples.values))  # so is the sum of two infinite ones; then all are looked at


class Window:
    """Cuts a span of time (start < time <= end) out of samples. What shared its times still does."""

    def __init__(self, start: float, end: float) -> None:
        self._span = start, end
        self._cuts: dict[int, tuple[Times, int, int, Times]] = {}

    def cut(self, samples: Samples) -> Samples:
        """Return the samples within the span."""
        found = self._cuts.get(id(samples.times))
        if found is None:
            low, high = (bisect_right(samples.times, edge) for edge in self._span)
            found = self._cuts[id(samples.times)] = (samples.times, low, high, samples.times[low:high])
        _, low, high, times = found
        return samples if len(times) == len(samples) else Samples(times, samples.values[low:high])


class _Made(NamedTuple):
    """What two tuples of times come to: how much of the old ones stays, from where on they are replaced, whether the new ones begin with
    what they replace, and the joined times. The old and new ones live as long as this, for their `id`."""

    old: Times
    new: Times
    low: int
    high: int
    same: bool
    times: Times


class Merge:
    """Puts new samples in place of the old ones after a moment. What shared its times still does."""

    def __init__(self, oldest: float, after: float) -> None:
        """Old samples up to `oldest` are left out; those after `after` are replaced (Unix seconds)."""
        self._edges = oldest, after
        self._made: dict[tuple[int, int], _Made] = {}

    def join(self, old: Samples, new: Samples) -> tuple[Samples, float]:
        """Return the joined samples, and the time of the earliest that is new, different or missing (infinite: none)."""
        made = self._made.get((id(old.times), id(new.times))) or self._make(old.times, new.times)
        joined = Samples(made.times, old.values[made.low : made.high] + new.values)
        replaced = old.values[made.high :]
        if made.same and new.values[: len(replaced)] == replaced:
            return joined, new.times[len(replaced)] if len(replaced) < len(new.times) else math.inf
        return joined, _difference(Samples(old.times[made.high :], replaced), new)

    def _make(self, old: Times, new: Times) -> _Made:
        low, high = (bisect_right(old, edge) for edge in self._edges)
        high = max(low, high)
        same = new[: len(old) - high] == old[high:]
        made = self._made[id(old), id(new)] = _Made(old, new, low, high, same, old[low:high] + new)
        return made


def _difference(old: Samples, new: Samples) -> float:
    same = len(old)
    if new.times[:same] != old.times or new.values[:same] != old.values:
        same = next(
            (i for i, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(same, len(new))
        )
    return min([*old.times[same : same + 1], *new.times[same : same + 1]], default=math.inf)
