"""Replay of arrivals over N replicas, and the latencies of their requests."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from plimsoll.slo.capacity.simulator.engine import Engine
from plimsoll.slo.capacity.simulator.request import Limits, Request
from plimsoll.slo.capacity.simulator.step_time import StepModel
from plimsoll.slo.capacity.simulator.traces import Arrival


@dataclass(frozen=True, slots=True)
class Result:
    """What became of every request. `rejected` could never fit a replica: they have no latency and are never good."""

    requests: Sequence[Request]
    rejected: int
    max_queue: int  # most requests that waited at one replica

    @property
    def preemptions(self) -> int:
        """How often a request was pushed out of a batch."""
        return sum(request.preemptions for request in self.requests)

    @property
    def ttft(self) -> list[float]:
        """Seconds to first token, in order of arrival."""
        return [request.ttft for request in self.requests if request.ttft is not None]

    @property
    def tpot(self) -> list[float]:
        """Seconds per token after the first, in order of arrival."""
        return [request.tpot for request in self.requests if request.tpot is not None]

    def goodput(self, ttft: float, tpot: float, duration: float = inf) -> float:
        """Share of all requests within these limits, in seconds; `duration` is arrival to last token."""
        good = sum(
            a <= ttft and b <= tpot and (duration == inf or (request.finished or 0.0) - request.arrival <= duration)
            for a, b, request in zip(self.ttft, self.tpot, self.requests, strict=True)
        )
        return good / (len(self.requests) + self.rejected)


def percentile(values: Iterable[float], share: float) -> float | None:
    """Value that `share` of the values are not above: sorted[int(share n)], without interpolation; None of none."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None


def replay(arrivals: Sequence[Arrival], replicas: int, model: StepModel, limits: Limits) -> Result:
    """Deal arrivals (in order of time) round robin to replicas, and run until all are served.

    Open loop: arrivals do not wait for responses, nor do turns of sessions. Raises ValueError below one replica.
    """
    if replicas < 1:
        raise ValueError(f"{replicas} replicas cannot serve; at least 1")
    requests = [Request(*arrival[:4]) for arrival in arrivals]
    engines = [Engine(model, limits) for _ in range(replicas)]
    # Round robin does not look at the replicas, so each runs on its own.
    queues = [_run(engine, requests[index::replicas]) for index, engine in enumerate(engines)]
    served = [request for request in requests if request.finished is not None]
    return Result(served, len(requests) - len(served), max(queues))


def _run(engine: Engine, requests: Sequence[Request]) -> int:
    """Serve the requests that fit; return the longest queue."""
    coming = deque(request for request in requests if engine.fits(request))
    now = 0.0
    longest = 0
    while coming or engine.busy:
        if not engine.busy:
            now = max(now, coming[0].arrival)
        while coming and coming[0].arrival <= now:
            engine.add(coming.popleft())
        longest = max(longest, len(engine.waiting))
        now = engine.step(now, coming[0].arrival if coming else inf).end
    return longest
