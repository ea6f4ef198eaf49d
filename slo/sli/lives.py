"""One process of a replica as it was observed, and its series by name."""

from collections import defaultdict
from typing import NamedTuple

from plimsoll.slo.sli.evidence import Sample
from plimsoll.slo.sources import Series


class Life(NamedTuple):
    """One process of a replica: the times at which it was read, the series that its pages had, all and by name, and their names and labels."""

    times: frozenset[float]
    series: list[Series]
    named: dict[str, list[Series]]
    offers: list[Sample]

    @classmethod
    def of(cls, times: frozenset[float], series: list[Series]) -> "Life":
        """Return the life with these times and series."""
        named: dict[str, list[Series]] = defaultdict(list)
        for item in series:
            named[item.name].append(item)
        return cls(times, series, dict(named), [(item.name, item.labels) for item in series])
