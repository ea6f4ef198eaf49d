"""Reconstructs a pool's traffic from its counters: requests between two scrapes, their lengths, and the gaps in the data.

Requests that arrived are those that left plus the increase of those in flight, as in plimsoll.slo.usage.slots, here between
scrapes. Time without data from an observed replica is unknown, not idle: it is cut out, and the traffic after it follows
immediately. Nothing is reconstructed where more than a tenth of the span is unknown.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby, pairwise
from math import ceil, floor, inf
from operator import add
from statistics import median
from typing import NamedTuple

from plimsoll.slo import metrics as c
from plimsoll.slo.capacity.simulator.synthetic_traffic import Lengths, requests, unevenness
from plimsoll.slo.capacity.simulator.traces import Arrival
from plimsoll.slo.metrics import Metric
from plimsoll.slo.metrics.engine import SAME_START
from plimsoll.slo.sli.increments import MAX_GAP, Replica, Unit, increments, is_derived, replicas, unit
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Pool
from plimsoll.slo.usage.gauges import readings

ENDED = (c.FINISHED, c.REJECTED, c.ABANDONED)
ENOUGH = 0.9  # share of the span that must have been observed
MOST = 1_000_000  # requests; a replay of them takes about 15 s
READ = 3600.0  # seconds per query, and per estimate of burstiness
PART = 60.0  # seconds per length distribution
ALIKE = 100  # finished requests that a length distribution needs; shorter parts are joined


class HistoryError(ValueError):
    """The counters do not show the traffic; the message states what is missing and what to do."""


class Stretch(NamedTuple):
    """Time between two scrapes of one replica, in Unix seconds, and the requests that arrived (None: unknown)."""

    begin: float
    end: float
    came: float | None


@dataclass
class Tokens:
    """One histogram: requests by the upper bound of their bucket, and the sum of their tokens."""

    buckets: dict[float, float] = field(default_factory=lambda: defaultdict(float))
    total: float = 0.0

    def count(self, bound: float | None, by: float) -> None:
        """Count requests of a bucket, or (None) tokens."""
        if bound is None:
            self.total += by
        else:
            self.buckets[bound] += by

    def add(self, other: "Tokens") -> None:
        """Add the requests of another histogram."""
        self.count(None, other.total)
        for bound, count in other.buckets.items():
            self.count(bound, count)

    @property
    def requests(self) -> float:
        """Number of requests."""
        return sum(self.buckets.values())

    def lengths(self) -> Lengths | None:
        """Return the length distribution for plimsoll.slo.capacity.simulator.synthetic_traffic; None without requests."""
        count = self.requests
        bounds = tuple(sorted(bound for bound in self.buckets if bound < inf))
        if count <= 0 or self.total <= 0:
            return None
        return Lengths(self.total / count, bounds, tuple(max(0.0, self.buckets[bound]) for bound in (*bounds, inf)))


@dataclass(frozen=True, slots=True)
class Part:
    """Data of PART seconds (the last part of a span may be shorter)."""

    simulated: bool
    stretches: list[Stretch] = field(default_factory=list)
    prompt: Tokens = field(default_factory=Tokens)
    output: Tokens = field(default_factory=Tokens)


@dataclass(frozen=True, slots=True)
class History:
    """Reconstructed traffic: `observed` is the observed share of the span, 0 to 1; `gaps` (begin, end) in Unix seconds are cut out of it;
    `slot` is the length of a counting slot in seconds; `simulated` is true if any of it came from the demo fleet."""

    arrivals: list[Arrival]
    observed: float
    gaps: list[tuple[float, float]]
    slot: float
    simulated: bool


def selectors(pool: Pool) -> list[Selector]:
    """Return the series to read, starting MAX_GAP before the span."""
    plain = (c.REPLICA_START, c.REPLICA_INFO, c.REQUESTS_RUNNING, c.REQUESTS_WAITING, *ENDED)
    names = [metric.name for metric in plain]
    names += [name for metric in (c.PROMPT_LENGTH, c.GENERATION_LENGTH) for name in (metric.bucket, metric.sum)]
    return [Selector(name, pool.labels) for name in names]


def parts(series: Sequence[Series], start: float, end: float) -> list[Part]:
    """Count the requests of scrapes with start < time <= end, by part."""
    fleet = replicas(series)
    read: dict[Unit, list[Series]] = defaultdict(list)
    for item in series:
        read[unit(item.labels)].append(item)
    simulated = any(replica.simulated for replica in fleet.values())
    found = [Part(simulated) for _ in range(ceil((end - start) / PART))]
    for key, replica in fleet.items():
        for stretch in _stretches(read[key], replica):
            if start < stretch.end <= end:
                found[_part(stretch.end - start)].stretches.append(stretch)
        for metric, which in ((c.PROMPT_LENGTH, "prompt"), (c.GENERATION_LENGTH, "output")):
            for at, bound, by in _tokens(read[key], replica, metric):
                if start < at <= end:
                    getattr(found[_part(at - start)], which).count(bound, by)
    return found


def _part(seconds: float) -> int:
    """Return the part of a scrape, `seconds` after the start of the span. A scrape counts requests that came before it."""
    return ceil(seconds / PART) - 1


def _stretches(read: Sequence[Series], replica: Replica) -> Iterator[Stretch]:
    running, waiting = (readings(read, metric, add) for metric in (c.REQUESTS_RUNNING, c.REQUESTS_WAITING))
    inside = {at: value + waiting[at] for at, value in running.items() if at in waiting}
    counted = {at for item in read if item.name == c.FINISHED.name for at, _ in item.samples}
    left: dict[float, float] = defaultdict(float)
    for item in read:
        if any(item.name == metric.name for metric in ENDED):
            for at, by in increments(item.samples, replica, is_derived(item)):
                left[at] += by
    for before, (at, born) in zip([None, *replica.observed], replica.observed, strict=False):
        near = before is not None and at - before[0] <= MAX_GAP
        if before is not None and near:
            begin, base = before[0], before[0] if abs(born - before[1]) <= SAME_START else None
        elif at - born <= MAX_GAP:
            begin, base = born, None
        else:
            continue  # started before the first scrape: this scrape only sets the baseline
        known = at in counted and at in inside and (base is None or base in inside)
        yield Stretch(begin, at, left[at] + inside[at] - (0.0 if base is None else inside[base]) if known else None)


def _tokens(read: Sequence[Series], replica: Replica, metric: Metric) -> Iterator[tuple[float, float | None, float]]:
    """Yield (time, upper bound of the bucket, requests) and (time, None, tokens) for each increase of a histogram."""
    bounds = sorted({float(item.labels["le"]) for item in read if item.name == metric.bucket})
    above = dict(pairwise(bounds))
    for item in read:
        if item.name not in (metric.bucket, metric.sum):
            continue
        bound = float(item.labels["le"]) if item.name == metric.bucket else None
        for at, by in increments(item.samples, replica):
            yield at, bound, by
            if bound in above:  # buckets are cumulative
                yield at, above[bound], -by


def rebuilt(parts_read: Sequence[Part], start: float, end: float) -> History:
    """Reconstruct the requests of consecutive parts, each PART seconds long except the last. Raises HistoryError."""
    stretches = [found for each in parts_read for found in each.stretches]
    seconds = [found.end - found.begin for found in stretches if found.came is not None and found.end > found.begin]
    if not seconds:
        raise HistoryError("no replica reports finished, running, and waiting requests in this span")
    slot = max(1.0, round(median(seconds), 3))
    counts, known = _slots(stretches, start, end, slot)
    gaps = [(start + first * slot, min(end, start + last * slot)) for first, last in _runs(known)]
    observed = sum(known) / len(known)
    if observed < ENOUGH:
        begin, until = max(gaps, key=lambda gap: gap[1] - gap[0])
        raise HistoryError(
            f"{observed:.0%} of the span was observed (required {ENOUGH:.0%}); the longest gap is "
            f"{until - begin:,.0f} s from {begin:.0f}. Choose a span without it"
        )
    observed_slots = [index for index, seen in enumerate(known) if seen]
    whole = _whole([counts[index] for index in observed_slots])
    if sum(whole) > MOST:
        raise HistoryError(
            f"{sum(whole):,} requests in the span; at most {MOST:,} can be replayed. Choose a shorter span"
        )
    arrivals = list(_arrivals(parts_read, [index * slot for index in observed_slots], whole, slot))
    if not arrivals:
        raise HistoryError("no requests in this span")
    return History(arrivals, observed, gaps, slot, any(each.simulated for each in parts_read))


def _slots(stretches: Sequence[Stretch], start: float, end: float, slot: float) -> tuple[list[float], list[bool]]:
    """Return the requests of each slot, and whether it was observed. Requests of a longer stretch are spread evenly over its slots."""
    last = max(1, ceil((end - start) / slot - 1e-6)) - 1
    counts, known, missing = [0.0] * (last + 1), [False] * (last + 1), [False] * (last + 1)
    for begin, until, came in stretches:
        pieces = max(1, round((until - begin) / slot))
        for piece in range(pieces):
            middle = begin + (piece + 0.5) * (until - begin) / pieces
            index = min(max(0, int((middle - start) / slot)), last)
            counts[index] += 0.0 if came is None else came / pieces
            known[index] = True
        inside = range(max(0, ceil((begin - start) / slot - 0.5)), min(last, floor((until - start) / slot - 0.5)) + 1)
        for index in inside:
            known[index] = True
            missing[index] = missing[index] or came is None
    return counts, [seen and not hole for seen, hole in zip(known, missing, strict=True)]


def _runs(known: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Yield (first, last + 1) of each run of unknown slots."""
    for seen, run in groupby(enumerate(known), key=lambda item: item[1]):
        indices = [index for index, _ in run]
        if not seen:
            yield indices[0], indices[-1] + 1


def _whole(counts: Sequence[float]) -> list[int]:
    """Round to whole numbers with the same sum. A scrape can miss a request that is no longer running and not yet counted as
    finished: a negative slot is subtracted from the slots before it."""
    upto = list(accumulate(counts))
    least = reversed(list(accumulate(reversed(upto), min)))
    edges = [0, *(max(0, int(value + 0.5)) for value in least)]
    return [after - before for before, after in pairwise(edges)]


def _arrivals(
    parts_read: Sequence[Part], times: Sequence[float], counts: Sequence[int], slot: float
) -> Iterator[Arrival]:
    """Yield the requests of the slots at `times`; each group of parts has its own length distribution."""
    of = list(_alike(parts_read))
    uneven = {
        hour: unevenness([count for _, count in run])
        for hour, run in groupby(zip(times, counts, strict=True), key=lambda item: item[0] // READ)
    }
    before = 0
    for first, run in groupby(
        zip(times, counts, strict=True), key=lambda item: of[min(int(item[0] // PART), len(of) - 1)]
    ):
        slots = list(run)
        made = requests([count for _, count in slots], slot, *first[1:], first[0], uneven[slots[0][0] // READ])
        yield from (row._replace(time=row.time + before * slot) for row in made)
        before += len(slots)


def _alike(parts_read: Sequence[Part]) -> Iterator[tuple[int, Lengths, Lengths]]:
    """Yield the group number and the lengths of each part. A group is the fewest consecutive parts with ALIKE finished requests."""
    stretches: list[list[Part]] = [[]]
    for each in parts_read:
        stretches[-1].append(each)
        if sum(one.output.requests for one in stretches[-1]) >= ALIKE:
            stretches.append([])
    if len(stretches) > 1:  # the incomplete last group joins the one before it
        rest = stretches.pop()
        stretches[-1] += rest
    for number, stretch in enumerate(stretches):
        prompt, output = Tokens(), Tokens()
        for each in stretch:
            prompt.add(each.prompt)
            output.add(each.output)
        prompts, outputs = prompt.lengths(), output.lengths()
        if prompts is None or outputs is None:
            raise HistoryError(f"no replica reports the lengths of requests ({c.PROMPT_LENGTH}, {c.GENERATION_LENGTH})")
        yield from [(number, prompts, outputs)] * len(stretch)
