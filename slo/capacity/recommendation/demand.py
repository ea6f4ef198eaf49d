"""Demand on a pool and throughput of its replicas in tokens/s, from counters only.

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
from typing import NamedTuple

from plimsoll.slo.capacity.model.replica_throughput import OWN_SECONDS, ReplicaThroughput, measure
from plimsoll.slo.capacity.model.signals import GAP, MEMORY, ReplicaSignals
from plimsoll.slo.capacity.recommendation.measured_state import MeasuredState

INTERVAL = 15.0  # seconds: arrivals are summed over these
PLANNING_UTILIZATION = 0.9  # ratio of saturation throughput that replicas are planned with, so that queues stay short
SATURATED = 5  # waiting requests at a saturated replica; fewer are between two steps (as in llm-d's WVA)
RECENT = 60.0  # seconds over which the current demand is averaged
# Seconds of traffic on which the SLO is planned to be met: bursts that long ago are expected to come again. Half an hour
# takes 7 % more node-hours for 0.2 points of goodput, ten minutes lose 0.8 points (docs/capacity-backtests.md).
EXPECTED_AGAIN = 900.0
ATTAINED_SECONDS = 900.0  # over which the recent attainment is counted
ENOUGH_COUNTED = 20  # requests that a counted attainment needs
LATEST_SECONDS = 300.0  # over which the latest attainment is counted: a slot of the ledger


class Attained(NamedTuple):
    """Counted requests of the latency SLO that is furthest below its target: in the last ATTAINED_SECONDS, in its window so far, and in
    the last minutes (LATEST_SECONDS)."""

    good: float
    total: float
    window_good: float
    window_total: float
    latest_good: float = 0.0
    latest_total: float = 0.0

    def latest_within(self, target: float) -> bool:
        """Whether enough requests of the last minutes are known, and were within the target (ratio)."""
        return self.latest_total >= ENOUGH_COUNTED and self.latest_good >= target * self.latest_total


@dataclass(frozen=True, slots=True)
class LatencyTarget:
    """What capacity is planned for: `target` (ratio) of the requests get their first token within `ttft` seconds, and further
    ones every `tpot` seconds (inf: no threshold). `exhausted_slos` names those of its SLOs whose error budget is exhausted;
    `attained` is what was counted (None: nothing)."""

    ttft: float
    tpot: float
    target: float
    exhausted_slos: tuple[str, ...] = ()
    attained: Attained | None = None

    @property
    def max_wait(self) -> float:
        """Return the seconds of work that may be ahead of a request.

        A queue longer than `ttft` makes its first token late; one longer than `tpot` fills a step for longer than that
        with the prompts in it, which delays the next token of every request in the batch.
        """
        return min(self.ttft, self.tpot)


@dataclass(frozen=True, slots=True)
class Demand:
    """Demand of a pool in tokens, input and output, and the saturation throughput of its replicas."""

    arrived: tuple[float, ...]  # tokens by INTERVAL, oldest first
    backlog: float  # tokens of the waiting requests
    rate: float  # tokens per second that arrived in the last minute
    throughput: ReplicaThroughput
    saturated_seconds: float  # replica time over which throughput was measured
    input_tokens: float  # of a request, mean of those that finished
    output_tokens: float
    cached_tokens: float  # of its input, held by the prefix cache; 0 where no engine reports it
    utilization: float = PLANNING_UTILIZATION  # ratio of saturation throughput that replicas are planned with

    def recent(self, seconds: float) -> "Demand":
        """Return the same with only the arrivals of the last `seconds`."""
        return replace(self, arrived=self.arrived[-int(seconds / INTERVAL) :])

    def miss_ratio(self, replicas: int, max_wait: float, backlog: float = 0.0) -> float:
        """Return the ratio of arrivals with more than `max_wait` seconds of work ahead of them, on the `replicas` weakest, which start
        with `backlog` tokens of work."""
        served = self.utilization * self.throughput.least(replicas) * INTERVAL
        allowed = served * max_wait / INTERVAL
        late = 0.0
        for tokens in self.arrived:
            after = max(0.0, backlog + tokens - served)
            late += tokens * _share_above(allowed, backlog, after)
            backlog = after
        return late / (sum(self.arrived) or 1.0)

    def replicas_for_slo(self, target: LatencyTarget, most: int) -> int:
        """Return the fewest replicas, up to `most`, that would have met the target on all arrivals."""
        return next((n for n in range(1, most) if self.miss_ratio(n, target.max_wait) <= 1 - target.target), most)

    def replicas_for_backlog(self, serving: float, seconds: float) -> int:
        """Return the replicas that clear the backlog within `seconds`, once they are there.

        Starting takes `seconds` too; meanwhile the present ones serve `serving` tokens per second and requests arrive as in the last
        minute.
        """
        backlog = max(0.0, self.backlog + seconds * (self.rate - serving))
        return self.replicas_for(self.rate + backlog / seconds)

    def replicas_for(self, rate: float) -> int:
        """Return the replicas that serve `rate` tokens per second."""
        return self.throughput.count_for(rate / self.utilization)

    def peak_rate(self, seconds: float) -> float:
        """Return the tokens per second that arrived in the busiest minute of the last `seconds`."""
        recent = self.arrived[-max(1, int(seconds / INTERVAL)) :]
        width = min(len(recent), int(RECENT / INTERVAL))
        return max(sum(recent[i : i + width]) for i in range(len(recent) - width + 1)) / (width * INTERVAL)


def _share_above(level: float, start: float, end: float) -> float:
    """Share of the way from `start` to `end` that is above `level`."""
    low, high = sorted((start, end))
    if high <= level:
        return 0.0
    return 1.0 if low >= level else (high - level) / (high - low)


def demand(
    replicas: Sequence[ReplicaSignals],
    now: float,
    before: MeasuredState | None = None,
    unseen: Sequence[str] = (),
) -> Demand | None:
    """Measure the demand of a pool; None where the counters are missing.

    `before` is the state of the last decision: its throughput stands until a replica is saturated again. `unseen` replicas count as
    present.
    """
    by_replica = {replica.replica: _intervals(replica, now - MEMORY) for replica in replicas}
    intervals = [interval for found in by_replica.values() for interval in found]
    finished = sum(interval.finished for interval in intervals)
    if not finished:
        return None
    input_tokens, output_tokens = (sum(interval.tokens[part] for interval in intervals) / finished for part in (0, 1))
    cached = sum(interval.found for interval in intervals) / finished
    size = input_tokens + output_tokens
    slots: dict[int, float] = defaultdict(float)
    for interval in intervals:
        # Arrivals during a gap in the data are no burst: they are spread over the gap.
        last_slot, count = int(interval.end // INTERVAL), max(1, round(interval.seconds / INTERVAL))
        for index in range(last_slot - count + 1, last_slot + 1):
            slots[index] += interval.arrived * size / count
    arrived = tuple(slots[index] for index in range(min(slots), max(slots) + 1))
    last = arrived[-max(1, int(RECENT / INTERVAL)) :]
    seen = [replica for replica in replicas if replica.seen]
    waiting = sum(replica.waiting[-1][1] for replica in seen)
    common, fresh, seconds = _measured(by_replica, None if before is None else before.typical)
    present = [*(replica.replica for replica in seen), *unseen]
    throughput = measure(present, common, fresh, {} if before is None else before.measured)
    rate = sum(last) / (len(last) * INTERVAL)
    return Demand(arrived, waiting * size, rate, throughput, seconds, input_tokens, output_tokens, cached)


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


class _Interval(NamedTuple):
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
    complete = running.keys() & finished.keys() & prompt.keys() & generated.keys()
    found = []
    for (before, waited), (at, waiting) in pairwise(replica.waiting):
        if before < since or before not in complete or at not in complete:
            continue
        done = _growth(finished[before], finished[at])
        inside = waiting + running[at] - waited - running[before]
        tokens = _growth(prompt[before], prompt[at]), _growth(generated[before], generated[at])
        cached = _growth(held[before], held[at]) if before in held and at in held else 0.0
        arrived = max(0.0, done + inside)
        found.append(_Interval(at, at - before, arrived, done, tokens, cached, (waited, waiting)))
    return found


def _growth(before: float, after: float) -> float:
    """Growth of a counter that may have begun again at 0."""
    return after - before if after >= before else after
