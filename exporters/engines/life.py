"""When a replica's counters began: by its page, by the process behind its port, or by a fall that was seen.

Engines with several server processes (vLLM's `--api-server-count`, SGLang, Dynamo) have no `process_start_time_seconds`. The start must
not change when the exporter restarts, and must change when the engine does: those who count take a later start for new counters.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from plimsoll.exporters.collector import Point
from plimsoll.exporters.process_tree import Listener
from plimsoll.slo.metrics.engine import CLOCK_SKEW, SAME_START

# Seconds after which an address where several processes answered is believed again.
DOUBT = 600.0
_FORMER = 8

Totals = dict[str, float]


def totals(points: Iterable[Point]) -> Totals:
    """Add up what a page counts, by metric: if one of these fell, the counters restarted."""
    found: Totals = {}
    for metric, _, value, suffix in points:
        if metric.kind == "counter" or suffix in ("_count", "_sum"):
            name = metric.name + suffix
            found[name] = found.get(name, 0.0) + value
    return found


class Seen(NamedTuple):
    """One reading: its Unix time, the start that the page states (0: none), what it counts, and whether the replica just appeared."""

    at: float
    stated: float
    totals: Totals
    newborn: bool = False


@dataclass(slots=True)
class Life:
    """The start of one replica's counters, across scrapes and restarts of the exporter."""

    start: float | None = None
    _process: Listener | None = None
    _totals: Totals = field(default_factory=dict)
    _stated: float = 0.0
    _at: float = 0.0
    _former: list[float] = field(default_factory=list)
    _fell: tuple[float, Totals] = (0.0, {})
    _doubted: float = 0.0
    _looked: bool = False

    @property
    def state(self) -> dict[str, Any]:
        """The JSON state from which a restarted exporter continues."""
        return {"start": self.start, "process": self._process, "totals": self._totals}

    @classmethod
    def restored(cls, state: Any) -> "Life":
        """Continue from a state; begin again if it is invalid."""
        try:
            process = Listener(*map(float, state["process"])) if state["process"] else None
            counted = {str(name): float(value) for name, value in state["totals"].items()}
            return cls(float(state["start"]), process, counted)
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls()

    def see(self, seen: Seen, find: Callable[[Listener | None], Listener | None]) -> bool:
        """Take in a reading; return whether one process answers at this address, so that its counters can be followed.

        `find` returns the process behind the port, given the last one found; None if that is unknown.
        """
        if seen.stated:
            self._follow_stated(seen)
        else:
            self._follow_counters(seen, find)
        self._stated, self._totals, self._at = seen.stated, seen.totals, seen.at
        return seen.at >= self._doubted

    def _follow_stated(self, seen: Seen) -> None:
        """A later process began after the last reading. One that already ran then is another process at this address."""
        if self._stated and abs(seen.stated - self._stated) > SAME_START:
            if seen.stated + CLOCK_SKEW < self._at or any(abs(seen.stated - one) <= SAME_START for one in self._former):
                self._doubted = seen.at + DOUBT
            self._former = [*self._former, self._stated][-_FORMER:]
        self.start = seen.stated

    def _follow_counters(self, seen: Seen, find: Callable[[Listener | None], Listener | None]) -> None:
        fell = any(seen.totals.get(name, 0.0) < value for name, value in self._totals.items())
        known = self._process
        if not self._looked or known or fell:
            self._process, self._looked = find(known), True
        changed = known is not None and self._process is not None and self._process != known
        if self.start is None:
            self.start = self._process.started if self._process else seen.at if seen.newborn else 0.0
        elif changed and self._process is not None:
            self.start = self._process.started
        elif fell:
            self.start = seen.at
        when, before = self._fell
        if fell:
            self._fell = seen.at, self._totals
        elif (
            before
            and seen.at - when < DOUBT
            and all(seen.totals.get(name, 0.0) >= value for name, value in before.items())
        ):
            # What fell is back: another process answered in between.
            self._doubted = seen.at + DOUBT
