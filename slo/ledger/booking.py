"""From raw samples to one slot: pure functions. Every source goes through here, so every source gives the same ledger.

How a request comes into a slot: a replica is *observed* whenever its page was read (its start time has a sample). Between
two observations no more than MAX_GAP apart each counter has grown by an exact number of requests, and that number is
booked in the slot of the later observation. Resets, restarts and series that are born with a value are counted in full;
what a replica did in a longer gap, or between its last observation and a crash, nobody saw: it is not covered, and it is
neither good nor bad nor zero.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from slo import catalogue
from slo.catalogue import ABANDONED, REJECTED, REPLICA_INFO, REPLICA_START
from slo.indicators import Counting, Selector
from slo.sources import Series
from slo.windows import SLOT, slot_of

MAX_GAP = 300.0  # seconds; Prometheus' own look-back for a missed scrape (--query.lookback-delta)
SIMULATED = "simulated"
SAME_START = 1.0  # seconds; start times of one process may differ by a rounding, those of two processes do not

# Labels that our own metrics carry beside `replica`; what else a series has (instance, region, ...) says where it was read.
OWN_LABELS = {label for metric in catalogue.ALL for label in metric.labels} - {"replica"} | {"le"}

# Counters that the exporter works out as lower bounds (exporters.derived), and withholds while they are not certain: when one
# appears, some of it may have been shown and counted before.
DERIVED = (Selector(ABANDONED.name, ()), Selector(REJECTED.name, (("reason", ("5xx",)),)))

Interval = tuple[float, float]
Unit = frozenset[tuple[str, str]]  # one replica as read through one target


@dataclass(frozen=True, slots=True)
class SlotCount:
    """What a slot holds for one objective: requests, seconds observed (0 to 300), kinds of evidence joined by `+`.

    SIMULATED among them marks a slot with requests of the demo fleet: it stays labelled as long as it is kept.
    """

    slot: int
    good: int
    total: int
    covered_seconds: float
    source: str


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica's observations: [(time, start of its process)], in order of time; and whether its numbers are a model's."""

    observed: list[tuple[float, float]]
    simulated: bool = False

    def stretches(self) -> Iterator[tuple[Interval, Interval]]:
        """Yield, per observation, the time it makes known and the part of that in which the counters were watched.

        A replica is known between two observations no more than MAX_GAP apart, and a young one since its process began.
        After a restart only the new process was watched: what the old one did last died with it.
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
    """Return what tells one watched replica from another: its name, and the target labels of the page it was read from.

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
    return {key: Replica(sorted(times.items()), key in simulated) for key, times in observed.items()}


def is_derived(item: Series) -> bool:
    """Whether a counter is one of DERIVED."""
    return any(selector.matches(item.name, item.labels) for selector in DERIVED)


def covered_seconds(fleet: Iterable[tuple[Replica, bool]], slots: Sequence[int]) -> dict[int, float]:
    """Return per slot its observed time: the integral of (replicas watched / replicas known) over its 300 seconds.

    The flag says whether a replica offers the evidence that is needed; one that does not is known, but never watched.
    """
    low, high = float(slots[0]), float(slots[-1] + SLOT)
    changes = [(float(edge), 0, 0) for edge in range(slots[0], slots[-1] + SLOT + 1, SLOT)]
    for replica, offers in fleet:
        for known, watched in replica.stretches():
            changes += _steps(known, low, high, 0, 1)
            changes += _steps(watched, low, high, 1, 0) if offers else []
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
    """What a series counted before anybody watched it: all of its `value`, or nothing of it."""
    if at - start <= MAX_GAP:
        return 0.0  # a newborn replica
    if previous is None or at - previous[0] > MAX_GAP:
        return value  # an old one that was not watched: this only sets the baseline
    if abs(start - previous[1]) > SAME_START:
        return 0.0  # restarted: everything on the page is new
    return value if derived else 0.0


class Observed:
    """What was seen of a pool's replicas around some slots, worked out once for all objectives that count it.

    `fleet` has the replicas' observations and `series` everything that was read, both by replica. What is given as `series`
    must reach MAX_GAP beyond the slots (consecutive ones, in order) on both sides.
    """

    def __init__(self, series: Sequence[Series], slots: Sequence[int]) -> None:
        self.slots = slots
        self.fleet = replicas(series)
        self.series: dict[Unit, list[Series]] = defaultdict(list)
        for item in series:
            self.series[unit(item.labels)].append(item)
        self._slots_seen = {key: {slot_of(at) for at, _ in replica.observed} for key, replica in self.fleet.items()}
        self._covered: dict[tuple[bool, ...], dict[int, float]] = {}
        self._grown: dict[int, list[tuple[int, float]]] = {}

    def count(self, countings: Sequence[Counting]) -> list[SlotCount]:
        """Count an objective's good and total requests in each slot, each replica by the best evidence that it offers.

        A slot in which no replica was watched has 0 of 0 requests and 0 seconds covered: unknown.
        """
        good: dict[int, float] = defaultdict(float)
        total: dict[int, float] = defaultdict(float)
        used: dict[int, set[str]] = defaultdict(set)
        offers = []
        for key, replica in self.fleet.items():
            series = self.series[key]
            counting = next((c for c in countings if is_offered(c, series)), None)
            offers.append(counting is not None)
            if counting is None:
                continue
            self._add(good, counting.good, series, replica, 1)
            self._add(total, counting.total, series, replica, 1)
            for sums in (good, total):
                self._add(sums, counting.without, series, replica, -1)
            for slot in self._slots_seen[key]:
                used[slot] |= {counting.source, SIMULATED} if replica.simulated else {counting.source}
        covered = self._covered_seconds(tuple(offers))
        return [
            SlotCount(slot, round(good[slot]), round(total[slot]), covered[slot], "+".join(sorted(used[slot])))
            for slot in self.slots
        ]

    def _covered_seconds(self, offers: tuple[bool, ...]) -> dict[int, float]:
        if offers not in self._covered:
            fleet = zip(self.fleet.values(), offers, strict=True)
            self._covered[offers] = covered_seconds(fleet, self.slots)
        return self._covered[offers]

    def _add(
        self,
        sums: dict[int, float],
        selectors: Sequence[Selector],
        series: Sequence[Series],
        replica: Replica,
        sign: int,
    ) -> None:
        for item in series:
            if any(selector.matches(item.name, item.labels) for selector in selectors):
                for slot, by in self.grown(item, replica):
                    sums[slot] += sign * by

    def grown(self, item: Series, replica: Replica) -> list[tuple[int, float]]:
        """Return (slot, growth) of one counter series of a replica, one entry per observation that saw growth."""
        if id(item) not in self._grown:
            grown = increments(item.samples, replica, is_derived(item))
            self._grown[id(item)] = [(slot_of(at), by) for at, by in grown]
        return self._grown[id(item)]


def is_offered(counting: Counting, series: Sequence[Series]) -> bool:
    """Whether a replica has every part of `good` and some part of `total`; a missing bucket bound offers nothing."""
    return all(any(s.matches(i.name, i.labels) for i in series) for s in counting.good)


def pad(slots: Sequence[int]) -> Interval:
    """Return the time span of samples that the slots need."""
    return slots[0] - MAX_GAP, slots[-1] + SLOT + MAX_GAP
