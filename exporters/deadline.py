"""Calls that may hang: each runs in a daemon thread, one at a time, until a deadline.

A call that hangs inside a driver cannot be ended. Its thread stays behind (a daemon thread doesn't block the exit), and the
next caller gets DeadlineExceeded immediately.
"""

import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class DeadlineExceeded(Exception):
    """The call didn't end by its deadline."""


class DeadlineCall(Generic[T]):
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
        """Wait until `until` or the call's own deadline; raises DeadlineExceeded, or what the call raised."""
        if not self._done.wait(max(0.0, min(until, self.deadline) - time.monotonic())):
            raise DeadlineExceeded
        if self._error is not None:
            raise self._error
        return self._value

    @property
    def seconds(self) -> float:
        """Seconds that the call took, or has been running."""
        return (self.ended or time.monotonic()) - self.started

    def run(self) -> None:
        """Run the call on this thread."""
        try:
            self._value = self._work(self.deadline)
        except Exception as error:
            self.end(error)
        except BaseException as error:  # SystemExit from a library must neither look like a hang nor end the process
            self.end(RuntimeError(repr(error)))
        else:
            self.end(None)

    def end(self, error: Exception | None) -> None:
        """Record that the call ended, or could not start."""
        self._error = error
        self.ended = time.monotonic()
        self._done.set()


class SingleFlight(Generic[T]):
    """Runs at most one `work(deadline)` at a time, on its own thread; concurrent callers share the running call."""

    def __init__(self, name: str, work: Callable[[float], T]) -> None:
        self._name = name
        self._work = work
        self._lock = threading.Lock()
        self._call: DeadlineCall[T] | None = None
        self._queue: queue.SimpleQueue[DeadlineCall[T] | None] = queue.SimpleQueue()
        self._started = False

    def join(self, deadline: float) -> DeadlineCall[T]:
        """Start a call, or share the running one, even past its deadline: its `result` then raises DeadlineExceeded."""
        with self._lock:
            if self._call is None or self._call.ended is not None:
                self._call = DeadlineCall(self._work, deadline)
                self._start(self._call)
            return self._call

    def close(self) -> None:
        """End the thread once its running call ends. A later call would start no other."""
        self._queue.put(None)

    def _start(self, call: DeadlineCall[T]) -> None:
        """Queue the call for the thread. If the system cannot start a thread, the call fails, not the caller."""
        if not self._started:
            try:
                threading.Thread(target=self._run_calls, name=self._name, daemon=True).start()
            except RuntimeError as error:
                call.end(error)
                return
            self._started = True
        self._queue.put(call)

    def _run_calls(self) -> None:
        while (call := self._queue.get()) is not None:
            call.run()
