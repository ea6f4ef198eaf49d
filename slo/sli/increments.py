"""From raw samples to one slot: pure functions. Every source goes through here, so every source gives the same ledger.

How a request gets into a slot: a replica is *observed* at each scrape (its start time has a sample). Between
two observations no more than MAX_GAP apart each counter has grown by an exact number of requests, and that number is
recorded in the slot of the later observation. Resets, restarts and series that are born with a value are counted in full;
what a replica did in a longer gap, or between its last observation and a crash, is unknown: it isn't covered, and it is
neither good nor bad nor zero.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from plimsoll.slo import metrics
from plimsoll.slo.calendar import SLOT, slot_of
from plimsoll.slo.metrics import ABANDONED, REJECTED, REPLICA_INFO, REPLICA_START
from plimsoll.slo.sli.evidence import Counting, Sample, Way, best
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Selector

MAX_GAP = 300.0  # seconds; Prometheus' own look-back for a missed scrape (--query.lookback-delta)
SIMULATED = "simulated"
CLOCK_SKEW = 60.0  # seconds by which the clocks of an engine's host and of the source may differ
SAME_START = 1.0  # seconds; start times of one process may differ by a rounding, those of two processes do not

# Labels that our own metrics carry beside `replica`; other labels (instance, region, ...) identify the target.
OWN_LABELS = {label for metric in metrics.ALL for label in metric.labels} - {"replica"} | {"le"}

# Counters that the exporter works out as lower bounds (plimsoll.exporters.engines.derived), and withholds while they are uncertain: when one
# appears, part of it may have been counted before.
DERIVED = (Selector(ABANDONED.name, ()), Selector(REJECTED.name, (("reason", ("5xx",)),)))

Interval = tuple[float, float]
Unit = frozenset[tuple[str, str]]  # one replica as read through one target


@dataclass(frozen=True, slots=True)
class SlotCount:
    """What a slot holds for one objective: requests, seconds observed (0 to 300), kinds of evidence joined by `+`.

    SIMULATED among them marks a slot with requests of the demo fleet: it stays labeled. `good` is certainly good;
    `indeterminate` requests beside these may be good (plimsoll.slo.sli.bucket_bounds). With 0 of them the counts are exact.
    """

    slot: int
    good: int
    total: int
    covered_seconds: float
    source: str
    indeterminate: int = 0


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica's observations: [(time, start of its process)], in order of time; and whether its numbers are a model's."""

    observed: list[tuple[float, float]]
    simulated: bool = False

    def lives(self) -> list[frozenset[float]]:
        """Return the times of observation of each of its processes."""
        found: list[list[float]] = []
        previous: float | None = None
        for at, start in self.observed:
            if previous is None or abs(start - previous) > SAME_START:
                found.append([])
            found[-1].append(at)
            previous = start
        return [frozenset(times) for times in found]

    def stretches(self) -> Iterator[tuple[Interval, Interval]]:
        """Yield, per observation, the time it makes known and the part of that in which the counters were observed.

        A replica is known between two observations no more than MAX_GAP apart, and a young one since its process began.
        After a restart only the new process was observed: the old one's last counts are lost.
        """
        previous: tuple[float, float] | None = None
        for at, start in self.observed:
            if previous is not None and at - previous[0] <= MAX_GAP:
                before, same = previous[0], abs(start - previous[1]) <= SAME_START
                yield (before, at), (before if same else min(max(start, before), at), at)
            elif at - start <= MAX_GAP:
                yield (start, at), (start, at)
            previous = (at, start)


def unit(labels: Mapping[str, str]) -> Unit:
    """Return what identifies an observed replica: its name, and the labels of the target it was scraped from.

    The name alone would not do: every node may call its engine 127.0.0.1:8000.
    """
    return frozenset((label, value) for label, value in labels.items() if label not in OWN_LABELS)


def replicas(series: Iterable[Series]) -> dict[Unit, Replica]:
    """Collect the observations of every replica from the series REPLICA_START and REPLICA_INFO."""
    observed: dict[Unit, dict[float, float]] = defaultdict(dict)
    simulated: set[Unit] = set()
    for name, labels, samples in series:
        if name == REPLICA_START.name:
            observed[unit(labels)].update(samples)
        elif name == REPLICA_INFO.name and labels.get("simulated") == "true":
            simulated.add(unit(labels))
    return {key: Replica(_steady(sorted(times.items())), key in simulated) for key, times in observed.items()}


def _steady(observed: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Hold a replica's start until a process began after the last observation.

    An exporter that lost its memory reports 0 (unknown), and one that learns of an old process reports that: neither is a restart, after
    which everything would count again.
    """
    found: list[tuple[float, float]] = []
    for at, start in observed:
        began_before = bool(found) and start + CLOCK_SKEW < found[-1][0]
        found.append((at, found[-1][1] if began_before else start))
    return found


def is_derived(item: Series) -> bool:
    """Whether a counter is one of DERIVED."""
    return any(selector.matches(item.name, item.labels) for selector in DERIVED)


def covered_seconds(
    fleet: Iterable[tuple[Replica, Sequence[frozenset[float]]]], slots: Sequence[int]
) -> dict[int, float]:
    """Return per slot its observed time: the integral of (replicas observed / replicas known) over its 300 seconds.

    With each replica come the lives in which it offers the evidence that is needed; in others it is known, but not observed.
    """
    low, high = float(slots[0]), float(slots[-1] + SLOT)
    changes = [(float(edge), 0, 0) for edge in range(slots[0], slots[-1] + SLOT + 1, SLOT)]
    for replica, lives in fleet:
        for known, watched in replica.stretches():
            changes += _steps(known, low, high, 0, 1)
            changes += _steps(watched, low, high, 1, 0) if any(known[1] in life for life in lives) else []
    changes.sort()
    found: dict[int, float] = defaultdict(float)
    watching, knowing = 0, 0
    for (at, watched_step, known_step), (until, _, _) in pairwise(changes):
        watching, knowing = watching + watched_step, knowing + known_step
        if knowing and until > at:
            found[int(at // SLOT) * SLOT] += (until - at) * watching / knowing
    return {slot: round(found[slot], 3) for slot in slots}


def _steps(stretch: Interval, low: float, high: float, watched: int, known: int) -> list[tuple[float, int, int]]:
    begin, end = max(stretch[0], low), min(stretch[1], high)
    return [(begin, watched, known), (end, -watched, -known)] if begin < end else []


def increments(
    samples: Sequence[tuple[float, float]], replica: Replica, derived: bool = False
) -> list[tuple[float, float]]:
    """Return (time, growth) of one counter series of a replica, one entry per observation that saw growth.

    A series that is not there at first was born with its value, unless it is `derived` (DERIVED).
    """
    values = dict(samples)
    grown = []
    previous: tuple[float, float] | None = None
    known: tuple[float, float, float] | None = None  # time, start and value of the series' own sample before
    for at, start in replica.observed:
        value = values.get(at)
        if value is not None:
            if known is None or at - known[0] > MAX_GAP or abs(start - known[1]) > SAME_START:
                base = _birth(value, at, start, previous, derived)
            else:
                base = known[2] if value >= known[2] else 0.0  # it fell without a new start: all of it is new
            if value > base:
                grown.append((at, value - base))
            known = (at, start, value)
        previous = (at, start)
    return grown


def _birth(value: float, at: float, start: float, previous: tuple[float, float] | None, derived: bool) -> float:
    """Return what a series counted before it was first observed: all of its `value`, or 0."""
    if at - start <= MAX_GAP:
        return 0.0  # a newborn replica
    if previous is None or at - previous[0] > MAX_GAP:
        return value  # an old one that was not observed: this only sets the baseline
    if abs(start - previous[1]) > SAME_START:
        return 0.0  # restarted: everything on the page is new
    return value if derived else 0.0


class Life(NamedTuple):
    """One process of a replica: the times at which it was read, the series that its pages had, and their names and labels."""

    times: frozenset[float]
    series: list[Series]
    offers: list[Sample]


class Observed:
    """What was observed of a pool's replicas around some slots, computed once for all SLOs that count it.

    `fleet` has the replicas' observations and `series` everything that was read, both by replica. What is given as `series`
    must reach MAX_GAP beyond the slots (consecutive ones, in order) on both sides.
    """

    def __init__(self, series: Sequence[Series], slots: Sequence[int]) -> None:
        self.slots = slots
        self.fleet = replicas(series)
        self.series: dict[Unit, list[Series]] = defaultdict(list)
        for item in series:
            self.series[unit(item.labels)].append(item)
        self._lives = {key: self._lives_of(key, replica) for key, replica in self.fleet.items()}
        times = {life.times for lives in self._lives.values() for life in lives}
        self._slots_seen = {some: {slot_of(at) for at in some} for some in times}
        self._covered: dict[tuple[tuple[frozenset[float], ...], ...], dict[int, float]] = {}
        self._grown: dict[int, list[tuple[int, float, float]]] = {}

    def _lives_of(self, key: Unit, replica: Replica) -> list[Life]:
        """Part a replica's series by its processes: a restart may bring other bounds, or the plugin."""
        found, lives = [], replica.lives()
        for times in lives:
            alone = len(lives) == 1
            mine = [item for item in self.series[key] if alone or any(at in times for at, _ in item.samples)]
            found.append(Life(times, mine, [(item.name, item.labels) for item in mine]))
        return found

    def count(self, ways: Sequence[Way]) -> list[SlotCount]:
        """Count an objective's good and total requests in each slot, each life of a replica by the best evidence that it offers.

        A slot in which no replica was observed has 0 of 0 requests and 0 seconds covered: unknown.
        """
        sums: dict[str, dict[int, float]] = {name: defaultdict(float) for name in ("good", "total", "indeterminate")}
        used: dict[int, set[str]] = defaultdict(set)
        offered = []
        for key, replica in self.fleet.items():
            counted = [(life, found) for life in self._lives[key] if (found := best(ways, life.offers)) is not None]
            offered.append(tuple(life.times for life, _ in counted))
            for life, counting in counted:
                self._add_up(sums, counting, life, replica)
                for slot in self._slots_seen[life.times]:
                    used[slot] |= {counting.source, SIMULATED} if replica.simulated else {counting.source}
        covered = self._covered_seconds(tuple(offered))
        good, total, indeterminate = sums["good"], sums["total"], sums["indeterminate"]
        return [
            SlotCount(
                slot,
                round(good[slot]),
                round(total[slot]),
                covered[slot],
                "+".join(sorted(used[slot])),
                round(indeterminate[slot]),
            )
            for slot in self.slots
        ]

    def _add_up(self, sums: dict[str, dict[int, float]], counting: Counting, life: Life, replica: Replica) -> None:
        """Add the increments of a life. `without` is subtracted from `good` only if `good` selects anything."""
        plus = {"good": counting.good, "total": counting.total, "indeterminate": counting.most or ()}
        minus = {"good": counting.without if counting.good else (), "total": counting.without}
        minus["indeterminate"] = counting.good or counting.without if counting.most else ()
        for name, into in sums.items():
            self._add(into, plus[name], life, replica, 1)
            self._add(into, minus[name], life, replica, -1)

    def _covered_seconds(self, lives: tuple[tuple[frozenset[float], ...], ...]) -> dict[int, float]:
        if lives not in self._covered:
            self._covered[lives] = covered_seconds(zip(self.fleet.values(), lives, strict=True), self.slots)
        return self._covered[lives]

    def _add(
        self, sums: dict[int, float], selectors: Sequence[Selector], life: Life, replica: Replica, sign: int
    ) -> None:
        for item in life.series if selectors else ():
            if any(selector.matches(item.name, item.labels) for selector in selectors):
                for slot, by, at in self._growth(item, replica):
                    if at in life.times:
                        sums[slot] += sign * by

    def grown(self, item: Series, replica: Replica) -> list[tuple[int, float]]:
        """Return (slot, growth) of one counter series of a replica, one entry per observation that saw growth."""
        return [(slot, by) for slot, by, _ in self._growth(item, replica)]

    def _growth(self, item: Series, replica: Replica) -> list[tuple[int, float, float]]:
        if id(item) not in self._grown:
            grown = increments(item.samples, replica, is_derived(item))
            self._grown[id(item)] = [(slot_of(at), by, at) for at, by in grown]
        return self._grown[id(item)]


def pad(slots: Sequence[int]) -> Interval:
    """Return the time span of samples that the slots need."""
    return slots[0] - MAX_GAP, slots[-1] + SLOT + MAX_GAP
