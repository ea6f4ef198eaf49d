"""Runs every collector side by side until one deadline. What fails or hangs costs its own points and nothing else."""

import logging
import time
from collections.abc import Iterable, Sequence

from plimsoll.exporters.collector import Collector, CollectorError, Point
from plimsoll.exporters.deadline import Flight, Late, SingleFlight
from plimsoll.exporters.log_once import Journal
from plimsoll.slo import metrics


class Runner:
    """The node's collectors behind one call. Safe to call from several threads: scrapes at the same time share a run."""

    def __init__(self, collectors: Sequence[Collector]) -> None:
        journal = Journal(logging.getLogger(__name__))
        self._watched = [_Watched(collector, journal) for collector in collectors]

    def collect(self, deadline: float) -> list[Point]:
        """Points of all collectors by `deadline` (time.monotonic() seconds), and each one's success, duration and age."""
        flights = [watched.flights.join(deadline) for watched in self._watched]
        taken = [watched.take(flight, deadline) for watched, flight in zip(self._watched, flights, strict=True)]
        return [point for points in taken for point in points]


class _Watched:
    """A collector, its running call and when it last answered."""

    def __init__(self, collector: Collector, journal: Journal) -> None:
        self.flights = SingleFlight(f"collector {collector.name}", self._read)
        self._collector = collector
        self._labels = {"collector": collector.name}
        self._journal = journal
        self._answered: float | None = None

    def _read(self, deadline: float) -> list[Point]:
        return list(self._collector.collect(deadline))  # a generator would do its reading on the waiting thread

    def take(self, flight: Flight[list[Point]], deadline: float) -> Iterable[Point]:
        """The call's points, or the collector's fallback, and what is known about the call."""
        subject = f"collector {self._collector.name}"
        try:
            points: Iterable[Point] = flight.result(deadline)
        except Exception as error:
            self._journal.failed(subject, _message(error))
            points, success = self._collector.fallback, 0
        else:
            self._journal.well(subject)
            self._answered, success = flight.ended, 1
        return [*points, *self._own_points(success, flight.seconds)]

    def _own_points(self, success: int, duration: float) -> Iterable[Point]:
        yield Point(metrics.COLLECTOR_SUCCESS, self._labels, success)
        yield Point(metrics.COLLECTOR_DURATION, self._labels, duration)
        if self._answered is not None:
            yield Point(metrics.COLLECTOR_AGE, self._labels, time.monotonic() - self._answered)


def _message(error: Exception) -> str:
    if isinstance(error, Late):
        return "no answer by the scrape's deadline; the other collectors go on without it"
    if isinstance(error, CollectorError):
        return str(error)
    return f"{type(error).__name__}: {error}"
