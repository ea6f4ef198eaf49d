"""One replica of a metrics endpoint: the part of the page that is its own, and what is remembered of it across scrapes."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from plimsoll.exporters.collector import Point
from plimsoll.exporters.engines.derived import Derivations, counts
from plimsoll.exporters.engines.life import Life, Seen, totals
from plimsoll.exporters.engines.mapping import EngineMapping
from plimsoll.exporters.engines.normalize import Plan, absent, capacity, follow, has_served, model_of, plan, role_of
from plimsoll.exporters.engines.parser import Labels, Page, Shape
from plimsoll.exporters.engines.roles import of_users
from plimsoll.exporters.process_tree import Listener
from plimsoll.slo import metrics

# Characters of an identifier that name a replica: enough to be unique on a node.
_NAME_CHARACTERS = 12


def split(shape: Shape, mapping: EngineMapping) -> dict[str, Shape]:
    """Return the shape of each replica, by its name in the page: empty for a page of one.

    On a page of many a replica that was removed leaves its counters behind. It is left out, if the page shows which are alive.
    """
    if not mapping.replicas:
        return {"": shape}
    found: dict[str, dict[str, dict[Labels, int]]] = defaultdict(lambda: defaultdict(dict))
    for name, rows in shape.places.items():
        if name.startswith(mapping.signs):
            for labels, place in rows.items():
                found[_named(labels, mapping.replicas)][name][labels] = place
    alive = {
        value[:_NAME_CHARACTERS]
        for name in mapping.alive
        for labels in shape.places.get(name, {})
        for label, value in labels
        if label in (*mapping.replicas, "replica")
    }
    return {named: Shape(shape.families, places) for named, places in found.items() if not alive or named in alive}


def _named(labels: Labels, by: Sequence[str]) -> str:
    present = dict(labels)
    return next((value for label in by if (value := present.get(label))), "")[:_NAME_CHARACTERS]


class Replica:
    """What is known of one replica (or gateway) under its name in the label `replica`."""

    def __init__(self, name: str, state: Any) -> None:
        self.name = name
        self.life = Life.restored(state)
        self._derivations = Derivations.restored(state)
        self._plan: tuple[Shape, str, Plan] | None = None
        self._model: tuple[Shape, str] | None = None
        self._absent: tuple[Shape, str, list[str]] | None = None
        self.role = ""  # that the page or, if it names none, its reader gives it

    @property
    def state(self) -> dict[str, Any]:
        """The JSON state from which a restarted exporter continues."""
        return {**self._derivations.state, **self.life.state}

    def page_model(self, shape: Shape, mapping: EngineMapping, role: Callable[[], str]) -> str:
        """Return the model that the page names, or an empty string; raises ValueError for several. `role` gives what the page doesn't."""
        if self._model is None or self._model[0] is not shape:
            self._model = shape, model_of(shape, mapping)
            self.role = role_of(shape, mapping) or role()
        return self._model[1]

    def lacking(self, page: Page, mapping: EngineMapping, version: str) -> Iterator[tuple[str, str]]:
        """Yield the engine's names without a usable number in a page that was read, and the reason."""
        if self._absent is None or self._absent[0] is not page.shape or self._absent[1] != version:
            self._absent = page.shape, version, absent(page.shape, mapping, version)
        yield from ((name, "ambiguous") for name in (self._plan[2].ambiguous if self._plan else ()))
        if self._absent[2] and has_served(page, mapping):
            yield from ((name, "absent") for name in self._absent[2])

    def points(
        self,
        page: Page,
        mapping: EngineMapping,
        model: str,
        seen: tuple[float, float, bool],
        find: Callable[[Listener | None], Listener | None],
    ) -> list[Point] | None:
        """Return the replica's points, or None where several processes answer in turn; raises ValueError for too many series.

        `seen` is the Unix time, the start that the page states (0: none), and whether the replica wasn't on the last page.
        """
        if self._plan is None or self._plan[0] is not page.shape or self._plan[1] != model:
            self._plan = page.shape, model, plan(page.shape, mapping, self.name, model)
        points = [*follow(self._plan[2], page.numbers), *capacity(page, mapping, self.name, model)]
        at, stated, newborn = seen
        counted = {} if stated else totals(points)
        if not self.life.see(Seen(at, stated, counted, newborn), find):
            return None
        points = points if mapping.http is None else self._derive(points, page, mapping, model)
        return list(of_users(points, self.role)) if self.role else points

    def _derive(self, points: list[Point], page: Page, mapping: EngineMapping, model: str) -> list[Point]:
        now = counts(points, page, mapping)
        identity = {"replica": self.name, "model": model, "engine": mapping.engine}
        derived = list(_derived(self._derivations, now, self.life.start or 0.0, identity))
        return [*(self._derivations.without_aborted(points) if mapping.aborted else points), *derived]


def _derived(derivations: Derivations, now: Any, started: float, identity: Mapping[str, str]) -> Iterator[Point]:
    for metric, kind, value in derivations.see(now, started):
        yield Point(metric, {**identity, metric.labels[-1]: kind}, value)


def info_points(replica: Replica, mapping: EngineMapping, model: str, version: str, simulated: bool) -> Iterator[Point]:
    """Yield what identifies a replica, and since when its counters count."""
    identity = {"replica": replica.name, "model": model, "engine": mapping.engine}
    about = {"version": version, "simulated": str(simulated).lower(), "role": replica.role}
    yield Point(metrics.REPLICA_INFO, {**identity, **about}, 1.0)
    yield Point(metrics.REPLICA_START, identity, replica.life.start or 0.0)
