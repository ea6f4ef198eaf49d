"""Collector of one metrics endpoint: converts it to normalized points of one replica, of a node's replicas, or of a gateway."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from plimsoll.exporters.collector import CollectorError, Point
from plimsoll.exporters.engines import not_supported, paths, recognize, roles
from plimsoll.exporters.engines.fetch import _NAMED, FetchError, HttpReader, address_of, reason_of
from plimsoll.exporters.engines.mapping import EngineMapping, Lookup
from plimsoll.exporters.engines.normalize import found_names, kv_bytes
from plimsoll.exporters.engines.parser import Page, Parser, Shape
from plimsoll.exporters.engines.replica import Replica, info_points, split
from plimsoll.exporters.engines.roles import ROLES
from plimsoll.exporters.gpu_assignment import Server, resolve
from plimsoll.exporters.kubernetes.identity import Identified, PodIdentity
from plimsoll.exporters.process_tree import Listener, ProcessTree
from plimsoll.exporters.state_file import StateFile
from plimsoll.exporters.vllm.command_line import stated_settings
from plimsoll.slo import metrics, strict_json
from plimsoll.slo.metrics import Metric

UNKNOWN = "unknown"
# The page's series of the time at which its process started.
_STARTED = "process_start_time_seconds"
_WHY = {
    "absent": "is missing, which this version should expose",
    "ambiguous": "has rows that can't be combined to one number",
    "several_processes": "is another process's at each response. Set PROMETHEUS_MULTIPROC_DIR there, or run one worker",
}
logger = logging.getLogger(__name__)


class EngineCollector:
    """Reads one endpoint. `engine` is URL or NAME=URL; the replica's name is the URL's host:port by default. `#prefill` or
    `#decode` at its end is the role of an engine whose page and command line don't state it.

    On a page of several replicas each is named by that, a slash, and its own name on the page. The state of starts and derived
    counters is stored in the folder `state`, so that they continue when the exporter restarts. `token` is a file.
    """

    _stated: tuple[Shape, Mapping[str, int]] | None = None  # settings of the command line, as of a page's shape

    def __init__(
        self,
        engine: str,
        state: Path | None = None,
        token: Path | None = None,
        tree: ProcessTree | None = None,
        clock: Callable[[], float] = time.time,
        pod: PodIdentity | None = None,
    ) -> None:
        """`clock` gives Unix seconds; `pod` is where the engine runs. Raises ValueError if `engine` isn't a server address."""
        named = _NAMED.fullmatch(engine)
        whole, _, role = (named[2] if named else engine).partition("#")
        if role not in ROLES | {""}:
            raise ValueError(f"--engine: #{role[:20]!r} isn't a role. Use #prefill, #decode, or none.")
        self._role = role
        text, _, query = whole.partition("?")
        self._url, address = address_of(text, "--engine")
        self._query = f"?{query}" if query else ""
        self.replica = named[1] if named else address
        self.name = f"engine:{self.replica}"
        self._reader = HttpReader(self._url, token)
        self._parser = Parser()
        # Derived from the last page's shape.
        self._shape: Shape | None = None
        self._parts: tuple[EngineMapping, dict[str, Shape]]
        self._paths = paths()
        self._state_file = StateFile(state, self.name)
        stored = self._state_file.read()
        self._stored: dict[str, Any] = stored if isinstance(stored, dict) else {}
        self._replicas: dict[str, Replica] = {}
        self._read_before = False
        self._started = 0.0
        self._tree, self._clock = tree or ProcessTree(), clock
        host, _, port = address.rpartition(":")
        self._identified = Identified(pod) if pod else None
        labels = self._identified.labels if self._identified else {}
        self.server = Server(self.replica, UNKNOWN, host.strip("[]"), int(port), None, labels)
        self._facts: dict[Lookup, str] = {}
        self._missing: set[tuple[str, str]] = set()
        self._down = "unreachable"

    @property
    def fallback(self) -> Iterable[Point]:
        """Report the replicas that were last seen as down, and why."""
        points: list[Point] = []
        for name in [one.name for one in self._replicas.values()] or [self.replica]:
            points += [_up(name, 0.0), Point(metrics.REPLICA_DOWN_REASON, {"replica": name, "reason": self._down}, 1.0)]
        return self._identified(points) if self._identified else points

    @property
    def found(self) -> tuple[EngineMapping, dict[Metric, list[str]]]:
        """The mapping of the last page, and the engine's names in it by metric."""
        mapping, shapes = self._parts
        return mapping, {
            metric: name for shape in shapes.values() for metric, name in found_names(shape, mapping).items()
        }

    def collect(self, deadline: float) -> Iterable[Point]:
        """Read the metrics within the deadline (a time.monotonic() value); raises CollectorError."""
        self._down = "timeout"  # until something else is known
        try:
            url, page, mapping = self._find(deadline)
            points = self._points(page, mapping, deadline)
        except ValueError as error:
            self._down = "page"
            raise _not_a_page(url, error) from None
        except CollectorError as error:
            self._down = reason_of(error)
            raise
        self._state_file.write({name: one.state for name, one in self._replicas.items()})
        return self._identified(points) if self._identified else points

    def _points(self, page: Page, mapping: EngineMapping, deadline: float) -> list[Point]:
        """Return every point; raises ValueError for a page that isn't a replica's."""
        shapes = self._parts[1]
        self._started = page.series.get(_STARTED, {}).get((), 0.0) if not mapping.replicas else 0.0
        now, simulated = self._clock(), 1.0 in page.series.get(metrics.SIMULATED.name, {}).values()
        for key in [key for key in self._replicas if key not in shapes]:
            del self._replicas[key]
        lacking: dict[tuple[str, str], None] = {}
        every = [] if shapes else [_up(self.replica, 1.0)]
        for key, shape in shapes.items():
            newborn = self._read_before and key not in self._replicas
            replica = self._replicas.setdefault(key, self._replica(key))
            part = Page(shape, page.numbers)
            model = self._model(replica, shape, mapping, deadline)
            started = replica.life.start
            points = replica.points(part, mapping, model, (now, self._started, newborn), self._listener)
            if started is not None and replica.life.start != started:
                self._facts = {}
            self.server = self.server._replace(model=model, kv_bytes=kv_bytes(part, mapping))
            version = self._look_up(mapping.version, deadline)
            every += [_up(replica.name, 1.0), *(points or ())]
            if not mapping.gateway:
                every += info_points(replica, mapping, model, version, simulated)
            if mapping.engine == "vllm":
                every += self._stated_settings(replica, shape, model)
            lacking |= dict.fromkeys(_lacking(replica, points, part, mapping, version))
        self._read_before = True
        known = f" {self._facts.get(mapping.version, UNKNOWN)}" if mapping.version else ""
        return [*every, *self._missing_points(list(lacking), mapping.title + known)]

    def _replica(self, key: str) -> Replica:
        # A state of before there were several replicas is the only one's.
        state = self._stored if "bounds" in self._stored else self._stored.get(key)
        return Replica(f"{self.replica}/{key}" if key else self.replica, state)

    def _role_beyond_page(self) -> str:
        """Return the role that the operator gave, or else that of the command line behind the port."""
        return self._role or roles.of_command(self._command())

    def _stated_settings(self, replica: Replica, shape: Shape, model: str) -> Iterator[Point]:
        """Yield the settings that the command line behind the port states, where the page has none."""
        if metrics.ENGINE_SETTING.name in shape.places:
            return
        if self._stated is None or self._stated[0] is not shape:
            self._stated = shape, stated_settings(self._command())
        identity = {"replica": replica.name, "model": model, "engine": "vllm", "rank": "0"}
        for name, value in self._stated[1].items():
            yield Point(metrics.ENGINE_SETTING, {**identity, "setting": name}, value)

    def _command(self) -> list[str]:
        listener = self._listener(None)
        return self._tree.arguments(int(listener.pid)) if listener else []

    def _listener(self, last: Listener | None) -> Listener | None:
        return self._tree.listener(self.server.port, resolve(self.server.host), last)

    def _model(self, replica: Replica, shape: Shape, mapping: EngineMapping, deadline: float) -> str:
        """Return the model that the page names, or else another path of the server; raises ValueError for several models."""
        if mapping.gateway:
            return ""
        model = replica.page_model(shape, mapping, self._role_beyond_page)
        if not model and mapping.model is None:
            raise ValueError("it names no model instead of one model. Is it a router?")
        return model or self._look_up(mapping.model, deadline)

    def _find(self, deadline: float) -> tuple[str, Page, EngineMapping]:
        """Read the page at its last path, or else try every path that an engine may use."""
        problem: CollectorError | None = None
        for path in self._paths:
            url = self._url + path + self._query
            try:
                page, mapping = self._understand(self._reader.get(url, deadline))
            except CollectorError as error:
                # A new error: the old one's traceback keeps the response alive.
                problem = problem or FetchError(str(error), reason_of(error))
            except ValueError as error:
                problem = problem if _was_read(problem) else _not_a_page(url, error)
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
                raise ValueError(not_supported(page.shape.places) or _first_line(body))
            self._shape, self._parts = page.shape, (mapping, split(page.shape, mapping))
        return page, self._parts[0]

    def _missing_points(self, names: list[tuple[str, str]], engine: str) -> Iterator[Point]:
        """Yield the names without a usable number as points, and log each once."""
        for name, reason in names:
            if (name, reason) not in self._missing:
                logger.warning(
                    "%s: metric %s %s (%s). Metrics derived from it are absent.",
                    *(self.name, name, _WHY[reason], engine),
                )
            labels = {"collector": self.name, "metric": name, "reason": reason}
            yield Point(metrics.METRIC_MISSING, labels, 1.0)
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


def _lacking(
    replica: Replica, points: list[Point] | None, page: Page, mapping: EngineMapping, version: str
) -> Iterator[tuple[str, str]]:
    """Yield the engine's names without a usable number, and the reason."""
    if points is None:
        yield from ((source.names[0], "several_processes") for source in mapping.sources if not source.optional)
        return
    yield from replica.lacking(page, mapping, version)


def _up(replica: str, value: float) -> Point:
    return Point(metrics.REPLICA_UP, {"replica": replica}, value)


def _was_read(problem: CollectorError | None) -> bool:
    return problem is not None and reason_of(problem) in ("page", "unauthorized")


def _not_a_page(url: str, error: ValueError) -> CollectorError:
    why = str(error)
    end = "" if why.endswith((".", "?")) else "."
    return FetchError(
        f"{url}: not a metrics endpoint of a supported engine or gateway: {why}{end} Check --engine.", "page"
    )


def _first_line(body: bytes) -> str:
    line = body.strip().split(b"\n", 1)[0].decode(errors="replace")
    return f"first line is {line[:60]!a}{'…' if len(line) > 60 else ''}" if line else "it is empty"
