"""A pool's queue, KV cache, replicas and nodes over the time of each slot: the replicas' gauges combined."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from math import ceil, fsum, isfinite
from operator import add
from typing import Any, NamedTuple

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.metrics import KV_CACHE_USAGE, REQUESTS_WAITING, Metric
from plimsoll.slo.sli.increments import Unit
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.sources import Series


class Step(NamedTuple):
    """A change at a moment: of the waiting requests, the replicas that report them, and the replicas that are observed."""

    at: float
    waiting: float
    reporting: int
    watched: int


def readings(items: Iterable[Series], metric: Metric, join: Callable[[float, float], float]) -> dict[float, float]:
    """Return a gauge of one replica by time, its ranks joined; values that aren't finite count as missing."""
    found: dict[float, float] = {}
    for item in items:
        if item.name == metric.name:
            for at, value in dict(item.samples).items():
                if isfinite(value):
                    found[at] = join(found[at], value) if at in found else value
    return found


def gauges(observed: Observed, replicas_per_node: int) -> dict[int, dict[str, Any]]:
    """Return per slot waiting_max, waiting_mean, kv_cache_usage_max, kv_cache_usage_mean, replicas, and nodes, if known."""
    steps: list[Step] = []
    usage: dict[int, dict[Unit, list[tuple[float, float]]]] = defaultdict(dict)  # (value, seconds) of slot and replica
    low, high = observed.slots[0], observed.slots[-1] + SLOT
    for unit, replica in observed.fleet.items():
        waiting = readings(observed.series[unit], REQUESTS_WAITING, add)
        kv = readings(observed.series[unit], KV_CACHE_USAGE, max)
        for _, (since, at) in replica.stretches:
            if at <= low or since >= high:
                continue
            begin, end = max(since, low), min(at, high)
            if begin >= end:
                continue
            value, reports = waiting.get(at, 0.0), int(at in waiting)
            steps += [Step(begin, value, reports, 1), Step(end, -value, -reports, -1)]
            used = kv.get(at)
            for slot, seconds in _slices(begin, end):
                mine = usage[slot].setdefault(unit, [])
                if used is not None:
                    mine.append((used, seconds))
    found: dict[int, dict[str, Any]] = {
        slot: _of_usage(list(by_replica.values())) for slot, by_replica in usage.items()
    }
    for slot, pieces in _sweep(steps, observed.slots).items():
        found[slot] |= _of_pieces(pieces, replicas_per_node)
    return found


def _slices(begin: float, end: float) -> Iterator[tuple[int, float]]:
    """Cut a stretch into (slot, seconds in it)."""
    while begin < end:
        slot = int(begin // SLOT) * SLOT
        yield slot, min(end, slot + SLOT) - begin
        begin = float(slot + SLOT)


def _sweep(steps: Iterable[Step], slots: Sequence[int]) -> dict[int, list[Step]]:
    """Add the steps up along time; return per slot each piece in which any was observed, with its seconds as `at`."""
    ordered = sorted([*steps, *(Step(float(edge), 0.0, 0, 0) for edge in (*slots, slots[-1] + SLOT))])
    found: dict[int, list[Step]] = defaultdict(list)
    waiting, reporting, watched = 0.0, 0, 0
    for step, following in pairwise(ordered):
        waiting, reporting, watched = waiting + step.waiting, reporting + step.reporting, watched + step.watched
        if watched and following.at > step.at:
            found[int(step.at // SLOT) * SLOT].append(Step(following.at - step.at, waiting, reporting, watched))
    return found


def _of_usage(replicas: Sequence[Sequence[tuple[float, float]]]) -> dict[str, float]:
    """Return a slot's usage; nothing where one replica reports none. Sums by fsum, as their order must not matter."""
    if not all(replicas):
        return {}
    parts = [part for replica in replicas for part in replica]
    mean = fsum(value * seconds for value, seconds in parts) / fsum(seconds for _, seconds in parts)
    return {"kv_cache_usage_max": round(max(value for value, _ in parts), 6), "kv_cache_usage_mean": round(mean, 6)}


def _of_pieces(pieces: Sequence[Step], each: int) -> dict[str, float]:
    seconds = fsum(piece.at for piece in pieces)
    found = {
        "replicas": round(fsum(piece.at * piece.watched for piece in pieces) / seconds, 6),
        "nodes": round(fsum(piece.at * ceil(piece.watched / each) for piece in pieces) / seconds, 6),
    }
    complete = [piece for piece in pieces if piece.reporting == piece.watched]
    if complete:
        mean = fsum(piece.at * piece.waiting for piece in complete) / fsum(piece.at for piece in complete)
        found |= {"waiting_max": max(piece.waiting for piece in complete), "waiting_mean": round(mean, 6)}
    return found
