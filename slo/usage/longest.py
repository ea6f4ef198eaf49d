"""How long a request may take: what a replica that is to stop must be given to finish those that it has."""

from collections import defaultdict
from collections.abc import Iterable
from math import inf

from plimsoll.slo.metrics import DURATION
from plimsoll.slo.sli.increments import Unit, unit
from plimsoll.slo.sources import Series


def longest_request(series: Iterable[Series]) -> float | None:
    """Return the upper bound, in seconds, of the longest request since the replicas started: of each replica the lowest bucket bound that holds
    all of its requests, and of these the highest. Infinite: a request was longer than the last bound. None: no request has finished."""
    buckets: dict[Unit, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    for item in series:
        if item.name == DURATION.bucket and item.samples:
            buckets[unit(item.labels)][float(item.labels["le"])] += item.samples[-1][1]
    found = [_holds_all(counts) for counts in buckets.values() if counts.get(inf, 0) > 0]
    return max(found, default=None)


def _holds_all(counts: dict[float, float]) -> float:
    return min(bound for bound, count in counts.items() if count >= counts[inf])
