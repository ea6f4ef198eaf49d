"""Throughput and latencies of one replica with a fixed number of requests in flight, as load generators measure them.

A closed loop: the next request comes when one ends. All may begin together, and stay in step where their lengths are alike, or at
moments spread over one request's time; both are simulated, with the fastest and the slowest step times, and the ends are reported.
"""

from collections import deque
from collections.abc import Iterator
from itertools import product
from random import Random
from statistics import fmean
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from plimsoll.slo.capacity.simulator.engine import Engine
from plimsoll.slo.capacity.simulator.request import Limits, Request
from plimsoll.slo.capacity.simulator.step_time import StepModel
from plimsoll.slo.capacity.whatif.request_mix import Kind, drawn

Range = tuple[float, float]
ROUNDS = 5  # requests of a run by those in flight: the first and the last of these fill and drain the replica
FEWEST = 16  # requests of a run
FAR = 1e12  # seconds: no request comes before one ends


class AtConcurrency(BaseModel):
    """One replica with that many requests in flight. Means of all requests; ranges are [low, high]."""

    model_config = ConfigDict(frozen=True)
    concurrent_requests: int
    output_tokens_per_second: Range
    ttft_seconds: Range = Field(description="Queueing for a place in the batch included.")
    tpot_seconds: Range

    def of(self, count: int) -> "AtConcurrency":
        """Return it for `count` requests over ranks alike, each with as many as here."""
        low, high = self.output_tokens_per_second
        ranks = count / self.concurrent_requests
        return self.model_copy(
            update={"concurrent_requests": count, "output_tokens_per_second": (ranks * low, ranks * high)}
        )


class Seen(NamedTuple):
    """What one run measured: output tokens per second, mean seconds to first token and per further token."""

    tokens_per_second: float
    ttft: float
    tpot: float


def at_concurrency(models: tuple[StepModel, ...], limits: Limits, mix: tuple[Kind, ...], count: int) -> AtConcurrency:
    """Simulate `count` requests in flight, with each of the step models and both ways to begin."""
    runs = [closed_loop(model, limits, mix, count, spread) for model, spread in product(models, (False, True))]

    def ends(values: list[float]) -> Range:
        return min(values), max(values)

    return AtConcurrency(
        concurrent_requests=count,
        output_tokens_per_second=ends([run.tokens_per_second for run in runs]),
        ttft_seconds=ends([run.ttft for run in runs]),
        tpot_seconds=ends([run.tpot for run in runs]),
    )


def closed_loop(model: StepModel, limits: Limits, mix: tuple[Kind, ...], count: int, spread: bool) -> Seen:
    """Run one replica with `count` requests in flight, which begin together or `spread` over the time that one takes."""
    total = max(FEWEST, ROUNDS * count)
    kinds = iter([mix[number] for number in drawn(mix, total, 0)])
    coming = deque(_beginnings(model, mix, count, spread))
    engine, now, left, done = Engine(model, limits), 0.0, total - count, []
    while coming or engine.busy:
        while coming and coming[0] <= now:
            kind = next(kinds)
            engine.add(Request(coming.popleft(), kind.prompt, kind.output))
        if not engine.busy:
            now = coming[0]
            continue
        step = engine.step(now, coming[0] if coming else FAR)
        now = step.end
        done += step.finished
        again = min(left, len(step.finished))
        left -= again
        coming.extendleft([now] * again)
    return _seen(done, count)


def _seen(done: list[Request], count: int) -> Seen:
    """Measure between the end of the first requests, of which some were alone, and the time when no new ones came."""
    begin = done[len(done) // 4].finished or 0.0
    end = done[len(done) - count].finished or 0.0
    middle = [one for one in done if one.finished is not None and begin < one.finished <= end] or done
    if end <= begin:
        begin, end = 0.0, done[-1].finished or 0.0
    return Seen(
        sum(one.output for one in middle) / (end - begin),
        fmean(one.ttft or 0.0 for one in middle),
        fmean(one.tpot or 0.0 for one in middle if one.output > 1) if any(one.output > 1 for one in middle) else 0.0,
    )


def _beginnings(model: StepModel, mix: tuple[Kind, ...], count: int, spread: bool) -> Iterator[float]:
    if not spread:
        yield from [0.0] * count
        return
    lasts = sum(
        kind.share * (model.prefill(kind.prompt) + kind.output * model.decode(count, kind.prompt + kind.output))
        for kind in mix
    )
    random = Random(1)  # noqa: S311 - a simulation
    yield from sorted(random.random() * lasts for _ in range(count))
