"""Samples that no counter or gauge can have. Each costs itself, is named, and nothing else. Pure.

A sample is odd if it is not finite, negative, beyond MOST, a ratio above MOST_RATIO, no whole number where events are counted, more than
FASTEST events per second above the sample before it, or a start more than AHEAD after it was read.
"""

from collections.abc import Iterable
from functools import lru_cache
from math import isfinite
from operator import sub
from typing import NamedTuple

from plimsoll.slo import metrics
from plimsoll.slo.calendar import rfc3339, slot_of
from plimsoll.slo.sli.data_problem import DataProblem
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.samples import Samples, Times

MOST = 2.0**53  # beyond it a float doesn't hold every whole number, so sums would not be exact
MOST_RATIO = 1.01  # engines round
AHEAD = 3600.0  # seconds: no process starts after it was read, but clocks differ
FASTEST = 1e8  # events per second: hundreds of times the tokens of any replica
REAL_UNITS = ("_seconds_total", "_joules_total")  # counters of something that is not counted in whole numbers


class _Rule(NamedTuple):
    most: float
    whole: bool


def _rules() -> dict[str, _Rule]:
    found: dict[str, _Rule] = {}
    for metric in metrics.ALL:
        if metric.kind == "histogram":
            found |= {metric.bucket: _Rule(MOST, True), metric.count: _Rule(MOST, True)}
        elif metric.kind == "counter":
            found[metric.name] = _Rule(MOST, not metric.name.endswith(REAL_UNITS))
        else:
            found[metric.name] = _Rule(MOST_RATIO if metric.name.endswith("_ratio") else MOST, False)
    return found


_RULES, _ANY = _rules(), _Rule(MOST, False)


def odd_samples(item: Series) -> dict[float, float]:
    """Return the odd samples of a series: time -> value."""
    (most, whole), odd = _RULES.get(item.name, _ANY), dict[float, float]()
    if isinstance(item.samples, Samples) and _plain(item.name, item.samples, most, whole):
        return odd
    last_at, last = 0.0, MOST  # of the last sample that isn't odd
    for at, value in item.samples:
        ahead = item.name == metrics.REPLICA_START.name and value > at + AHEAD
        if ahead or not 0 <= value <= most or (whole and (value % 1 or value - last > FASTEST * (at - last_at) > 0)):
            odd[at] = value
        else:
            last_at, last = at, value
    return odd


def _plain(name: str, samples: Samples, most: float, whole: bool) -> bool:
    """Whether no sample is odd, by the extremes of all of them."""
    times, values = samples.times, samples.values
    if not times or not isfinite(sum(values)) or min(values) < 0 or max(values) > most:
        return False
    if name == metrics.REPLICA_START.name:
        return max(values) <= times[0] + AHEAD
    if not whole:
        return True
    slowest = FASTEST * _shortest(times)
    return all(map(float.is_integer, values)) and 0 < slowest >= max(map(sub, values[1:], values), default=0.0)


@lru_cache(1024)  # most of a fleet's series share the times of their replica's page
def _shortest(times: Times) -> float:
    """Return the seconds between the two times that are the closest to each other."""
    return min(map(sub, times[1:], times), default=1.0)


class Sound(NamedTuple):
    """Series without their odd samples, and the times of these by the series' `id`. A series of odd samples alone stays, empty."""

    series: list[Series]
    odd: dict[int, frozenset[float]]
    problems: list[DataProblem]


def sound(series: Iterable[Series]) -> Sound:
    """Take the odd samples out of series."""
    found = Sound([], {}, [])
    for item in series:
        odd = odd_samples(item)
        clean = item
        if odd:
            clean = Series(item.name, item.labels, [sample for sample in item.samples if sample[0] not in odd])
            found.odd[id(clean)] = frozenset(odd)
            found.problems.append(_problem(item, odd))
        found.series.append(clean)
    return found


def _problem(item: Series, odd: dict[float, float]) -> DataProblem:
    at, value = next(iter(odd.items()))
    labels = ", ".join(f"{name}={value}" for name, value in sorted(item.labels.items()))
    more = f" and {len(odd) - 1} more samples" if len(odd) > 1 else ""
    message = f"{value!r} at {rfc3339(at)}{more} can't be a value of this metric. It isn't counted."
    fix = "Check the metrics page of the engine and its exporter."
    return DataProblem("odd_sample", f"{item.name}{{{labels}}}", message, fix, slot_of(at))
