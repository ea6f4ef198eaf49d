"""What was observed of a pool's replicas around some slots, and what an SLO counts in it. Pure.

Each replica is counted once, whatever reads it (plimsoll.slo.sli.duplicates). What can't be costs a replica its own numbers, and is in `problems`:

- An odd sample (plimsoll.slo.sli.soundness), or a histogram without its count: the scrape is none for that series, and the next one makes up for it.
- More good than total requests in a slot: this replica is known, but not observed, in the slot.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence, Set
from itertools import chain
from typing import NamedTuple

from plimsoll.slo.calendar import SLOT, slot_of
from plimsoll.slo.sli.columns import Columns
from plimsoll.slo.sli.data_problem import DataProblem
from plimsoll.slo.sli.duplicates import counted_once, target_text
from plimsoll.slo.sli.evidence import Counting, Way, best
from plimsoll.slo.sli.increments import (
    MAX_GAP,
    SIMULATED,
    Interval,
    Replica,
    SlotCount,
    Unit,
    covered_seconds,
    increments,
    is_derived,
    replicas,
    unit,
    without,
)
from plimsoll.slo.sli.lives import Life
from plimsoll.slo.sli.roles import PREFILL
from plimsoll.slo.sli.soundness import sound
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Selector

Sums = dict[int, list[float]]  # slot -> good, total, indeterminate


class _Part(NamedTuple):
    """What one life of a replica gives to a count: its kind of evidence, the requests by slot, and the slots in which these are impossible;
    the series, and the scrapes that don't count."""

    life: Life
    source: str
    sums: Sums
    impossible: frozenset[int]
    series: list[Series]
    skipped: frozenset[float] = frozenset()


class Observed:
    """What was observed of a pool's replicas around some slots, computed once for all SLOs that count it.

    `fleet` has the replicas' observations and `series` everything that was read, both by replica; `problems` what was found wrong
    so far. What is given as `series` must reach MAX_GAP beyond the slots (consecutive ones, in order) on both sides.
    """

    def __init__(self, series: Sequence[Series], slots: Sequence[int]) -> None:
        self.slots = slots
        once = counted_once(series)
        found = sound(once.series)
        self.odd, self._ignored = found.odd, once.ignored
        self.problems: list[DataProblem] = [*found.problems, *(one.problem() for one in once.duplicates)]
        self.fleet = replicas(found.series)
        self.series: dict[Unit, list[Series]] = defaultdict(list)
        for item in found.series:
            self.series[unit(item.labels)].append(item)
        # What many SLOs share, by the `id` of lives and series, which live as long as this.
        self._watched: dict[tuple[int, frozenset[float], frozenset[int]], tuple[Interval, ...]] = {}
        self._covered: dict[tuple[tuple[int, ...], ...], dict[int, float]] = {}
        self._grown: dict[tuple[int, frozenset[float]], list[tuple[int, float, float]]] = {}
        self._numbers: dict[Hashable, dict[int, int]] = {}
        self._matching: dict[tuple[int, Selector], list[Series]] = {}
        self._columns = Columns()
        self._lives = {key: self._lives_of(key, replica) for key, replica in self.fleet.items()}
        self._name = {id(one): dict(key).get("replica", "") for key, lives in self._lives.items() for one in lives}
        times = {life.times for lives in self._lives.values() for life in lives}
        self._slots_seen = {some: {slot_of(at) for at in some} for some in times}

    def _lives_of(self, key: Unit, replica: Replica) -> list[Life]:
        """Part a replica's series by its processes: a restart may bring other bounds, or the plugin."""
        found, lives = [], replica.lives()
        for times in lives:
            alone = len(lives) == 1
            mine = [item for item in self.series[key] if alone or not times.isdisjoint(self._times(item))]
            found.append(Life.of(times, mine))
        return found

    def _times(self, item: Series) -> frozenset[float]:
        """Return when a series was read, odd samples included."""
        read = self._columns.times(item)
        return read | self.odd[id(item)] if id(item) in self.odd else read

    def slots_read(self, item: Series) -> Set[int]:
        """Return the slots in which a series has a sample that isn't odd."""
        return self._columns.slots(item)

    def count(self, ways: Sequence[Way]) -> list[SlotCount]:
        """Count an objective's good and total requests in each slot, each life of a replica by the best evidence that it offers.

        A slot in which no replica was observed has 0 of 0 requests and 0 seconds covered: unknown.
        """
        sums: Sums = defaultdict(lambda: [0.0, 0.0, 0.0])
        used: dict[int, set[str]] = defaultdict(set)
        found = [(replica, self._parts(key, replica, ways)) for key, replica in self.fleet.items()]
        # A prefill engine without evidence isn't missing: decode counts.
        counted = [(replica, mine) for replica, mine in found if mine or replica.role != PREFILL]
        for replica, part in ((replica, part) for replica, mine in counted for part in mine):
            for slot in self._slots_seen[part.life.times]:
                used[slot] |= {part.source, SIMULATED} if replica.simulated else {part.source}
            for slot, values in part.sums.items():
                sums[slot] = [one + other for one, other in zip(sums[slot], values, strict=True)]
        covered, known = self._covered_seconds(counted), self._knowledge(part for _, mine in counted for part in mine)
        return [
            SlotCount(
                slot,
                round(sums[slot][0]),
                round(sums[slot][1]),
                covered[slot],
                "+".join(sorted(used[slot])),
                round(sums[slot][2]),
                *known[slot],
            )
            for slot in self.slots
        ]

    def _parts(self, key: Unit, replica: Replica, ways: Sequence[Way]) -> list[_Part]:
        offered = ((life, best(ways, life.offers)) for life in self._lives[key])
        return [self._part(key, replica, life, found) for life, found in offered if found is not None]

    def _part(self, key: Unit, replica: Replica, life: Life, counting: Counting) -> _Part:
        """Count one life. Slots with more good than total requests are left out."""
        series = list({id(one): one for selector in counting.selectors for one in self._match(life, selector)}.values())
        skipped = self._skipped(key, life, counting, series)
        sums = self._sums(counting, life, _except(replica, skipped), skipped)
        impossible = {slot for slot, (good, total, more) in sums.items() if not (0 <= good <= total - more <= total)}
        for slot in impossible:
            good, total, more = sums.pop(slot)
            if slot in self.slots:
                self.problems.append(_impossible(key, slot, (good, total, more)))
        return _Part(life, counting.source, sums, frozenset(impossible), series, skipped)

    def _stretches(self, replica: Replica, part: _Part) -> tuple[Interval, ...]:
        """Return the stretches of time that a part observed."""
        key = id(part.life), part.skipped, part.impossible
        if key not in self._watched:
            seen = _except(replica, part.skipped)
            mine = (stretch for _, stretch in seen.stretches if stretch[1] in part.life.times)
            cut = (piece for one in mine for piece in without(one, part.impossible)) if part.impossible else mine
            self._watched[key] = tuple(cut)
        return self._watched[key]

    def _match(self, life: Life, selector: Selector) -> list[Series]:
        key = id(life), selector
        if key not in self._matching:
            named = life.named.get(selector.name, ())
            self._matching[key] = [item for item in named if selector.matches(item.name, item.labels)]
        return self._matching[key]

    def _skipped(self, key: Unit, life: Life, counting: Counting, series: Sequence[Series]) -> frozenset[float]:
        """Return the scrapes that don't count: those with an odd sample of the series, or with a histogram that has no count."""
        skipped = frozenset[float]().union(*(self.odd.get(id(item), ()) for item in series)) & life.times
        if not counting.by_histogram:
            return skipped
        buckets, counts = (
            self._histograms(life, some) for some in ((*counting.good, *(counting.most or ())), counting.total)
        )
        torn = {at for one in {*buckets, *counts} for at in _unlike(buckets.get(one), counts.get(one))}
        torn = (torn & life.times) - skipped
        if torn:
            at = min(torn)
            message = f"{len(torn)} scrapes have buckets without their count, or the reverse. They aren't counted."
            fix = "Check that the source answers in full, and the metrics page of the exporter."
            where = f"{counting.total[0].name} of {_replica_text(key)}"
            self.problems.append(DataProblem("histogram_incomplete", where, message, fix, slot_of(at)))
        return skipped | torn

    def _histograms(
        self, life: Life, selectors: Iterable[Selector]
    ) -> dict[frozenset[tuple[str, str]], list[frozenset[float]]]:
        """Return the times of each selected series, by the histogram that it is a part of."""
        found: dict[frozenset[tuple[str, str]], list[frozenset[float]]] = defaultdict(list)
        for selector in selectors:
            for item in self._match(life, selector):
                found[frozenset(pair for pair in item.labels.items() if pair[0] != "le")].append(self._times(item))
        return found

    def _sums(self, counting: Counting, life: Life, seen: Replica, skipped: frozenset[float]) -> Sums:
        """Add the increments of a life. `without` is subtracted from `good` only if `good` selects anything."""
        plus = (counting.good, counting.total, counting.most or ())
        minus = (
            (*counting.without, *counting.bad) if counting.good else (),
            counting.without,
            (counting.good or counting.without) if counting.most else (),
        )
        sums: Sums = defaultdict(lambda: [0.0, 0.0, 0.0])
        for sign, groups in ((1, plus), (-1, minus)):
            for index, selectors in enumerate(groups):
                for item in {id(one): one for selector in selectors for one in self._match(life, selector)}.values():
                    for slot, by, at in self._growth(item, seen, skipped):
                        if at in life.times:
                            sums[slot][index] += sign * by
        return sums

    def _covered_seconds(self, counted: Sequence[tuple[Replica, Sequence[_Part]]]) -> dict[int, float]:
        fleet = [replica for replica, _ in counted]
        watched = [[self._stretches(one, part) for part in parts] for one, parts in counted]
        key = tuple((id(one), *map(id, some)) for one, some in zip(fleet, watched, strict=True))
        if key not in self._covered:
            joined = [list(chain.from_iterable(stretches)) for stretches in watched]
            self._covered[key] = covered_seconds(zip(fleet, joined, strict=True), self.slots)
        return self._covered[key]

    def knowledge(self) -> dict[int, tuple[int, int]]:
        """Return per slot the scrapes of replicas, and the samples of all their series, that bear on it."""
        lives = (life for lives in self._lives.values() for life in lives)
        return self._knowledge([_Part(life, "", {}, frozenset(), life.series) for life in lives])

    def _knowledge(self, parts: Iterable[_Part]) -> dict[int, tuple[int, int]]:
        found, names = dict.fromkeys(self.slots, (0, 0)), set[str]()
        for part in parts:
            names.add(self._name[id(life := part.life)])
            scrapes = self._numbers_of((id(life), 0, part.skipped), life.times - part.skipped)
            samples = [self._samples_of(life, item) for item in part.series]
            each, alike = {id(one): one for one in samples}, Counter(map(id, samples))
            for slot, (some, more) in found.items():
                read = sum(each[key][slot] * number for key, number in alike.items())
                found[slot] = some + scrapes[slot], more + read
        # Which of several views of a replica counts may change with another sample; how much was read in all only grows.
        ignored = [self._numbers_of(name, self._ignored[name]) for name in names & self._ignored.keys()]
        return {slot: (some + sum(one[slot] for one in ignored), more) for slot, (some, more) in found.items()}

    def _samples_of(self, life: Life, item: Series) -> dict[int, int]:
        times = self._times(item)
        shared = id(item) not in self.odd  # then the set of times is one for all series that have these times
        key = (id(life), id(times) if shared else id(item), shared)
        return self._numbers[key] if key in self._numbers else self._numbers_of(key, life.times & times)

    def _numbers_of(self, key: Hashable, times: Iterable[float]) -> dict[int, int]:
        """Return per slot how many of the times bear on it: those in it, and up to MAX_GAP before and after."""
        if key not in self._numbers:
            ordered = sorted(times)
            self._numbers[key] = {
                slot: bisect_right(ordered, slot + SLOT + MAX_GAP) - bisect_right(ordered, slot - MAX_GAP)
                for slot in self.slots
            }
        return self._numbers[key]

    def odd_slots(self, item: Series) -> set[int]:
        """Return the slots of a series' odd samples, and those that hold what grew since: its numbers there aren't known."""
        if id(item) not in self.odd:
            return set()
        odd, times = self.odd[id(item)], [at for at, _ in item.samples]
        following = (next((at for at in times if at > one), one) for one in odd)
        return {slot_of(at) for at in chain(odd, following)}

    def grown(self, item: Series, replica: Replica) -> list[tuple[int, float]]:
        """Return (slot, growth) of one counter series of a replica, one or more entries per slot that saw growth."""
        return [(slot, by) for slot, by, _ in self._growth(item, replica, frozenset())]

    def _growth(self, item: Series, replica: Replica, skipped: frozenset[float]) -> list[tuple[int, float, float]]:
        key = id(item), skipped
        if key not in self._grown:
            steady = None if skipped else self._columns.steady_growth(item, replica)
            grown = increments(item.samples, replica, is_derived(item)) if steady is None else steady
            self._grown[key] = [(slot_of(at), by, at) for at, by in grown]
        return self._grown[key]


def _except(replica: Replica, skipped: frozenset[float]) -> Replica:
    return Replica([one for one in replica.observed if one[0] not in skipped]) if skipped else replica


def _unlike(buckets: Sequence[frozenset[float]] | None, counts: Sequence[frozenset[float]] | None) -> frozenset[float]:
    """Return the times at which a histogram has some of its series and not the others."""
    every = [*(buckets or ()), *(counts or ())]
    return frozenset.union(*every) - (frozenset.intersection(*every) if buckets and counts else frozenset())


def _replica_text(key: Unit) -> str:
    return f"replica {dict(key).get('replica', '?')} ({target_text(key)})"


def _impossible(key: Unit, slot: int, counted: tuple[float, float, float]) -> DataProblem:
    good, total, indeterminate = counted
    more = f" and {indeterminate:,.0f} that may be good" if indeterminate else ""
    message = f"{good:,.0f} good requests{more} of {total:,.0f}. The replica isn't counted in this slot."
    fix = (
        "Check the metrics page of the engine and its exporter: a histogram's buckets and count contradict each other."
    )
    return DataProblem("contradictory_counts", _replica_text(key), message, fix, slot)
