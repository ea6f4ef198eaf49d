"""One node of a simulated fleet: an engine with a life (ordered, ready, draining, stopped) and the numbers it publishes."""

from plimsoll.slo.capacity.model.signals import STALE, ReplicaSignals
from plimsoll.slo.capacity.simulator.engine import Engine
from plimsoll.slo.capacity.simulator.request import Limits, Request
from plimsoll.slo.capacity.simulator.step_time import StepModel

Samples = list[tuple[float, float]]


class Node:
    """A node with one replica. Times are seconds of the fleet's clock."""

    def __init__(self, name: str, model: StepModel, limits: Limits, ordered: float) -> None:
        self.name = name
        self.engine = Engine(model, limits)
        self.ordered = ordered
        self.max_queue = 0
        self._clock = ordered
        self._busy: list[tuple[float, float]] = []  # steps since the last sample, as (start, end)
        self._sampled = ordered
        self.busy = 0.0  # share of the last sampling interval in which a kernel ran, as NVML's utilization has it
        self._prompt = self._generated = self._finished = 0
        self._done: list[Request] = []
        self._samples: dict[str, Samples] = {
            name: []
            for name in (
                "waiting",
                "running",
                "kv_usage",
                "prompt_tokens",
                "generation_tokens",
                "finished",
                "found_tokens",
            )
        }

    def advance(self, now: float) -> None:
        """Run every step that starts before `now`; the last may end after it."""
        engine = self.engine
        while engine.busy and self._clock < now:
            step = engine.step(self._clock, now)
            self._busy.append((step.start, step.end))
            self._clock = step.end
            self._prompt += sum(request.prompt for request in step.first_tokens)
            self._generated += step.decodes * step.count + len(step.first_tokens) + len(step.resumed)
            self._finished += len(step.finished)
            self._done += step.finished
        self._clock = max(self._clock, now)

    def add(self, request: Request) -> None:
        """Queue a request that arrives now; `advance` to its arrival first."""
        self.engine.add(request)
        self.max_queue = max(self.max_queue, len(self.engine.waiting))

    def wake(self, now: float) -> None:
        """Begin to serve."""
        self._clock = self._sampled = now

    @property
    def load(self) -> int:
        """Requests that it has, waiting or running."""
        return len(self.engine.waiting) + len(self.engine.running)

    def sample(self, now: float) -> None:
        """Publish the state as of `now`, as a scrape finds it: that of the end of the step under way."""
        self.advance(now)
        total = self.engine.limits.num_blocks
        values = {
            "waiting": len(self.engine.waiting),
            "running": len(self.engine.running),
            "kv_usage": (total - self.engine.free_blocks) / total,
            "prompt_tokens": self._prompt,
            "generation_tokens": self._generated,
            "finished": self._finished,
            "found_tokens": self.engine.cache.hit_tokens if self.engine.cache else 0,
        }
        for name, value in values.items():
            self._samples[name].append((now, value))
        ran = sum(max(0.0, min(end, now) - max(start, self._sampled)) for start, end in self._busy)
        self.busy = ran / (now - self._sampled) if now > self._sampled else 0.0
        self._busy = [span for span in self._busy if span[1] > now]
        self._sampled = now

    def take_finished(self) -> list[Request]:
        """Return the requests that finished since the last call."""
        done, self._done = self._done, []
        return done

    def signals(self, now: float) -> ReplicaSignals | None:
        """Return the signals that the service would have; None before the first scrape."""
        waiting = self._samples["waiting"]
        if not waiting:
            return None
        return ReplicaSignals(self.name, now - waiting[-1][0] <= STALE, True, **self._samples, role="", asleep=False)
