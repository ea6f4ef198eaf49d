"""What a pool was asked to do and what a replica of it can do, in tokens, from counters alone.

Requests that arrived = finished + growth of those waiting and running. A replica's capacity is what it did while requests
waited for it all the time, so that it could not have done more: measured, not assumed, and unknown until it happened.
How long requests would have waited on another number of replicas follows from replaying the arrivals through a queue
that is served at that capacity.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from plimsoll.slo.capacity.model.replica_throughput import OWN_SECONDS, ReplicaThroughput, weigh
from plimsoll.slo.capacity.model.signals import GAP, MEMORY, ReplicaSignals

SLOT = 15.0  # seconds: arrivals are summed over these
FULL = 0.9  # share of its measured capacity that a replica is planned with, as in a queue that is to stay short
SATURATED = (
    5  # requests that wait at a replica which works at its limit; fewer are between two steps (as in llm-d's WVA)
)
RECENT = 60.0  # seconds over which "now" is averaged
# Seconds of traffic on which the promise is planned to be kept: bursts that long ago are expected to come again. Half an hour
# takes 7 % more node-hours for 0.2 points of goodput, ten minutes lose 0.8 points (docs/capacity-backtests.md).
EXPECTED_AGAIN = 900.0


@dataclass(frozen=True, slots=True)
class LatencyTarget:
    """What capacity is planned for: `target` of the requests get their first token within `ttft` seconds, and further
    ones every `tpot` seconds (inf: nothing is promised). `spent` names the objectives of it whose error budget is spent."""

    ttft: float
    tpot: float
    target: float
    spent: tuple[str, ...] = ()

    @property
    def wait(self) -> float:
        """Seconds of work that may be ahead of a request.

        A queue longer than `ttft` makes its first token late; one longer than `tpot` fills a step for longer than that
        with the prompts in it, which makes the next token late of everybody who is in the batch.
        """
        return min(self.ttft, self.tpot)


@dataclass(frozen=True, slots=True)
class Demand:
    """Demand of a pool in tokens, prompt and generated, and what its replicas can do."""

    arrived: tuple[float, ...]  # tokens by SLOT, oldest first
    backlog: float  # tokens of the requests that wait now
    rate: float  # tokens per second that arrived in the last minute
    throughput: ReplicaThroughput
    saturated_seconds: float  # of replica time that capacity was measured over
    prompt: float  # tokens of a request, mean of those that finished
    output: float
    found: float  # of its prompt, held by the prefix cache; 0 where no engine tells
    full: float = FULL  # share of their capacity that replicas are planned with

    @property
    def capacity(self) -> float | None:
        """Tokens per second of a replica of which nothing of its own is known; None if nothing is known of any."""
        return self.throughput.unit

    def lately(self, seconds: float) -> "Demand":
        """The same with only the arrivals of the last `seconds`."""
        return replace(self, arrived=self.arrived[-int(seconds / SLOT) :])

    def late(self, replicas: int, limit: float, backlog: float = 0.0) -> float:
        """Share of the arrivals that would have met more than `limit` seconds of work ahead on so many replicas, the weakest, which
        begin with `backlog` tokens of work."""
        served = self.full * self.throughput.least(replicas) * SLOT
        allowed = served * limit / SLOT
        late = 0.0
        for tokens in self.arrived:
            after = max(0.0, backlog + tokens - served)
            late += tokens * _share_above(allowed, backlog, after)
            backlog = after
        return late / (sum(self.arrived) or 1.0)

    def keeping(self, promise: LatencyTarget, most: int) -> int:
        """Return the fewest replicas, up to `most`, that would have kept the promise on all that arrived."""
        return next((n for n in range(1, most) if self.late(n, promise.wait) <= 1 - promise.target), most)

    def draining(self, serving: float, seconds: float) -> int:
        """Return the replicas that clear the backlog within `seconds`, once they are there.

        That takes `seconds` too, in which those that are there serve `serving` tokens per second and requests go on
        coming as in the last minute.
        """
        backlog = max(0.0, self.backlog + seconds * (self.rate - serving))
        return self.replicas_for(self.rate + backlog / seconds)

    def replicas_for(self, rate: float) -> int:
        """Return the replicas that serve so many tokens per second."""
        return self.throughput.count_for(rate / self.full)

    def busiest(self, seconds: float) -> float:
        """Tokens per second that arrived in the busiest minute of the last `seconds`."""
        recent = self.arrived[-max(1, int(seconds / SLOT)) :]
        width = min(len(recent), int(RECENT / SLOT))
        return max(sum(recent[i : i + width]) for i in range(len(recent) - width + 1)) / (width * SLOT)


def _share_above(level: float, start: float, end: float) -> float:
    """Share of the way from `start` to `end` that is above `level`."""
    low, high = sorted((start, end))
    if high <= level:
        return 0.0
    return 1.0 if low >= level else (high - level) / (high - low)


def demand(
    replicas: Sequence[ReplicaSignals],
    now: float,
    known: float | None = None,
    before: Mapping[str, float] | None = None,
    unseen: Sequence[str] = (),
) -> Demand | None:
    """Measure the demand of a pool; None where the counters are missing.

    `known` is the capacity measured before, `before` those of single replicas: they stand until a replica is full again.
    `unseen` replicas are taken to be there.
    """
    by_replica = {replica.replica: _intervals(replica, now - MEMORY) for replica in replicas}
    intervals = [interval for found in by_replica.values() for interval in found]
    finished = sum(interval.finished for interval in intervals)
    if not finished:
        return None
    prompt, output = (sum(interval.tokens[part] for interval in intervals) / finished for part in (0, 1))
    found = sum(interval.found for interval in intervals) / finished
    size = prompt + output
    slots: dict[int, float] = defaultdict(float)
    for interval in intervals:
        # What arrived while nobody looked is no burst: it is spread over the time in which it did.
        last_slot, count = int(interval.end // SLOT), max(1, round(interval.seconds / SLOT))
        for index in range(last_slot - count + 1, last_slot + 1):
            slots[index] += interval.arrived * size / count
    arrived = tuple(slots[index] for index in range(min(slots), max(slots) + 1))
    last = arrived[-max(1, int(RECENT / SLOT)) :]
    seen = [replica for replica in replicas if replica.seen]
    waiting = sum(replica.waiting[-1][1] for replica in seen)
    common, fresh, seconds = _measured(by_replica, known)
    throughput = weigh([*(replica.replica for replica in seen), *unseen], common, fresh, before or {})
    return Demand(arrived, waiting * size, sum(last) / (len(last) * SLOT), throughput, seconds, prompt, output, found)


def _measured(
    by_replica: Mapping[str, list["_Interval"]], known: float | None
) -> tuple[float | None, dict[str, float], float]:
    """Return what a replica did while it was full (None: none was), what each did that was full for long enough, and the
    seconds of replica time that this rests on.

    A replica that filled up only towards the end of an interval could do at least what it did in it.
    """
    full: dict[str, list[_Interval]] = {}
    partly: list[float] = []
    for name, intervals in by_replica.items():
        waited = [item for item in intervals if item.waited[1] >= SATURATED and item.seconds <= GAP]
        full[name] = [item for item in waited if item.waited[0] >= SATURATED]
        partly += [item.rate for item in waited if item.waited[0] < SATURATED]
    seconds = {name: sum(item.seconds for item in found) for name, found in full.items()}
    rates = [item.rate for found in full.values() for item in found]
    common = median(rates) if rates else max([*partly, *([known] if known else [])], default=None)
    fresh = {name: median(item.rate for item in found) for name, found in full.items() if seconds[name] >= OWN_SECONDS}
    return common, fresh, sum(seconds.values())


@dataclass(frozen=True, slots=True)
class _Interval:
    """What a replica did between two scrapes."""

    end: float
    seconds: float
    arrived: float
    finished: float
    tokens: tuple[float, float]  # of prompts, and generated
    found: float  # tokens of prompts that the prefix cache held
    waited: tuple[float, float]  # requests that waited at its start and at its end

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return sum(self.tokens) / self.seconds


def _intervals(replica: ReplicaSignals, since: float) -> list[_Interval]:
    running, finished = dict(replica.running), dict(replica.finished)
    prompt, generated, held = dict(replica.prompt_tokens), dict(replica.generation_tokens), dict(replica.found_tokens)
    found = []
    for (before, waited), (at, waiting) in pairwise(replica.waiting):
        if before < since or not all(before in d and at in d for d in (running, finished, prompt, generated)):
            continue
        done = _growth(finished[before], finished[at])
        inside = waiting + running[at] - waited - running[before]
        tokens = _growth(prompt[before], prompt[at]), _growth(generated[before], generated[at])
        cached = _growth(held[before], held[at]) if before in held and at in held else 0.0
        found.append(_Interval(at, at - before, max(0.0, done + inside), done, tokens, cached, (waited, waiting)))
    return found


def _growth(before: float, after: float) -> float:
    """Growth of a counter that may have begun again at 0."""
    return after - before if after >= before else after
