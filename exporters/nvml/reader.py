"""Keeps a child process with the driver library: starts it, asks it, and replaces it when another one may read more."""

import threading
import time
from collections import Counter
from contextlib import suppress

from plimsoll.exporters.collector import CollectorError
from plimsoll.exporters.deadline import DeadlineExceeded
from plimsoll.exporters.nvml.errors import DEVICES_LOST, UNKNOWN
from plimsoll.exporters.nvml.supervisor import Child, ChildExited, OnXid, Report

# Fraction of the scrape's time for the GPUs. The rest is for returning the response on a busy machine before the scrape's
# deadline (a tenth was too little with five runnable tasks per core).
GPU_SHARE = 0.6
MAX_MARGIN = 0.5
# Replacements start immediately, then after 1, 2, 4 ... seconds, and immediately again after a child that ran this long.
MAX_PAUSE = 60.0
STEADY_SECONDS = 60.0
MAX_REPLACEMENT_PAUSE = 3600.0
# Consecutive scrapes with UNKNOWN from every GPU: typical of a container that lost its devices.
MAX_UNKNOWN = 3
# Children that ended one after the other with the same problem, after which only a restart of the container may help.
HOPELESS = 3
NOT_RESPONDING = "not_responding"


class NotReadableError(CollectorError):
    """No GPU can be asked; `reason` is a value of the label of gpu_not_readable."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Reader:
    """The current child of one vendor's driver library (`module`: its program). `read` must not run concurrently."""

    def __init__(self, module: str, on_xid: OnXid, stuck_seconds: float) -> None:
        self.restarts: Counter[str] = Counter()
        self._module = module
        self._on_xid = on_xid
        self._stuck_seconds = stuck_seconds
        self._lock = threading.Lock()  # guards the child: a replacement may happen during a scrape
        self._child: Child | None = None
        self._closed = False
        self._failures, self._not_before = 0, 0.0
        self._ended = NotReadableError("not started", NOT_RESPONDING)
        self._same_end = 0
        self._unknown = 0
        self._replacer: threading.Thread | None = None
        self._failed_replacements, self._replace_not_before = 0, 0.0

    def close(self) -> None:
        """End the child for good."""
        with self._lock:
            self._closed = True
            if self._child is not None:
                self._child.kill()

    def release(self) -> None:
        """End the child, which lets go of the devices; the next `read` starts another one at once."""
        with self._lock:
            if self._child is not None:
                self._child.kill()
                self._child.wait()
            self._child, self._failures, self._not_before = None, 0, 0.0

    def hopeless(self) -> bool:
        """Return whether children end with one problem that a new container may cure, and this process can't."""
        return self._same_end >= HOPELESS

    def read(self, deadline: float) -> list[Report]:
        """Return a report per GPU; raises NotReadableError if the library doesn't start or doesn't respond."""
        now = time.monotonic()
        until = max(deadline - MAX_MARGIN, now + (deadline - now) * GPU_SHARE)
        while True:
            child = self._current()
            try:
                reports = child.ask(until, deadline)
            except DeadlineExceeded:
                if child.overdue_seconds() > self._stuck_seconds:
                    self._drop(child, ChildExited("stuck", "the driver library isn't responding", NOT_RESPONDING))
                raise NotReadableError(
                    "the driver library isn't responding. The reader restarts if this persists.", NOT_RESPONDING
                ) from None
            except ChildExited as end:
                self._drop(child, end)
            else:
                self._check(reports)
                return reports

    def restart(self, cause: str) -> None:
        """Replace the child at the next `read`: it lists the devices that were there when it started."""
        with self._lock:
            if self._child is not None:
                self._child.kill()
                self._child = None
                self.restarts[cause] += 1

    def _current(self) -> Child:
        with self._lock:
            if self._child is None:
                if self._closed or time.monotonic() < self._not_before:
                    raise NotReadableError(str(self._ended), self._ended.reason)
                try:
                    self._child = Child(self._on_xid, self._module)
                except OSError as error:
                    raise NotReadableError(f"the GPU reader process doesn't start: {error}", NOT_RESPONDING) from error
            return self._child

    def _drop(self, child: Child, end: ChildExited) -> None:
        """Count the end of a child, and set when the next one may start."""
        child.kill()
        now = time.monotonic()
        with self._lock:
            if self._child is not child:  # already replaced
                return
            self._child = None
            self.restarts[end.cause] += 1
            self._same_end = self._same_end + 1 if end.reason == self._ended.reason else 1
            self._ended = NotReadableError(str(end), end.reason)
            if now - child.started > STEADY_SECONDS:
                self._failures = 0
            self._not_before = now + (min(2.0 ** (self._failures - 1), MAX_PAUSE) if self._failures else 0)
            self._failures += 1

    def _check(self, reports: list[Report]) -> None:
        """Replace the child if a new one may read more GPUs."""
        lost = all_unknown(reports)
        self._unknown = self._unknown + 1 if lost else 0
        self._same_end = self._same_end if lost else 0
        if self._unknown >= MAX_UNKNOWN and self._child is not None:
            self._unknown = 0
            why = "every GPU returns UNKNOWN (999). This container may have lost its GPUs; restart it."
            self._drop(self._child, ChildExited("UNKNOWN", why, DEVICES_LOST))
        stuck = max((report.get("stuck", 0.0) for report in reports), default=0.0)
        busy = self._replacer is not None and self._replacer.is_alive()
        if stuck > self._stuck_seconds and not busy and time.monotonic() >= self._replace_not_before:
            up = sum("values" in report for report in reports)
            self._replacer = threading.Thread(
                target=self._try_replacement, args=(up,), name="replacement of the GPU reader", daemon=True
            )
            self._replacer.start()

    def _try_replacement(self, up: int) -> None:
        """Replace a child in which a GPU hangs, but only with one that reads more GPUs."""
        with suppress(OSError, DeadlineExceeded, ChildExited):
            candidate = Child(_ignore_xid, self._module)
            end = time.monotonic() + self._stuck_seconds
            try:
                better = sum("values" in report for report in candidate.ask(end - 1, end)) > up
            except BaseException:
                candidate.kill()
                raise
            with self._lock:
                if better and self._child is not None and not self._closed:
                    self._child.kill()
                    self._child, self._failed_replacements = candidate, 0
                    candidate.on_xid = self._on_xid
                    self.restarts["stuck"] += 1
                    return
            candidate.kill()
        self._failed_replacements += 1
        self._replace_not_before = time.monotonic() + min(
            self._stuck_seconds * 2.0**self._failed_replacements, MAX_REPLACEMENT_PAUSE
        )


def all_unknown(reports: list[Report]) -> bool:
    """Return whether every GPU returns UNKNOWN, as in a container that lost its devices."""
    return bool(reports) and all(report.get("code") == UNKNOWN for report in reports)


def _ignore_xid(_uuid: str, _xid: int, _at: float) -> None:
    """Ignore XIDs of a candidate, which the current child counts too."""
