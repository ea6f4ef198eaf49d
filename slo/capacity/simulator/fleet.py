"""A fleet in which nodes start, drain, stop and are lost while traffic is dealt to it and a policy decides how many there are.

A discrete-event simulation over `plimsoll.slo.capacity.simulator.engine`; open loop but for turns of sessions
(plimsoll.slo.capacity.simulator.sessions), deterministic. Every 15 s each serving node is scraped;
the policy sees the samples that a live service would hold, and nothing else. A node costs from the order to start it
until it stopped; a node that is asked to go takes no new request and stops when its last one is done.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import NamedTuple
from zlib import crc32

from plimsoll.slo.capacity.model.signals import MEMORY
from plimsoll.slo.capacity.simulator.policy import Policy, View
from plimsoll.slo.capacity.simulator.replay import Result
from plimsoll.slo.capacity.simulator.replica import Node
from plimsoll.slo.capacity.simulator.request import Limits, Request
from plimsoll.slo.capacity.simulator.sessions import in_order
from plimsoll.slo.capacity.simulator.step_time import StepModel
from plimsoll.slo.capacity.simulator.traces import Arrival

SCRAPE = 15.0  # seconds between samples; Prometheus' scrape interval in the stack that we ship
HOUR = 3600.0
ROUTINGS = ("round-robin", "least-loaded", "prefix-sticky")
BOUND = 1.25  # times the mean load that a node may have before what sticks to it goes elsewhere


@dataclass(frozen=True, slots=True)
class Setup:
    """What a fleet is made of. Times in seconds; `admission` is the longest queue of a node (None: no limit); `slowness` are
    factors on the step times of the nodes, in turn as they are ordered."""

    model: StepModel
    limits: Limits
    least: int
    most: int
    cold_start: float = 150.0  # documents: 90 s download and 60 s load
    warm_start: float = 5.0
    warm_spares: int = 0
    routing: str = "round-robin"
    admission: int | None = None
    slowness: tuple[float, ...] = (1.0,)
    losses: tuple[float, ...] = ()  # when a node dies; its requests die with it
    replica: str = ""  # what a node runs, in words
    gpus: int = 1  # of a node


class Moment(NamedTuple):
    """The fleet at a scrape: seconds since the beginning, nodes that serve, nodes that are paid, requests that wait."""

    time: float
    serving: int
    paid: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the requests, and what it took. `result.rejected` holds rejected, lost and unservable ones alike."""

    result: Result
    rejected: int  # answered 503: the queue was full, or no node served
    lost: int  # died with their node
    node_hours: float
    scale_events: int  # decisions that changed the number of nodes
    direction_changes: int  # changes of direction among them
    most_nodes: int
    seconds_queued: float  # during which requests waited at a scrape
    timeline: tuple["Moment", ...] = ()


def run(
    arrivals: Sequence[Arrival], policy: Policy, setup: Setup, progress: Callable[[float], None] = lambda _: None
) -> Outcome:
    """Serve all arrivals (in order of time) under a policy; `progress` hears the time of each evaluation.

    Raises ValueError for an empty fleet or an unknown routing.
    """
    return _Fleet(arrivals, policy, setup, progress).run()


class _Fleet:
    def __init__(
        self, arrivals: Sequence[Arrival], policy: Policy, setup: Setup, progress: Callable[[float], None]
    ) -> None:
        if not 1 <= setup.least <= setup.most:
            raise ValueError(f"nodes {setup.least}:{setup.most}: write MIN:MAX with 1 <= MIN <= MAX")
        if setup.routing not in ROUTINGS:
            raise ValueError(f"routing {setup.routing!r}: known are {', '.join(ROUTINGS)}")
        self.policy, self.setup, self.progress = policy, setup, progress
        self.arrivals, self.requests = arrivals, [Request(*arrival[:4]) for arrival in arrivals]
        self.serving: list[Node] = []
        self.draining: list[Node] = []
        self.starting: list[Node] = []  # ordered, or activated, and not serving yet
        self.spares: list[Node] = []  # on standby; those still loading are in `starting_spares`
        self.starting_spares: list[Node] = []
        self.stopped: list[tuple[float, Node]] = []  # stopped or lost; their samples are still in memory
        self.events: list[tuple[float, int, Callable[[float], None]]] = []
        self.tickets, self.names, self.turn = count(), count(1), 0
        self.rejected = self.lost = self.scale_events = self.direction_changes = self.direction = self.most_nodes = 0
        self.under_water = self.node_seconds = self.end = 0.0
        self.evaluated = -inf
        self.queues = 0
        self.timeline: list[Moment] = []

    def run(self) -> Outcome:
        first = self.policy.decide(View(-SCRAPE, self.setup.least, 0, (), ()))
        for _ in range(self._limited(first)):
            self.serving.append(self._new(0.0))
        self.most_nodes = len(self.serving)
        self.spares = [self._new(0.0) for _ in range(self.setup.warm_spares)]
        for time in self.setup.losses:
            self._at(time, self._lose)
        self._at(0.0, self._tick)
        for request in in_order(self.arrivals, self.requests, self._look):
            self._events_until(request.arrival)
            self._deal(request)
        while self._unfinished():
            self._events_until(self.events[0][0])
        return self._outcome()

    def _at(self, time: float, what: Callable[[float], None]) -> None:
        heappush(self.events, (time, next(self.tickets), what))

    def _events_until(self, time: float) -> None:
        while self.events and self.events[0][0] <= time:
            at, _, what = heappop(self.events)
            what(at)

    def _look(self, until: float) -> bool:
        self._events_until(until)
        for node in (*self.serving, *self.draining):
            node.advance(until)
        return self._unfinished()

    def _unfinished(self) -> bool:
        return any(node.engine.busy for node in (*self.serving, *self.draining))

    def _new(self, now: float) -> Node:
        number = next(self.names)
        factor = self.setup.slowness[(number - 1) % len(self.setup.slowness)]
        return Node(f"node-{number}", self.setup.model.times(factor), self.setup.limits, now)

    # Requests

    def _deal(self, request: Request) -> None:
        if not self.serving:
            self.rejected += 1
            return
        node = self._route(request)
        node.advance(request.arrival)
        if self.setup.admission is not None and len(node.engine.waiting) >= self.setup.admission:
            self.rejected += 1
        elif node.engine.fits(request):
            node.add(request)

    def _route(self, request: Request) -> Node:
        if self.setup.routing == "round-robin":
            self.turn += 1
            return self.serving[(self.turn - 1) % len(self.serving)]
        for node in self.serving:
            node.advance(request.arrival)
        if self.setup.routing == "least-loaded" or not request.prefix:
            return min(self.serving, key=lambda node: node.load)
        # Rendezvous hashing, so that few prompts move when nodes come and go; with bounded loads (Mirrokni et al., 2018).
        bound = BOUND * (1 + sum(node.load for node in self.serving)) / len(self.serving)
        first = request.prefix[0]
        wanted = sorted(self.serving, key=lambda node: crc32(f"{node.name} {first}".encode()))
        return next(node for node in wanted if node.load <= bound)

    # Nodes

    def _start(self, now: float) -> None:
        """Wake a warm spare, with a new one ordered behind it, or order a cold node."""
        if self.spares:
            node, delay = self.spares.pop(0), self.setup.warm_start
            spare = self._new(now)
            self.starting_spares.append(spare)
            self._at(now + self.setup.cold_start, lambda at: self._stand_by(spare, at))
        else:
            node, delay = self._new(now), self.setup.cold_start
        self.starting.append(node)
        self._at(now + delay, lambda at: self._serve(node, at))

    def _stand_by(self, node: Node, now: float) -> None:
        self.starting_spares.remove(node)
        self.spares.append(node)

    def _serve(self, node: Node, now: float) -> None:
        if node in self.starting:  # else it was given back before it was ready
            self.starting.remove(node)
            node.wake(now)
            self.serving.append(node)

    def _scale_in(self, now: float) -> None:
        """Call off the youngest order, or drain the serving node that has the least to do."""
        if self.starting:
            self._stop(self.starting.pop(), now)
            return
        for node in self.serving:
            node.advance(now)
        node = min(reversed(self.serving), key=lambda node: node.load)
        self.serving.remove(node)
        self.draining.append(node)
        self._stop_drained(now)

    def _stop_drained(self, now: float) -> None:
        for node in [node for node in self.draining if not node.engine.busy]:
            self.draining.remove(node)
            self._stop(node, now)

    def _stop(self, node: Node, now: float) -> None:
        self.node_seconds += max(0.0, now - node.ordered)
        self.queues = max(self.queues, node.max_queue)
        self.end = max(self.end, now)
        self.stopped.append((now, node))

    def _lose(self, now: float) -> None:
        if not self.serving:
            return
        node = self.serving.pop(0)
        node.advance(now)
        self.lost += node.load
        self._stop(node, now)

    # Decisions

    def _tick(self, now: float) -> None:
        for node in self.serving:
            node.sample(now)
        for node in self.draining:
            node.advance(now)
        self._stop_drained(now)
        waiting = sum(len(node.engine.waiting) for node in self.serving)
        self.under_water += SCRAPE if waiting else 0.0
        paid = sum(map(len, (self.serving, self.draining, self.starting, self.spares, self.starting_spares)))
        self.timeline.append(Moment(now, len(self.serving), paid, waiting))
        if now - self.evaluated >= self.policy.interval:
            self.evaluated = now
            self._decide(now)
            self.progress(now)
        self._at(now + SCRAPE, self._tick)

    def _decide(self, now: float) -> None:
        self.stopped = [(at, node) for at, node in self.stopped if now - at < MEMORY]
        known = [*self.serving, *self.draining, *(node for _, node in self.stopped)]
        signals = tuple(found for node in known if (found := node.signals(now)) is not None)
        busy = tuple(node.busy for node in self.serving)
        finished = tuple(request for node in known for request in node.take_finished())
        view = View(now, len(self.serving), len(self.starting), signals, busy, finished)
        wanted = self._limited(self.policy.decide(view))
        step = (wanted > view.nodes) - (wanted < view.nodes)
        if step == 0:
            return
        self.scale_events += 1
        self.direction_changes += self.direction == -step
        self.direction = step
        for _ in range(abs(wanted - view.nodes)):
            self._start(now) if step > 0 else self._scale_in(now)
        self.most_nodes = max(self.most_nodes, wanted)

    def _limited(self, wanted: int) -> int:
        return min(max(wanted, self.setup.least), self.setup.most)

    def _outcome(self) -> Outcome:
        end = max([self.requests[-1].arrival, self.end, *(request.finished or 0.0 for request in self.requests)])
        for node in (*self.serving, *self.draining, *self.starting, *self.spares, *self.starting_spares):
            self._stop(node, end)
        served = [request for request in self.requests if request.finished is not None]
        return Outcome(
            Result(served, len(self.requests) - len(served), self.queues),
            self.rejected,
            self.lost,
            self.node_seconds / HOUR,
            self.scale_events,
            self.direction_changes,
            self.most_nodes,
            self.under_water,
            tuple(self.timeline),
        )
