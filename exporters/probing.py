"""Probes as a collector: one every so often in a thread of its own; a scrape shows the last one and never waits for it."""

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator

from exporters.collector import Point
from exporters.engine import address_of
from exporters.journal import Journal
from exporters.probe import OUTCOMES, Ask, Result, probe
from slo import catalogue

_NAMED = re.compile(r"([A-Za-z0-9._-]+)=(.*)")
LEAST_SECONDS = 5.0


class ProbeCollector:
    """Probes one server every `every` seconds from its first scrape on. `target` is URL or NAME=URL."""

    def __init__(self, target: str, model: str, every: float, token: str | None = None, timeout: float = 20.0) -> None:
        """Raise ValueError for what is no address, and for a cost that is not allowed."""
        if every < LEAST_SECONDS:
            raise ValueError(f"--probe-every: probes cost tokens; write {LEAST_SECONDS:g}s or more")
        named = _NAMED.fullmatch(target)
        url, address = address_of(named[2] if named else target, "--probe")
        self.target = named[1] if named else address
        self.name = f"probe:{self.target}"
        self.fallback: Iterable[Point] = ()
        self._ask = Ask(url, model, token, timeout=min(timeout, every))
        self._every = every
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._last: tuple[Result, float] | None = None
        self._outcomes: Counter[str] = Counter()
        self._tokens = 0
        self._journal = Journal(logging.getLogger(__name__))

    def collect(self, deadline: float) -> Iterable[Point]:
        """Points of the last probe. Before the first has ended there are only its counters, at 0."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()
            return list(self._points())

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            began = time.monotonic()
            self._take(probe(self._ask))
            pause.wait(max(0.0, began + self._every - time.monotonic()))

    def _take(self, result: Result) -> None:
        with self._lock:
            self._last = (result, time.monotonic())
            self._outcomes[result.outcome] += 1
            self._tokens += result.tokens
        if result.problem:
            self._journal.failed(self.name, f"{self._ask.endpoint}: {result.problem}")
        else:
            self._journal.well(self.name)

    def _points(self) -> Iterator[Point]:
        labels = {"target": self.target, "model": self._ask.model}
        for outcome in OUTCOMES:
            yield Point(catalogue.PROBE_REQUESTS, {**labels, "outcome": outcome}, self._outcomes[outcome])
        yield Point(catalogue.PROBE_TOKENS, labels, self._tokens)
        if self._last is None:
            return
        result, ended = self._last
        values = {
            catalogue.PROBE_SUCCESS: float(result.outcome == "ok"),
            catalogue.PROBE_TTFT: result.time_to_first_token,
            catalogue.PROBE_ITL: result.longest_gap,
            catalogue.PROBE_TPOT: result.time_per_output_token,
            catalogue.PROBE_DURATION: result.duration,
            catalogue.PROBE_AGE: time.monotonic() - ended,
        }
        for metric, value in values.items():
            if value is not None:
                yield Point(metric, labels, value)
