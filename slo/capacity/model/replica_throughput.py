"""What each replica of a pool can carry: by its own measurement where replicas are unlike (another GPU, other batch limits).

A replica that was full for a minute is measured by itself. While all that were lie close together they are taken to be alike,
as the rest is noise, and one number stands for all of them. Otherwise each counts as it was measured; those that never were,
and nodes to come, count as the median of the measured (of an even number the lower: what is unknown is not taken for good).

Autoscalers choose which node leaves. So as many replicas as n are evaluated as the n weakest: whichever go, that much is left.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from statistics import median, median_low
from typing import Literal

ALIKE = 1.25  # strongest over weakest measurement up to which replicas are alike: bursts of other requests do that much
OWN_SECONDS = 60.0  # a replica must have been full that long to be measured by itself
Origin = Literal["measured", "measured_earlier", "pool_median", "pool_common"]
MEASURED: Origin = "measured"  # while it was saturated
EARLIER: Origin = "measured_earlier"  # rescaled by the replicas that were measured again
MEDIAN: Origin = "pool_median"  # never saturated for a minute: median of those measured
COMMON: Origin = "pool_common"  # replicas are alike: one number for the pool


@dataclass(frozen=True, slots=True)
class ReplicaThroughput:
    """What replicas can do when full, in tokens per second. `typical` is one of which nothing of its own is known (None: nothing
    is known at all), `measured` are those that differ, by name, `present` the names of all that are there."""

    typical: float | None = None
    measured: Mapping[str, float] = field(default_factory=dict)
    present: tuple[str, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)

    def of(self, name: str) -> float:
        """Tokens per second of one replica."""
        return self.measured.get(name, self.typical or 0.0)

    def together(self, names: Iterable[str]) -> float:
        """Tokens per second of these replicas."""
        return sum(map(self.of, names))

    @property
    def mean(self) -> float:
        """Tokens per second of a replica, in the mean of those present."""
        return self.together(self.present) / len(self.present) if self.present else self.typical or 0.0

    @property
    def strongest(self) -> float:
        """Throughput of the fastest present replica in tokens/s: the largest possible loss."""
        return max(map(self.of, self.present), default=self.typical or 0.0)

    def least(self, count: int) -> float:
        """Return the lowest throughput of `count` replicas in tokens/s: the slowest present ones, then new ones."""
        return sum(self._weakest()[:count]) + max(0, count - len(self.present)) * (self.typical or 0.0)

    def count_for(self, rate: float) -> int:
        """Return the number of replicas that reach `rate` tokens/s, even if they are the slowest; 0 while nothing is known."""
        if not self.typical:
            return 0
        total = 0.0
        for count, each in enumerate(self._weakest()):
            if total >= rate:
                return count
            total += each
        return len(self.present) + max(0, ceil((rate - total) / self.typical))

    def weakest_first(self) -> list[str]:
        """Name the replicas in the order in which they are best released."""
        return sorted(self.present, key=lambda name: (self.of(name), name))

    def _weakest(self) -> list[float]:
        return [self.of(name) for name in self.weakest_first()]


def measure(
    present: Sequence[str], common: float | None, fresh: Mapping[str, float], before: Mapping[str, float]
) -> ReplicaThroughput:
    """Measure the replicas that are `present`. `common` is what all together were measured to do, each; `fresh` and `before` (known
    from earlier) are replicas' own measurements, in tokens per second.

    What a token costs changes with the traffic. So earlier ones stand only beside some that were measured again, and are
    scaled as those changed; or as they are, while nothing at all was measured again.
    """
    again = [fresh[name] / before[name] for name in fresh.keys() & before.keys() if fresh[name] and before[name]]
    if again or not fresh:
        change = median(again) if again else 1.0
        own = {name: value * change for name, value in before.items() if name in present} | dict(fresh)
    else:
        own = dict(fresh)
    if len(own) < 2 or max(own.values()) <= ALIKE * min(own.values()):
        return ReplicaThroughput(common, {}, tuple(present), dict.fromkeys(present, COMMON))
    origins: dict[str, Origin] = {
        name: MEASURED if name in fresh else EARLIER if name in own else MEDIAN for name in present
    }
    return ReplicaThroughput(median_low(own.values()), own, tuple(present), origins)
