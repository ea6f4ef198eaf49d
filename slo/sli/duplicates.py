"""One replica that is read more than once: by two scrape jobs, by an HA pair of Prometheus servers, or by federation. Pure.

Views are of one process if they give the same name, model and start (to the last digit: engines report it with a hundredth of a second,
so two processes hardly share it), and if no counter of one contradicts the other's: counters of one process never fall, however
its scrapes interleave. Replicas that merely share a name differ in their start or their counters, and all of them count.

One view counts: the one with the most metrics, then the first by its labels, so that the choice is the same for every slot. Where it has a
gap, and before and after it, the others fill it. The clocks of two servers may differ by up to SKEW.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from plimsoll.slo import metrics
from plimsoll.slo.sli.data_problem import DataProblem
from plimsoll.slo.sli.increments import OWN_LABELS, SKEW, UNKNOWN_START, Unit, is_derived, unit
from plimsoll.slo.sli.soundness import odd_samples
from plimsoll.slo.sources import Series

_COUNTERS = {
    name
    for metric in metrics.ALL
    for name in ((metric.name,) if metric.kind == "counter" else (metric.bucket, metric.count))
    if metric.kind != "gauge"
}
Key = tuple[str, frozenset[tuple[str, str]]]  # of a series within its view


class Duplicate(NamedTuple):
    """A replica that several targets report at the same time: the one that counts, and the others."""

    replica: str
    model: str
    counted: Unit
    ignored: tuple[Unit, ...]

    def problem(self) -> DataProblem:
        """Return what to report of it."""
        targets = "; ".join(target_text(one) for one in (self.counted, *self.ignored))
        message = f"Replica {self.replica} is read {len(self.ignored) + 1} times and counted once. Targets: {targets}."
        fix = (
            "Scrape each exporter by one job, and deduplicate an HA pair (Thanos, Mimir). Alert rules and dashboards read "
            "Prometheus, which counts every copy."
        )
        return DataProblem("duplicate_target", f"replica {self.replica} of {self.model}", message, fix)


class Once(NamedTuple):
    """Series in which each replica is there once, what was found more than once, and by the name of a replica the times at which views
    were read that aren't among the series.
    """

    series: list[Series]
    duplicates: list[Duplicate]
    ignored: dict[str, list[float]]


class _View(NamedTuple):
    """A process as read through one target, in order of time."""

    unit: Unit
    times: list[float]
    series: dict[Key, Series]

    @property
    def rank(self) -> tuple[int, list[tuple[str, str]]]:
        return -len({name for name, _ in self.series}), sorted(self.unit)


def counted_once(series: Sequence[Series]) -> Once:
    """Leave each replica with one view of it. Needs REPLICA_START among the series."""
    named: dict[tuple[str, str], dict[Unit, Series]] = defaultdict(dict)
    for item in series:
        if item.name == metrics.REPLICA_START.name and "replica" in item.labels:
            named[item.labels["replica"], item.labels.get("model", "")][unit(item.labels)] = item
    shared = {name: starts for name, starts in named.items() if len(starts) > 1}
    if not shared:
        return Once(list(series), [], {})
    by_unit: dict[Unit, list[Series]] = defaultdict(list)
    for item in series:
        by_unit[unit(item.labels)].append(item)
    duplicates, unread = [], dict[str, list[float]]()
    for (replica, model), starts in shared.items():
        linked: list[set[Unit]] = []
        for views in _clusters(starts, by_unit):
            linked.append({view.unit for view in views})
            first, *others = sorted(views, key=lambda view: view.rank)
            _merge(first, others, by_unit)
            ignored = tuple(view.unit for view in others if _overlap(first, view))
            if ignored:
                duplicates.append(Duplicate(replica, model, first.unit, ignored))
        for units in _connected(linked):
            _join(units, by_unit)
        counted = (item for one in starts for item in by_unit[one] if item.name == metrics.REPLICA_START.name)
        rest = _times(starts.values()) - _times(counted)
        unread.setdefault(replica, []).extend(rest.elements())
    return Once([item for items in by_unit.values() for item in items if item.samples], duplicates, unread)


def _times(items: Iterable[Series]) -> Counter[float]:
    return Counter(at for item in items for at, _ in item.samples)


def _clusters(starts: dict[Unit, Series], by_unit: dict[Unit, list[Series]]) -> Iterator[list[_View]]:
    """Yield the views of each process that has several."""
    processes: dict[float, list[_View]] = defaultdict(list)
    for target, item in starts.items():
        times: dict[float, list[float]] = defaultdict(list)
        for at, start in dict(item.samples).items():
            times[start].append(at)
        for start, observed in ((start, observed) for start, observed in times.items() if start > UNKNOWN_START):
            processes[start].append(_view(target, sorted(observed), by_unit[target]))
    for views in processes.values():
        clusters: list[list[_View]] = []
        for view in views:
            same = next((cluster for cluster in clusters if _agree(cluster[0], view)), None)
            clusters.append([view]) if same is None else same.append(view)
        yield from (cluster for cluster in clusters if len(cluster) > 1)


def _view(target: Unit, times: list[float], items: Iterable[Series]) -> _View:
    low, high = times[0], times[-1]
    inside = {}
    for item in items:
        samples = [sample for sample in item.samples if low <= sample[0] <= high]
        if samples:
            inside[_key(item)] = Series(item.name, item.labels, samples)
    return _View(target, times, inside)


def _key(item: Series) -> Key:
    return item.name, frozenset(pair for pair in item.labels.items() if pair[0] in OWN_LABELS)


def _agree(one: _View, other: _View) -> bool:
    """Whether no counter of one contradicts the other's."""
    common = one.series.keys() & other.series.keys()
    counters = [key for key in common if key[0] in _COUNTERS and not is_derived(one.series[key])]
    return all(
        _between(a, b) and _between(b, a)
        for a, b in ((_sound(one.series[key]), _sound(other.series[key])) for key in counters)
    )


def _sound(item: Series) -> list[tuple[float, float]]:
    odd = odd_samples(item)
    return [sample for sample in item.samples if sample[0] not in odd]


def _between(samples: Sequence[tuple[float, float]], bounds: Sequence[tuple[float, float]]) -> bool:
    """Whether each sample is at least what the other counter was before it and at most what it is after it."""
    times = [at for at, _ in bounds]
    for at, value in samples:
        before, after = bisect_right(times, at - SKEW), bisect_left(times, at + SKEW)
        if before and value < bounds[before - 1][1]:
            return False
        if after < len(bounds) and value > bounds[after][1]:
            return False
    return True


def _overlap(one: _View, other: _View) -> bool:
    return one.times[0] <= other.times[-1] and other.times[0] <= one.times[-1]


def _merge(first: _View, others: Sequence[_View], by_unit: dict[Unit, list[Series]]) -> None:
    """Take the other views out of the series, and give the first one what they saw in its gaps."""
    mine = {_key(item): item for item in by_unit[first.unit]}
    seen = list(first.times)
    for other in others:
        gaps = [(low + SKEW, high - SKEW) for low, high in pairwise(seen)]
        fill = [at for at in other.times if any(low < at < high for low, high in gaps) or _beyond(first, other, at)]
        target = {name: value for name, value in first.unit if name != "replica"}
        for key, item in other.series.items():
            samples = [sample for sample in item.samples if sample[0] in set(fill)]
            if samples and key not in mine:
                own = {name: value for name, value in item.labels.items() if name in OWN_LABELS | {"replica"}}
                mine[key] = Series(item.name, target | own, [])
            if samples:
                mine[key] = Series(item.name, mine[key].labels, sorted({*mine[key].samples, *samples}))
        seen = sorted({*seen, *fill})
        _remove(other, by_unit)
    by_unit[first.unit] = list(mine.values())


def _connected(linked: Iterable[set[Unit]]) -> list[set[Unit]]:
    """Join the sets that have a unit in common."""
    found: list[set[Unit]] = []
    for units in linked:
        touching = [one for one in found if one & units]
        found = [*(one for one in found if one not in touching), units.union(*touching)]
    return found


def _join(units: set[Unit], by_unit: dict[Unit, list[Series]]) -> None:
    """Give one replica's processes one target, whichever were read by which: else its restart would look like another replica.

    Processes that ran at the same time are not one replica's: they stay apart.
    """
    home = min(units, key=sorted)
    target = {name: value for name, value in home if name != "replica"}
    joined: dict[Key, Series] = {}
    for item in (item for one in units for item in by_unit[one]):
        own = {name: value for name, value in item.labels.items() if name in OWN_LABELS | {"replica"}}
        before = joined[_key(item)].samples if _key(item) in joined else []
        joined[_key(item)] = Series(item.name, target | own, sorted([*before, *item.samples]))
    starts = [_sound(item) for (name, _), item in joined.items() if name == metrics.REPLICA_START.name]
    changes = [sum(one != other for (_, one), (_, other) in pairwise(samples)) for samples in starts]
    if all(count < len({start for _, start in samples}) for count, samples in zip(changes, starts, strict=True)):
        by_unit.update({one: [] for one in units} | {home: list(joined.values())})


def _beyond(first: _View, other: _View, at: float) -> bool:
    """Whether a view was read before or after all that the first one saw: by its time, and near the edge by its counters as well."""
    begin, end = first.times[0], first.times[-1]
    if begin <= at <= end:
        return False
    if at < begin:
        return at < begin - SKEW or _in_order(other, at, first, begin)
    return at > end + SKEW or _in_order(first, end, other, at)


def _in_order(one: _View, then: float, other: _View, now: float) -> bool:
    """Whether no counter of the other view is lower now than that of the first one was then."""
    for key in one.series.keys() & other.series.keys():
        before, after = dict(one.series[key].samples).get(then), dict(other.series[key].samples).get(now)
        if key[0] in _COUNTERS and before is not None and after is not None and before > after:
            return False
    return True


def _remove(view: _View, by_unit: dict[Unit, list[Series]]) -> None:
    low, high = view.times[0], view.times[-1]
    rest = [
        Series(item.name, item.labels, [sample for sample in item.samples if not low <= sample[0] <= high])
        for item in by_unit[view.unit]
    ]
    watched = any(item.name == metrics.REPLICA_START.name and item.samples for item in rest)
    by_unit[view.unit] = rest if watched else []


def target_text(target: Unit) -> str:
    """Write the target of a replica: its labels without the replica's own."""
    return ", ".join(f"{name}={value}" for name, value in sorted(target) if name != "replica") or "no labels"
