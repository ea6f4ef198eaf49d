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
from functools import cached_property
from itertools import islice, pairwise, takewhile

from plimsoll.slo import metrics
from plimsoll.slo.calendar import SLOT
from plimsoll.slo.metrics import ABANDONED, REJECTED, REPLICA_INFO, REPLICA_START
from plimsoll.slo.metrics.engine import CLOCK_SKEW, SAME_START
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Selector

MAX_GAP = 300.0  # seconds; Prometheus' own look-back for a missed scrape (--query.lookback-delta)
SKEW = 60.0  # seconds: clocks of two servers, and the time that an exporter's page may take to be stored
UNKNOWN_START = 0.0  # of a process, which many replicas have
SIMULATED = "simulated"

# Labels that an exporter gives to the metrics of replicas and gateways, beside `replica`; other labels (instance, job, cluster, ...) identify
# the target. What only metrics of GPUs' hosts or of the service have, such as a GPU's `cluster`, does not count.
OWN_LABELS = {
    label
    for metric in metrics.ALL
    if not metric.name.startswith("plimsoll_") and not {"replica", "gateway"}.isdisjoint(metric.labels)
    if metric is not metrics.REPLICA_POD  # its labels identify the replica
    for label in metric.labels
} - {"replica"} | {"le"}

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
    `scrapes` of replicas and `samples` of the counted series that bear on the slot decide which of two counts of it knows more
    (plimsoll.slo.ledger.invariants); None: not known.
    """

    slot: int
    good: int
    total: int
    covered_seconds: float
    source: str
    indeterminate: int = 0
    scrapes: int | None = None
    samples: int | None = None


@dataclass(frozen=True)
class Replica:
    """One replica's observations: [(time, start of its process)], in order of time; whether its numbers are a model's; and its role."""

    observed: list[tuple[float, float]]
    simulated: bool = False
    role: str = ""

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

    @cached_property
    def stretches(self) -> list[tuple[Interval, Interval]]:
        """Per observation, the time it makes known and the part of that in which the counters were observed.

        A replica is known between two observations no more than MAX_GAP apart, and a young one since its process began.
        After a restart only the new process was observed: the old one's last counts are lost.
        """
        found: list[tuple[Interval, Interval]] = []
        previous: tuple[float, float] | None = None
        for at, start in self.observed:
            if previous is not None and at - previous[0] <= MAX_GAP:
                before, same = previous[0], abs(start - previous[1]) <= SAME_START
                found.append(((before, at), (before if same else min(max(start, before), at), at)))
            elif at - start <= MAX_GAP:
                found.append(((start, at), (start, at)))
            previous = (at, start)
        return found


def unit(labels: Mapping[str, str]) -> Unit:
    """Return what identifies an observed replica: its name, and the labels of the target it was scraped from.

    The name alone would not do: every node may call its engine 127.0.0.1:8000.
    """
    return frozenset([pair for pair in labels.items() if pair[0] not in OWN_LABELS])


def replicas(series: Iterable[Series]) -> dict[Unit, Replica]:
    """Collect the observations of every replica from the series REPLICA_START and REPLICA_INFO."""
    observed: dict[Unit, dict[float, float]] = defaultdict(dict)
    simulated: set[Unit] = set()
    roles: dict[Unit, str] = {}
    for name, labels, samples in series:
        if name == REPLICA_START.name:
            observed[unit(labels)].update(samples)
        elif name == REPLICA_INFO.name:
            roles[unit(labels)] = labels.get("role", "")
            if labels.get("simulated") == "true":
                simulated.add(unit(labels))
    return {
        key: Replica(_steady(sorted(times.items())), key in simulated, roles.get(key, ""))
        for key, times in observed.items()
    }


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


def covered_seconds(fleet: Iterable[tuple[Replica, Iterable[Interval]]], slots: Sequence[int]) -> dict[int, float]:
    """Return per slot its observed time: the integral of (replicas observed / replicas known) over its 300 seconds.

    With each replica come the stretches of time in which what is needed of it was observed; in others it is known, but not observed.
    """
    low, high = float(slots[0]), float(slots[-1] + SLOT)
    changes = [(float(edge), 0, 0) for edge in range(slots[0], slots[-1] + SLOT + 1, SLOT)]
    for replica, stretches in fleet:
        for known in _joined(known for known, _ in replica.stretches):
            changes += _steps(known, low, high, 0, 1)
        for watched in _joined(stretches):
            changes += _steps(watched, low, high, 1, 0)
    changes.sort()
    found: dict[int, float] = defaultdict(float)
    watching, knowing = 0, 0
    for (at, watched_step, known_step), (until, _, _) in pairwise(changes):
        watching, knowing = watching + watched_step, knowing + known_step
        if knowing and until > at:
            found[int(at // SLOT) * SLOT] += (until - at) * watching / knowing
    return {slot: round(found[slot], 3) for slot in slots}


def _joined(stretches: Iterable[Interval]) -> Iterator[Interval]:
    """Join the stretches that begin where the one before them ends: as most do."""
    begin = end = None
    for stretch in stretches:
        if stretch[0] != end:
            if begin is not None and end is not None:
                yield begin, end
            begin = stretch[0]
        end = stretch[1]
    if begin is not None and end is not None:
        yield begin, end


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
    for index, (at, start) in enumerate(replica.observed):
        value = values.get(at)
        if value is not None:
            if known is None or at - known[0] > MAX_GAP or abs(start - known[1]) > SAME_START:
                base = baseline(value, at, start, previous, derived)
            elif value < known[2] and not derived and _out_of_order(known[2], index, values, replica.observed):
                base = value = known[2]
            else:
                base = known[2] if value >= known[2] else 0.0  # it fell without a new start: all of it is new
            if value > base:
                grown.append((at, value - base))
            known = (at, start, value)
        previous = (at, start)
    return grown


def _out_of_order(
    level: float, index: int, values: Mapping[float, float], observed: Sequence[tuple[float, float]]
) -> bool:
    """Whether a counter that is below its `level` at an observation was only read out of order, and not reset.

    Counters of one process never fall, but pages that two scrapers store in one series may be stamped up to SKEW off. Such a page isn't
    below what the counter was SKEW before, and the level is reached again SKEW after it; until that is known, the growth isn't, either.
    """
    at, start = observed[index]
    if start <= UNKNOWN_START:
        return False  # the fall is all that shows a restart

    def same(one: tuple[float, float]) -> bool:
        return abs(one[1] - start) <= SAME_START

    lowest = 0.0
    for before, _ in takewhile(same, reversed(observed[:index])):
        lowest = values.get(before, 0)
        if before <= at - SKEW and before in values:
            break
    if values[at] < lowest:
        return False
    for later, _ in takewhile(same, islice(observed, index + 1, None)):
        if later > at + SKEW:
            return False
        if values.get(later, 0) >= level:
            return True
    return True


def baseline(value: float, at: float, start: float, previous: tuple[float, float] | None, derived: bool) -> float:
    """Return what a series counted before it was first observed: all of its `value`, or 0. `previous` is the replica's observation before."""
    if at - start <= MAX_GAP:
        return 0.0  # a newborn replica
    if previous is None or at - previous[0] > MAX_GAP:
        return value  # an old one that was not observed: this only sets the baseline
    if abs(start - previous[1]) > SAME_START:
        return 0.0  # restarted: everything on the page is new
    return value if derived else 0.0


def pad(slots: Sequence[int]) -> Interval:
    """Return the time span of samples that the slots need."""
    return slots[0] - MAX_GAP, slots[-1] + SLOT + MAX_GAP


def without(stretch: Interval, slots: Iterable[int]) -> Iterator[Interval]:
    """Cut some slots out of a stretch of time."""
    begin, end = stretch
    for slot in sorted(slots):
        if begin < slot < end:
            yield begin, float(slot)
        if begin < slot + SLOT and slot < end:
            begin = float(slot + SLOT)
    if begin < end:
        yield begin, end
