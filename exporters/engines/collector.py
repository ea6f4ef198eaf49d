"""Collector of one engine server: converts its metrics to normalized points."""

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from plimsoll.exporters.collector import CollectorError, Point
from plimsoll.exporters.engines import engines, paths, recognize
from plimsoll.exporters.engines.derived import Derivations, counts
from plimsoll.exporters.engines.fetch import _NAMED, HttpReader, address_of
from plimsoll.exporters.engines.mapping import EngineMapping, Lookup
from plimsoll.exporters.engines.normalize import (
    Planned,
    capacity,
    follow,
    kv_bytes,
    missing,
    model_of,
    named_first,
    plan,
)
from plimsoll.exporters.engines.parser import Page, Parser, Shape
from plimsoll.exporters.gpu_assignment import Server
from plimsoll.exporters.state_file import StateFile
from plimsoll.slo import metrics, strict_json

UNKNOWN = "unknown"
logger = logging.getLogger(__name__)


class EngineCollector:
    """Reads one engine. `engine` is URL or NAME=URL; the replica's name is the URL's host:port by default.

    It stores the state of the derived counters in the folder `state`, so that they continue when the exporter restarts under load.
    """

    def __init__(self, engine: str, state: Path | None = None) -> None:
        """Raise ValueError if `engine` isn't a server address."""
        named = _NAMED.fullmatch(engine)
        self._url, address = address_of(named[2] if named else engine, "--engine")
        self.replica = named[1] if named else address
        self.name = f"engine:{self.replica}"
        self._reader = HttpReader(self._url)
        self._parser = Parser()
        # Derived from the last page's shape: the shape under the engine's own names, and the plan for the requested model.
        self._shape: Shape | None = None
        self._named: tuple[Shape, EngineMapping]
        self._plan: tuple[str, str, list[Planned]] | None = None
        self._paths = paths()
        self._state_file = StateFile(state, self.name)
        self._derivations = Derivations.restored(self._state_file.read())
        self._started = 0.0
        host, _, port = address.rpartition(":")
        self.server = Server(self.replica, UNKNOWN, host.strip("[]"), int(port), None)
        self._facts: dict[Lookup, str] = {}
        self._missing: set[str] = set()

    @property
    def fallback(self) -> Iterable[Point]:
        """Report the replica as down."""
        return (self._up(0.0),)

    def collect(self, deadline: float) -> Iterable[Point]:
        """Read the metrics within the deadline (a time.monotonic() value); raises CollectorError."""
        url, page, mapping = self._find(deadline)
        started = page.series.get("process_start_time_seconds", {}).get((), 0.0)
        if started != self._started:
            self._started, self._facts = started, {}
        try:
            # Labels name the model. Where the page has none, another path of the server does.
            model = self._look_up(mapping.model, deadline) if mapping.model or mapping.gateway else ""
            model, planned = self._planned(model)
            points = [*follow(planned, page.numbers), *capacity(page, mapping, self.replica, model)]
        except ValueError as error:
            raise _not_a_page(url, error) from None
        self.server = self.server._replace(model=model, kv_bytes=kv_bytes(page, mapping))
        identity = {"replica": self.replica, "model": model, "engine": mapping.engine}
        version = self._look_up(mapping.version, deadline)
        return [
            self._up(1.0),
            *points,
            *self._derived(points, page, mapping, identity),
            *self._info_points(page, mapping, identity, version),
            *self._missing_points(missing(page, mapping, version), mapping, version),
        ]

    def _find(self, deadline: float) -> tuple[str, Page, EngineMapping]:
        """Read the page at its last path, or else try every path that an engine may use."""
        problem: CollectorError | None = None
        for path in self._paths:
            url = self._url + path
            try:
                page, mapping = self._understand(self._reader.get(url, deadline))
            except CollectorError as error:
                problem = problem or CollectorError(
                    str(error)
                )  # a new error: the old one's traceback keeps the response alive
            except ValueError as error:
                problem = problem or _not_a_page(url, error)
            else:
                self._paths = (path,)
                return url, page, mapping
            self._parser, self._shape = Parser(), None  # keep nothing of a rejected page
        self._paths, self._facts = paths(), {}
        raise problem or AssertionError("there is at least one path")

    def _understand(self, body: bytes) -> tuple[Page, EngineMapping]:
        """Parse a page and recognize its engine; raises ValueError that quotes the first line."""
        try:
            page = self._parser.parse(body)
        except UnicodeDecodeError:
            raise ValueError("it isn't text") from None
        except ValueError as error:
            raise ValueError(
                f"{str(error)[:100]}, {_first_line(body)}"
            ) from None  # the error must not keep the page alive
        if page.shape is not self._shape:
            mapping = recognize(page.shape.places)
            if mapping is None:
                raise ValueError(_first_line(body))
            self._shape, self._named, self._plan = page.shape, (named_first(page.shape, mapping), mapping), None
        shape, mapping = self._named
        return Page(shape, page.numbers), mapping

    def _planned(self, requested: str) -> tuple[str, list[Planned]]:
        """Return the model (the page's, unless requested) and the plan; raises ValueError."""
        if self._plan is None or self._plan[0] != requested:
            model = requested or model_of(*self._named)
            self._plan = requested, model, plan(*self._named, self.replica, model)
        return self._plan[1:]

    def _up(self, value: float) -> Point:
        return Point(metrics.REPLICA_UP, {"replica": self.replica}, value)

    def _derived(
        self, points: list[Point], page: Page, mapping: EngineMapping, identity: dict[str, str]
    ) -> Iterator[Point]:
        if mapping.http is None:
            return
        for metric, kind, value in self._derivations.see(counts(points, page, mapping), self._started):
            yield Point(metric, {**identity, metric.labels[-1]: kind}, value)
        self._state_file.write(self._derivations.state)

    def _info_points(
        self, page: Page, mapping: EngineMapping, identity: dict[str, str], version: str
    ) -> Iterator[Point]:
        if mapping.gateway:
            return
        simulated = str(1.0 in page.series.get(metrics.SIMULATED.name, {}).values()).lower()
        yield Point(metrics.REPLICA_INFO, {**identity, "version": version, "simulated": simulated}, 1.0)
        if self._started:
            yield Point(metrics.REPLICA_START, identity, self._started)

    def _missing_points(self, names: list[str], mapping: EngineMapping, version: str) -> Iterator[Point]:
        """Yield the missing names as points, and log each once."""
        for name in names:
            if name not in self._missing:
                logger.warning(
                    "%s: metric %s is missing, which %s %s should expose. Metrics derived from it are absent.",
                    *(self.name, name, mapping.title, version),
                )
            yield Point(metrics.METRIC_MISSING, {"collector": self.name, "metric": name}, 1.0)
        self._missing.update(names)

    def _look_up(self, lookup: Lookup | None, deadline: float) -> str:
        """Request a fact from the server, once, using at most half of the remaining time: metrics have priority."""
        if lookup is None:
            return UNKNOWN
        if lookup not in self._facts:
            now = time.monotonic()
            with contextlib.suppress(CollectorError, ValueError, LookupError, TypeError):
                answer: Any = strict_json.load(self._reader.get(self._url + lookup.path, now + (deadline - now) / 2))
                for key in lookup.keys:
                    answer = answer[key]
                self._facts[lookup] = str(answer)
        return self._facts.get(lookup, UNKNOWN)


def _not_a_page(url: str, error: ValueError) -> CollectorError:
    titles = ", ".join(engine.title for engine in engines())
    return CollectorError(f"{url}: not a metrics endpoint of {titles}: {error}. Check --engine.")


def _first_line(body: bytes) -> str:
    line = body.strip().split(b"\n", 1)[0].decode(errors="replace")
    return f"first line is {line[:60]!a}{'…' if len(line) > 60 else ''}" if line else "it is empty"
