"""Runs every collector concurrently until one deadline. A failed or hung collector loses only its own points."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from plimsoll.exporters.collector import Collector, CollectorError, Point
from plimsoll.exporters.deadline import DeadlineCall, DeadlineExceeded, SingleFlight
from plimsoll.exporters.log_once import OnceLogger
from plimsoll.slo import metrics


class Runner:
    """The node's collectors behind one call. Thread-safe: concurrent scrapes share a run."""

    def __init__(self, collectors: Sequence[Collector], more: Callable[[], Sequence[Collector]] = tuple) -> None:
        """`more` returns those that come and go."""
        self._once = OnceLogger(logging.getLogger(__name__))
        self._runs = [_CollectorRun(collector, self._once) for collector in collectors]
        self._more, self._coming, self._lock = more, dict[int, _CollectorRun](), threading.Lock()

    def collect(self, deadline: float) -> list[Point]:
        """Return the points of all collectors by `deadline` (time.monotonic() seconds), with each one's success, duration and age."""
        runs = [*self._runs, *self._others()]
        calls = [run.calls.join(deadline) for run in runs]
        points = [run.take(call, deadline) for run, call in zip(runs, calls, strict=True)]
        return [point for points in points for point in points]

    def _others(self) -> list["_CollectorRun"]:
        """Return the runs of the collectors that are there now, and end those of others."""
        with self._lock:
            now = {id(one): one for one in self._more()}
            for key in [key for key in self._coming if key not in now]:
                self._coming.pop(key).calls.close()
            for key, one in now.items():
                if key not in self._coming:
                    self._coming[key] = _CollectorRun(one, self._once)
            return [self._coming[key] for key in now]


class _CollectorRun:
    """A collector, its running call, and when it last succeeded."""

    def __init__(self, collector: Collector, once: OnceLogger) -> None:
        self.calls = SingleFlight(f"collector {collector.name}", self._read)
        self._collector = collector
        self._labels = {"collector": collector.name}
        self._once = once
        self._succeeded: float | None = None

    def _read(self, deadline: float) -> list[Point]:
        return list(self._collector.collect(deadline))  # consumes a generator here, not on the waiting thread

    def take(self, call: DeadlineCall[list[Point]], deadline: float) -> Iterable[Point]:
        """Return the call's points, or the collector's fallback, with the call's status."""
        subject = f"collector {self._collector.name}"
        try:
            points: Iterable[Point] = call.result(deadline)
        except Exception as error:
            self._once.failed(subject, _message(error))
            points, success = self._collector.fallback, 0
        else:
            self._once.recovered(subject)
            self._succeeded, success = call.ended, 1
        return [*points, *self._status_points(success, call.seconds)]

    def _status_points(self, success: int, duration: float) -> Iterable[Point]:
        yield Point(metrics.COLLECTOR_SUCCESS, self._labels, success)
        yield Point(metrics.COLLECTOR_DURATION, self._labels, duration)
        if self._succeeded is not None:
            yield Point(metrics.COLLECTOR_AGE, self._labels, time.monotonic() - self._succeeded)


def _message(error: Exception) -> str:
    if isinstance(error, DeadlineExceeded):
        return "no response by the scrape's deadline. Other collectors aren't affected."
    if isinstance(error, CollectorError):
        return str(error)
    return f"{type(error).__name__}: {error}"
