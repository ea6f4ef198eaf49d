"""Calls that may hang: each runs in a daemon thread, one at a time, and is waited for until a deadline.

A call that hangs inside a driver cannot be ended. Its thread is left behind (daemon, so that the process can still exit)
and the next caller learns at once that it is late, instead of waiting again.
"""

import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Late(Exception):
    """The call has not ended by its deadline."""


class Flight(Generic[T]):
    """One running call. Times are time.monotonic() seconds; `ended` is None while it runs."""

    def __init__(self, work: Callable[[float], T], deadline: float) -> None:
        self.deadline = deadline
        self.started = time.monotonic()
        self.ended: float | None = None
        self._work = work
        self._done = threading.Event()
        self._value: T
        self._error: Exception | None = None

    def result(self, until: float) -> T:
        """Wait until `until` or the flight's own deadline; raises Late, or what the call raised."""
        if not self._done.wait(max(0.0, min(until, self.deadline) - time.monotonic())):
            raise Late
        if self._error is not None:
            raise self._error
        return self._value

    @property
    def seconds(self) -> float:
        """How long the call took, or has been running."""
        return (self.ended or time.monotonic()) - self.started

    def run(self) -> None:
        """Make the call, on this thread."""
        try:
            self._value = self._work(self.deadline)
        except Exception as error:
            self.end(error)
        except BaseException as error:  # SystemExit from a library: it must not pass for a hang, nor end the process
            self.end(RuntimeError(repr(error)))
        else:
            self.end(None)

    def end(self, error: Exception | None) -> None:
        """The call has ended, or could not begin."""
        self._error = error
        self.ended = time.monotonic()
        self._done.set()


class SingleFlight(Generic[T]):
    """Runs `work(deadline)` at most once at a time, on a thread of its own; callers meanwhile share the running call."""

    def __init__(self, name: str, work: Callable[[float], T]) -> None:
        self._name = name
        self._work = work
        self._lock = threading.Lock()
        self._flight: Flight[T] | None = None
        self._waiting: queue.SimpleQueue[Flight[T]] = queue.SimpleQueue()
        self._begun = False

    def join(self, deadline: float) -> Flight[T]:
        """Start a call, or share the one that still runs (late ones too: their `result` raises Late at once)."""
        with self._lock:
            if self._flight is None or self._flight.ended is not None:
                self._flight = Flight(self._work, deadline)
                self._launch(self._flight)
            return self._flight

    def _launch(self, flight: Flight[T]) -> None:
        """Hand the call to the thread; a system that refuses one makes the call fail, not the caller."""
        if not self._begun:
            try:
                threading.Thread(target=self._work_on, name=self._name, daemon=True).start()
            except RuntimeError as error:
                flight.end(error)
                return
            self._begun = True
        self._waiting.put(flight)

    def _work_on(self) -> None:
        while True:
            self._waiting.get().run()
