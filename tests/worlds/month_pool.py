"""One pool of a simulated month: what its replicas do in every minute, as arrays (replicas x minutes), and the requests that they serve.

A replica is listed by Prometheus, its exporter responds, its engine runs, and it gets traffic, or not. Requests are Poisson
numbers of the demand's share; latencies are binned draws of a log-normal distribution whose median rises with the load; a ratio of
them can be spoiled. Everything follows from the seed.
"""

from dataclasses import dataclass, field
from math import erf, sqrt

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]
HOUR, DAY, WEEK = 60, 1440, 10080  # minutes; minute 0 is a Monday's midnight
SPREAD = 0.45  # of the logarithm of a latency
COLD = 15  # minutes in which a prefix cache fills after a start: first tokens take longer
BOUNDS = {
    "ttft": (0.25, 0.4, 0.6, 1.0, 2.5),
    "tpot": (0.025, 0.04, 0.05, 0.1),
    "duration": (2.0, 4.0, 10.0, 30.0),
}
# Ratios of spoiled requests that add up to each kind's bad ones: late first tokens, slow tokens.
SPOILED = {"ttft": "late", "tpot": "slow", "duration": "slow"}


@dataclass(frozen=True)
class Plan:
    """A pool: requests/min of a replica at the weekday's peak, the sizes (without spares) by night and by day, and median latencies in seconds."""

    name: str
    replicas: int
    per_minute: float
    by_night: int
    spares: int = 0
    night: float = 0.25  # ratio of the peak
    weekend: float = 0.5
    office_hours: tuple[int, int] = (8, 19)  # in which the pool has its full size, on weekdays
    batch: bool = False
    medians: dict[str, float] = field(default_factory=lambda: {"ttft": 0.17, "tpot": 0.011, "duration": 1.5})

    @property
    def model(self) -> str:
        """The model that the pool serves."""
        return f"org/{self.name}"


class MonthPool:
    """States of a pool's replicas; events change them before `serve` counts the requests."""

    def __init__(self, plan: Plan, minutes: int, random: np.random.Generator) -> None:
        self.plan, self.minutes, self.random = plan, minutes, random
        shape = (plan.replicas, minutes)
        clock = np.arange(minutes)
        self.open = _office_hours(plan, clock)
        self.demand = _demand(plan, clock, random)
        size = np.where(self.open, plan.replicas - plan.spares, plan.by_night)
        order = np.arange(plan.replicas)[:, None]
        spare = order >= plan.replicas - plan.spares
        self.listed: Flags = (order < size) | spare  # the node exists: Prometheus scrapes it
        self.exporter, self.engine = self.listed.copy(), self.listed.copy()
        self.balanced: Flags = np.broadcast_to(~spare, shape).copy()  # the balancer may send requests to it
        self.stalled, self.gpu = np.zeros(shape, bool), np.ones(shape, bool)
        self.late, self.slow, self.failed = (np.zeros(shape) for _ in range(3))
        self.queued, self.transfers_failed = np.zeros(shape), np.zeros(shape)
        self.xids: dict[int, int] = {}  # replica -> minute at which its first GPU fell off the bus
        self._bursts()

    def _bursts(self) -> None:
        """Two times on an ordinary day, a client sends long prompts: for some minutes a tenth of the first tokens are late."""
        for day in range(self.minutes // DAY):
            for at in self.random.integers(8 * HOUR, 20 * HOUR, 2):
                begin = day * DAY + int(at)
                self.late[:, begin : begin + int(self.random.integers(2, 6))] = 0.1

    def lost(self, replica: int, span: slice, start: int = 3, listed: bool = True) -> None:
        """The node is gone for a while, and its engine for `start` more minutes; `listed`: Prometheus still tries to scrape it."""
        self.exporter[replica, span] = self.engine[replica, span] = False
        self.listed[replica, span] &= listed
        self.engine[replica, span.stop : span.stop + start] = False

    def restarted(self, replica: int, at: int, start: int = 3) -> None:
        """The engine ends, and starts again."""
        self.engine[replica, at : at + start] = False

    def serve(self) -> None:
        """Count the requests of every minute and replica, by latency and outcome."""
        self.engine &= self.listed
        active = self.engine & self.balanced
        share = np.where(active, self.demand / np.maximum(active.sum(axis=0), 1), 0.0)
        self.load: Numbers = share / self.plan.per_minute
        self.arriving: Counts = self.random.poisson(share)
        self.requests: Counts = np.where(self.stalled, 0, self.arriving)
        self.born = _born(self.engine)
        slower = 1 + 0.3 * np.maximum(0.0, self.load - 0.7) + 0.3 * (self.age < COLD)
        self.within = {kind: self._within(kind, slower) for kind in BOUNDS}
        self.errors: Counts = self.random.binomial(self.requests, np.clip(self.failed + 1e-4, 0, 1))
        self.failures: Counts = self.random.binomial(self.requests, np.clip(self.transfers_failed, 0, 1))
        self.abandoned: Counts = np.where(self.stalled, self.random.binomial(self.arriving, 0.3), 0)

    @property
    def age(self) -> Counts:
        """Minutes since each engine's start."""
        return np.asarray(np.arange(self.minutes) - self.born)

    def _within(self, kind: str, slower: Numbers) -> list[Counts]:
        """Return the requests within each bound of a kind's histogram, cumulative, without the last bound (infinity)."""
        spoiled = self.random.binomial(self.requests, np.clip(getattr(self, SPOILED[kind]), 0, 1))
        rest, beyond = self.requests - spoiled, np.ones_like(slower)
        median, reached = self.plan.medians[kind] * slower, np.zeros_like(self.requests)
        found = []
        bounds = BOUNDS[kind]
        for bound in bounds:
            above = 1 - _normal(np.log(bound / median) / SPREAD)
            inside = self.random.binomial(rest, np.clip(1 - above / beyond, 0, 1))
            rest, beyond, reached = rest - inside, np.maximum(above, 1e-12), reached + inside
            found.append(reached + (spoiled if bound == bounds[-1] else 0))
        return found


def _office_hours(plan: Plan, clock: Counts) -> Flags:
    begin, end = plan.office_hours
    return np.asarray((clock % WEEK < 5 * DAY) & (clock % DAY >= begin * HOUR) & (clock % DAY < end * HOUR))


def _demand(plan: Plan, clock: Counts, random: np.random.Generator) -> Numbers:
    """Return the pool's requests/min: a bell by day, quieter weekends, and a noise that lasts for minutes."""
    hour = clock % DAY / HOUR
    bell = np.exp(-(((hour - 13.5) / 5.5) ** 2))
    shape = plan.night + (1 - plan.night) * (1 - bell if plan.batch else bell)
    shape = shape * np.where(clock % WEEK < 5 * DAY, 1.0, plan.weekend)
    if not plan.by_night:
        shape = shape * _office_hours(plan, clock)
    steps = random.normal(0, 0.04, len(clock) + 10)
    noise = np.convolve(steps, np.ones(10), "valid")[: len(clock)] / sqrt(10)
    return np.asarray((plan.replicas - plan.spares) * plan.per_minute * shape * np.exp(noise))


def _born(engine: Flags) -> Counts:
    """Return the minute at which each engine started, at every minute; long ago for those that run at the beginning."""
    clock = np.arange(engine.shape[1])
    before = np.concatenate([engine[:, :1], engine[:, :-1]], axis=1)
    starts = np.where(engine & ~before, clock, -DAY)
    return np.asarray(np.maximum.accumulate(starts, axis=1))


_GRID = np.linspace(-8, 8, 1601)
_CUMULATIVE = np.array([0.5 * (1 + erf(z / sqrt(2))) for z in _GRID])


def _normal(z: Numbers) -> Numbers:
    """Return the normal distribution, interpolated."""
    return np.asarray(np.interp(z, _GRID, _CUMULATIVE))
