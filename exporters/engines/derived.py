"""Derives what an engine doesn't count: abandoned requests, and requests that failed before scheduling.

vLLM (verified on 0.27 and 0.32) drops the request of a disconnected client without a trace: it counts no abort, records no
latency, and its HTTP counter reports 2xx. But every 2xx of a generation either had a first token or was abandoned while
queued, and every first token belongs to a request that finished, is in flight, or was abandoned while streaming. So

    queued    >= HTTP 2xx - first tokens                     (a stream still open has a token and no status yet)
    streaming >= first tokens - finished - running - preempted  (a running request may not have its token yet)
    5xx       >= HTTP 5xx - rejected by admission control - finished with error  (both are answered with 5xx)

Each is exact when nothing is in flight. Not detected: several prompts in one request hide as many abandoned requests as they
add first tokens; so does an abandoned stream of n > 1 choices.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from plimsoll.exporters.collector import Point
from plimsoll.exporters.engines.mapping import EngineMapping
from plimsoll.exporters.engines.parser import Page
from plimsoll.slo import metrics
from plimsoll.slo.metrics import BY_NAME, Metric


class Counts(NamedTuple):
    """Counter values of one scrape, summed over ranks; the HTTP counts are None if the engine has none.

    Without `at_end` the engine counts responses when they begin, which bounds no departures.
    """

    completed: float | None
    failed: float | None
    first_tokens: float
    more_choices: float
    finished: float
    errors: float
    rejected: float
    running: float
    waiting: float
    preemptions: float
    at_end: bool = True


def counts(points: Iterable[Point], page: Page, mapping: EngineMapping) -> Counts:
    """Sum the counters that the derivations need."""
    points = [point for point in points if point[3] != "_bucket"]  # by far the most
    at_end = mapping.http is None or mapping.http.at_end
    choices, requests = (page.series.get(mapping.choices + suffix, {}) for suffix in ("_sum", "_count"))
    return Counts(
        completed=_http(page, mapping, "2") if at_end else None,
        failed=_http(page, mapping, "5"),
        first_tokens=_total(points, metrics.TTFT, "_count"),
        # Each of the n choices of one HTTP request has its own first token.
        more_choices=sum(choices.values()) - sum(requests.values()),
        finished=_total(points, metrics.FINISHED),
        errors=_total(points, metrics.FINISHED, reason="error"),
        rejected=_total(points, metrics.REJECTED),
        running=_total(points, metrics.REQUESTS_RUNNING),
        waiting=_total(points, metrics.REQUESTS_WAITING),
        preemptions=_total(points, metrics.PREEMPTIONS),
        at_end=at_end,
    )


def _total(points: Iterable[Point], metric: Metric, suffix: str = "", **labels: str) -> float:
    return sum(
        point.value
        for point in points
        if point.metric is metric and point.suffix == suffix and labels.items() <= point.labels.items()
    )


def _http(page: Page, mapping: EngineMapping, status: str) -> float | None:
    """Count the responses of the generating handlers by the status's first digit: engines write `2xx` or `200`."""
    if mapping.http is None or not (mapping.http.series in page.families or mapping.http.series in page.series):
        return None
    rows = ((dict(labels), value) for labels, value in page.series.get(mapping.http.series, {}).items())
    return sum(
        value
        for labels, value in rows
        if labels.get(mapping.http.handler) in mapping.http.handlers
        and labels.get(mapping.http.status, "").startswith(status)
    )


@dataclass(slots=True)
class LowerBound:
    """Turns lower bounds of a growing count into a counter: their running maximum.

    A page isn't written atomically, so one bound can be slightly too high; the lower of two consecutive ones isn't.
    The counter must not decrease when the exporter restarts: that would look like a reset and count everything twice.
    So a bound first seen with requests in flight is withheld until it exceeds all that may have been exported before.
    """

    _last: float | None = None
    _best: float = 0.0
    _shown_before: float = 0.0

    @property
    def state(self) -> tuple[float, ...]:
        """The values to restore it from."""
        return (self._last or 0.0, self._best, self._shown_before)

    def see(self, bound: float, in_flight: float) -> float | None:
        """Add the bound of one scrape; return the counter, or None while it is withheld."""
        if self._last is None:
            self._shown_before = bound + in_flight
        elif bound == self._last and in_flight == 0:
            self._shown_before = 0.0
        self._best = max(self._best, bound if self._last is None else min(bound, self._last))
        self._last = bound
        return self._best if self._best >= self._shown_before else None


@dataclass(slots=True)
class Derivations:
    """The derived counters of one engine across scrapes."""

    _life: tuple[float, ...] = ()
    _bounds: dict[tuple[Metric, str], LowerBound] = field(default_factory=dict)
    _unaborted: dict[str, float] = field(default_factory=dict)

    @property
    def state(self) -> dict[str, Any]:
        """The JSON state from which a restarted exporter continues."""
        return {
            "life": self._life,
            "bounds": [[metric.name, kind, bound.state] for (metric, kind), bound in self._bounds.items()],
            "unaborted": self._unaborted,
        }

    @classmethod
    def restored(cls, state: Any) -> "Derivations":
        """Continue from a state; start from zero if it is invalid."""
        try:
            bounds = {(BY_NAME[name], kind): LowerBound(*map(float, one)) for name, kind, one in state["bounds"]}
            unaborted = {str(rank): float(value) for rank, value in state.get("unaborted", {}).items()}
            return cls(tuple(map(float, state["life"])), bounds, unaborted)
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls()

    def see(self, now: Counts, started: float) -> Iterator[tuple[Metric, str, float]]:
        """Add the counts of one scrape of an engine started at that Unix time; yield metric, stage or reason, value."""
        life = (started, now.first_tokens, now.finished, now.completed or 0.0)
        if self._life and (
            life[0] != self._life[0] or any(new < old for new, old in zip(life, self._life, strict=True))
        ):
            self._bounds.clear()
            self._unaborted.clear()
        self._life = life
        in_flight = now.running + now.waiting
        subtracted = now.rejected + now.errors
        bounds = [(metrics.ABANDONED, "streaming", _streaming(now), in_flight)] if now.at_end else []
        if now.completed is not None:
            queued = now.completed - (now.first_tokens - now.more_choices)
            bounds.append((metrics.ABANDONED, "queued", queued, in_flight))
        if now.failed is not None:
            bounds.append((metrics.REJECTED, "5xx", now.failed - subtracted, in_flight if subtracted else 0.0))
        for metric, kind, bound, uncertain in bounds:
            value = self._bounds.setdefault((metric, kind), LowerBound()).see(bound, uncertain)
            if value is not None:
                yield metric, kind, value

    def without_aborted(self, points: Iterable[Point]) -> list[Point]:
        """Subtract the aborted requests from the finished ones, of which they are a part (EngineMapping.aborted).

        A request is counted as aborted a moment before it is counted as finished, so that the difference falls for that
        moment; the counter is its running maximum.
        """
        points = list(points)
        aborted = {p.labels["rank"]: p.value for p in points if _is_finished(p, "abort")}
        for place, point in enumerate(points):
            if _is_finished(point, "stop"):
                rank = point.labels["rank"]
                value = point.value - aborted.get(rank, 0.0)
                self._unaborted[rank] = max(self._unaborted.get(rank, 0.0), value)
                points[place] = point._replace(value=self._unaborted[rank])
        return points


def _is_finished(point: Point, reason: str) -> bool:
    return point.metric is metrics.FINISHED and point.labels.get("reason") == reason


def _streaming(now: Counts) -> float:
    preempted = min(now.waiting, now.preemptions)
    return now.first_tokens - now.finished - now.running - preempted
