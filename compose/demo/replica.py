"""One replica of the demo fleet: the engine model kept abreast of the wall clock, and counted on a metrics page."""

from collections import deque
from heapq import heappop, heappush
from itertools import count
from math import inf

from plimsoll.compose.demo.page import Page
from plimsoll.compose.demo.traffic import Call
from plimsoll.slo.capacity.simulator.engine import Engine
from plimsoll.slo.capacity.simulator.request import Step


class Replica:
    """Times are seconds since the fleet started. A step counts once it has ended; what is asked for meanwhile waits."""

    def __init__(self, engine: Engine, page: Page) -> None:
        self.engine = engine
        self.page = page
        self.arrived = self.finished = self.abandoned = self.failed = 0
        self._clock = 0.0
        self._step: Step | None = None  # under way
        self._coming: deque[Call] = deque()
        self._patience: list[tuple[float, int, Call]] = []  # until when clients wait for a first token
        self._gone: list[Call] = []
        self._order = count()
        self._watched: set[Call] = set()

    @property
    def running(self) -> int:
        """Requests in the step that is under way."""
        return self._step.running if self._step else len(self.engine.running)

    @property
    def waiting(self) -> int:
        """Requests that are not in it."""
        return len(self.engine.waiting)

    @property
    def wake_at(self) -> float:
        """When somebody who watches a request expects its next token; inf if nobody does."""
        return self._step.end if self._step and self._watched else inf

    def submit(self, call: Call) -> None:
        """Take a call; calls come in order of arrival. Raises ValueError if it could never be served."""
        if not self.engine.fits(call):
            raise ValueError(f"{call.prompt} prompt tokens and {call.output} output tokens exceed the KV cache")
        self._coming.append(call)

    def leave(self, call: Call) -> None:
        """Note that the client of a call has gone."""
        self._gone.append(call)

    def advance(self, now: float) -> None:
        """Run the engine up to `now`, and show what then holds."""
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
        """When equal steps must end: somebody watches, comes, or loses patience."""
        if self._watched:
            return self._clock
        return min(
            now,
            self._coming[0].arrival if self._coming else inf,
            self._patience[0][0] if self._patience else inf,
        )

    def _take(self, now: float) -> None:
        """Queue the calls that have come."""
        while self._coming and self._coming[0].arrival <= now:
            call = self._coming.popleft()
            self.arrived += 1
            if call.fails:
                self.failed += 1
                self.page.add_answer(call.handler, "5xx")
                continue
            self.engine.add(call)
            if call.patience < inf:
                heappush(self._patience, (call.arrival + call.patience, next(self._order), call))
            if call.on_tokens:
                self._watched.add(call)

    def _release(self) -> None:
        """Drop the requests of clients who left, as vLLM does between two steps: no trace but an HTTP 2xx."""
        while self._patience and self._patience[0][0] <= self._clock:
            call = heappop(self._patience)[2]
            if call.first_token is None:
                self._gone.append(call)
        for call in self._gone:
            if call.finished is None:
                self.engine.abort(call)
                self.abandoned += 1
                self.page.add_answer(call.handler, "2xx")
                self._watched.discard(call)
        self._gone.clear()

    def _end(self, step: Step) -> None:
        self._clock = step.end
        self._step = None
        self.page.add_step(step)
        for call in self._watched:
            assert call.on_tokens  # noqa: S101 - what being watched means
            call.on_tokens(self.engine.generated(call))
        for request in step.finished:
            assert isinstance(request, Call)  # noqa: S101 - what `submit` takes
            self.finished += 1
            self.page.add_finished(request)
            self.page.add_answer(request.handler, "2xx")
            self._watched.discard(request)
