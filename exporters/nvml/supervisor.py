"""The child process that loads the driver library, as the exporter sees it: requests, deadlines and exits."""

import json
import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, cast

from plimsoll.exporters.collector import Point
from plimsoll.exporters.deadline import DeadlineExceeded
from plimsoll.slo.metrics import BY_NAME

Report = dict[str, Any]
NVML = "plimsoll.exporters.nvml.child"
RELEASE_SECONDS = 5.0
OnXid = Callable[[str, int, float], None]


class ChildExited(Exception):
    """The child exited. `cause` is a label value of the restarts, `reason` one of gpu_not_readable."""

    def __init__(self, cause: str, message: str, reason: str) -> None:
        super().__init__(message)
        self.cause = cause
        self.reason = reason


class Child:
    """One child process. It calls `on_xid`, on its own thread, for each XID. Times are time.monotonic() seconds."""

    def __init__(self, on_xid: OnXid, module: str = NVML) -> None:
        """Start the module's program; raises OSError."""
        self.on_xid = on_xid
        self.started = time.monotonic()
        self._changed = threading.Condition()
        self._points: dict[int, list[Point]] = {}  # of each GPU's last values, by its index
        self._names: dict[int, frozenset[str]] = {}
        self._requested: float | None = None
        self._response: list[Report] | None = None
        self._exit: ChildExited | None = None
        command = [sys.executable, "-P", "-m", module]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._stdin, self._stdout = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        threading.Thread(target=self._receive, name="NVML responses", daemon=True).start()

    def ask(self, until: float, deadline: float) -> list[Report]:
        """Return a report per GPU by `until`. Raises DeadlineExceeded at `deadline`, or immediately if a response is overdue; ChildExited."""
        with self._changed:
            if self._exit is None and self._requested is not None and self._response is None:
                raise DeadlineExceeded
            self._response, self._requested = None, time.monotonic()
            self._send(until)
            self._changed.wait_for(
                lambda: self._response is not None or self._exit is not None, deadline - time.monotonic()
            )
            if self._response is not None:
                return self._response
            if self._exit is not None:
                raise self._exit
            raise DeadlineExceeded

    def overdue_seconds(self) -> float:
        """Return for how many seconds a response has been overdue."""
        with self._changed:
            return time.monotonic() - self._requested if self._requested is not None and self._response is None else 0.0

    def kill(self) -> None:
        """Kill the child, without waiting. One stuck in the driver ends when the driver call returns."""
        self.on_xid = _ignore_xid
        self._process.kill()

    def wait(self) -> None:
        """Wait until a killed child has ended: only then are its devices closed. One stuck in the driver isn't waited for."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(RELEASE_SECONDS)

    def _send(self, until: float) -> None:
        with suppress(OSError, ValueError):  # it exited, or is about to: the receiving thread reports how
            self._stdin.write(f"{until}\n".encode())
            self._stdin.flush()

    def _complete(self, reports: list[Report]) -> None:
        """Add the points of the values and the names of their metrics: the child sends only what changes."""
        for report in reports:
            index = report["index"]
            if "series" in report:
                uuid = {"uuid": report["info"]["uuid"]}
                self._points[index] = [Point(BY_NAME[name], uuid | own, math.nan) for name, own in report["series"]]
                self._names[index] = frozenset(name for name, _ in report["series"])
            if "values" in report:
                points = self._points[index] = self._points[index].copy()  # the last one's list may be in use
                for place, value in report["values"]:
                    points[place] = Point(points[place].metric, points[place].labels, value)
                report["points"], report["names"] = points, self._names[index]

    def _receive(self) -> None:
        end: ChildExited | None = None
        for line in self._stdout:
            if not line.endswith(b"\n"):
                break  # killed while writing
            message = json.loads(line)
            if "xid" in message:
                self.on_xid(*message["xid"])
            elif "dead" in message:
                end = ChildExited(*message["dead"])
            else:
                self._complete(message["gpus"])
                with self._changed:
                    self._response = message["gpus"]
                    self._changed.notify_all()
        code = self._process.wait()
        with self._changed:
            self._exit = end or _exited(code)
            self._changed.notify_all()
        for pipe in (self._stdin, self._stdout):
            with suppress(OSError):
                pipe.close()


def _ignore_xid(_uuid: str, _xid: int, _at: float) -> None:
    """Ignore XIDs of a dropped child."""


def _exited(code: int) -> ChildExited:
    how = signal.Signals(-code).name if code < 0 else f"exit {code}"
    return ChildExited(
        how, f"the process with the driver library ended by {how}. Check `dmesg` and the log.", "library_crashed"
    )
