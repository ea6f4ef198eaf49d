"""One replica of the demo fleet: the engine model advanced with the wall clock, and its metrics."""

from collections import deque
from heapq import heappop, heappush
from itertools import count
from math import inf

from plimsoll.compose.demo.exposition import Page
from plimsoll.compose.demo.traffic import Call
from plimsoll.slo.capacity.simulator.engine import Engine
from plimsoll.slo.capacity.simulator.request import Step


class Replica:
    """Times are seconds since the fleet started. A step takes effect when it ends; requests that arrive meanwhile wait."""

    def __init__(self, engine: Engine, page: Page) -> None:
        self.engine = engine
        self.page = page
        self.arrived = self.finished = self.abandoned = self.failed = 0
        self._clock = 0.0
        self._step: Step | None = None  # in progress
        self._coming: deque[Call] = deque()
        self._timeouts: list[tuple[float, int, Call]] = []  # when clients stop waiting for a first token
        self._disconnected: list[Call] = []
        self._order = count()
        self._watched: set[Call] = set()

    @property
    def running(self) -> int:
        """Requests in the current step."""
        return self._step.running if self._step else len(self.engine.running)

    @property
    def waiting(self) -> int:
        """Requests outside the current step."""
        return len(self.engine.waiting)

    @property
    def wake_at(self) -> float:
        """When a streaming client expects its next token; inf without one."""
        return self._step.end if self._step and self._watched else inf

    def submit(self, call: Call) -> None:
        """Accept a call, in order of arrival. Raises ValueError if it can never be served."""
        if not self.engine.fits(call):
            raise ValueError(f"{call.prompt} prompt tokens and {call.output} output tokens exceed the KV cache")
        self._coming.append(call)

    def leave(self, call: Call) -> None:
        """Record that the client of a call disconnected."""
        self._disconnected.append(call)

    def advance(self, now: float) -> None:
        """Run the engine up to `now`, and update the metrics."""
        while not (self._step and self._step.end > now):
            if self._step:
                self._end(self._step)
            self._take(self._clock)
            self._release()
            if self.engine.busy:
                self._step = self.engine.step(self._clock, self._until(now))
            elif self._coming and self._coming[0].arrival <= now:
                self._clock = self._coming[0].arrival
            else:
                self._clock = now
                break
        self._take(now)
        used = self._step.blocks if self._step else 0
        self.page.set_state(self.running, self.waiting, used)

    def _until(self, now: float) -> float:
        """When a run of equal steps must end: a client streams, arrives, or disconnects."""
        if self._watched:
            return self._clock
        return min(
            now,
            self._coming[0].arrival if self._coming else inf,
            self._timeouts[0][0] if self._timeouts else inf,
        )

    def _take(self, now: float) -> None:
        """Queue the arrived calls."""
        while self._coming and self._coming[0].arrival <= now:
            call = self._coming.popleft()
            self.arrived += 1
            if call.fails:
                self.failed += 1
                self.page.add_answer(call.handler, "5xx")
                continue
            self.engine.add(call)
            if call.patience < inf:
                heappush(self._timeouts, (call.arrival + call.patience, next(self._order), call))
            if call.on_tokens:
                self._watched.add(call)

    def _release(self) -> None:
        """Drop the requests of disconnected clients, as vLLM does between two steps: only an HTTP 2xx remains."""
        while self._timeouts and self._timeouts[0][0] <= self._clock:
            call = heappop(self._timeouts)[2]
            if call.first_token is None:
                self._disconnected.append(call)
        for call in self._disconnected:
            if call.finished is None:
                self.engine.abort(call)
                self.abandoned += 1
                self.page.add_answer(call.handler, "2xx")
                self._watched.discard(call)
        self._disconnected.clear()

    def _end(self, step: Step) -> None:
        self._clock = step.end
        self._step = None
        self.page.add_step(step)
        for call in self._watched:
            assert call.on_tokens  # noqa: S101 - streamed calls have it
            call.on_tokens(self.engine.generated(call))
        for request in step.finished:
            assert isinstance(request, Call)  # noqa: S101 - the type that `submit` accepts
            self.finished += 1
            self.page.add_finished(request)
            self.page.add_answer(request.handler, "2xx")
            self._watched.discard(request)
