"""The service's clock: the system clock, but for a time that is days ahead or behind for some minutes.

A wrong clock would be knowledge that is wrong: slots of the future, advice on old data. So a jump is not followed at once. The
service goes on by the time that has passed since; it takes a new time once that has held for HOLD_SECONDS, or after a restart.
"""

import time
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

JUMP_SECONDS = 60.0  # smaller steps are followed at once: time synchronization makes them
HOLD_SECONDS = 600.0


def elapsed() -> float:
    """Return seconds since some moment, which no setting of a clock changes; with time in suspend where the system counts it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Jump(NamedTuple):
    """A jump of the system clock that isn't followed yet: its seconds, and when it was noticed (`elapsed`)."""

    seconds: float
    noticed_at: float


class SystemClock:
    """Gives Unix seconds. Thread-safe."""

    def __init__(self, wall: Callable[[], float] = time.time, passed: Callable[[], float] = elapsed) -> None:
        """`wall` gives the system's Unix seconds, `passed` the seconds that have passed since some moment."""
        self._wall, self._passed, self._lock = wall, passed, Lock()
        self._offset = wall() - passed()
        self._jump: Jump | None = None

    def __call__(self) -> float:
        """Return Unix seconds."""
        return self._read()[0]

    @property
    def jump(self) -> float:
        """Seconds by which the system clock is ahead of this one since a jump; 0 without one."""
        found = self._read()[1]
        return found.seconds if found else 0.0

    def _read(self) -> tuple[float, Jump | None]:
        with self._lock:
            passed = self._passed()
            seconds = self._wall() - passed - self._offset
            before = self._jump
            if abs(seconds) < JUMP_SECONDS:
                self._jump = None
            elif before is None or abs(seconds - before.seconds) >= JUMP_SECONDS:
                self._jump = Jump(seconds, passed)
            elif passed - before.noticed_at >= HOLD_SECONDS:
                self._jump = None
            if self._jump is None:
                self._offset += seconds
            return passed + self._offset, self._jump
