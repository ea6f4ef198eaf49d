"""What Plimsoll makes of an engine's metrics endpoint: names found, names missing, and what each missing one costs."""

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from msgspec import structs

from plimsoll import alerts, dashboards
from plimsoll.exporters.collector import CollectorError, Point
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.exporters.engines.fetch import reason_of
from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric
from plimsoll.slo.sli.evidence import best, countings
from plimsoll.slo.spec.objectives import CountAt, Spec
from plimsoll.slo.spec.pool_match import EVERYTHING

SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Cost:
    """A metric without a number, and the alerts and panels that then have no data."""

    metric: str
    alerts: list[str]
    panels: list[str]


@dataclass(frozen=True, slots=True)
class Report:
    """One endpoint. `problem` is empty if it was read; `found` maps our metrics to the engine's names.

    `unusable` has the engine's names without a usable number and the reason. `objectives` maps SLOs to how they are counted
    (None: not at all); only SLOs of pools that serve a model found here are in it.
    """

    url: str
    problem: str = ""
    reason: str = ""
    engine: str = ""
    version: str = ""
    replicas: dict[str, str] = field(default_factory=dict)
    found: dict[str, list[str]] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    missing: list[Cost] = field(default_factory=list)
    objectives: dict[str, str | None] = field(default_factory=dict)
    limits: str = ""

    @property
    def complete(self) -> bool:
        """Whether it was read, lacks no name that its version should have, and every SLO can be counted."""
        return not self.problem and not self.unusable and None not in self.objectives.values()

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return asdict(self)


def report(collector: EngineCollector, url: str, spec: Spec) -> Report:
    """Read one endpoint once."""
    try:
        points = list(collector.collect(time.monotonic() + SECONDS))
    except CollectorError as error:
        return Report(url, str(error), reason_of(error))
    mapping, found = collector.found
    info = [point for point in points if point.metric is metrics.REPLICA_INFO]
    present = {point.metric for point in points}
    gateway = mapping.gateway
    return Report(
        url,
        engine=mapping.title,
        version=next((point.labels["version"] for point in info), ""),
        replicas={point.labels["replica"]: point.labels["model"] for point in info},
        found={metric.name: names for metric, names in sorted(found.items())},
        unusable={
            point.labels["metric"]: point.labels["reason"] for point in points if point.metric is metrics.METRIC_MISSING
        },
        missing=list(_costs(present, gateway)),
        objectives=dict(_counted(points, _models(points, gateway), spec, "gateway" if gateway else "engine")),
        limits=mapping.checked.limits,
    )


def _costs(present: set[Metric], gateway: bool) -> Iterator[Cost]:
    label = "gateway" if gateway else "engine"
    for metric in metrics.ALL:
        if label in metric.labels and metric not in present:
            cost = Cost(metric.name, list(_users(metric, _alerts())), list(_users(metric, _panels())))
            if cost.alerts or cost.panels:
                yield cost


def _models(points: Sequence[Point], gateway: bool) -> set[str]:
    carrier = metrics.GATEWAY_REQUESTS if gateway else metrics.REPLICA_INFO
    return {point.labels["model"] for point in points if point.metric is carrier}


def _counted(
    points: Sequence[Point], models: set[str], spec: Spec, count_at: CountAt
) -> Iterator[tuple[str, str | None]]:
    series = [(point.metric.name + point.suffix, point.labels) for point in points]
    for objective in spec.objectives:
        pool = spec.pool(objective.pool)
        if pool.model in models and objective.count_at == count_at:
            every = structs.replace(pool, match=EVERYTHING)  # the page has no labels of a scrape target
            found = best(countings(objective, every), series)
            yield objective.id, None if found is None else found.source


def _users(metric: Metric, texts: Mapping[str, str]) -> Iterator[str]:
    name = re.compile(rf"\b{metric.name}(?:_bucket|_sum|_count)?\b")
    yield from (user for user, text in texts.items() if name.search(text))


@cache
def _alerts() -> dict[str, str]:
    """Return the expressions of the generated alerts, by name."""
    found: dict[str, str] = {}
    for path in sorted((Path(alerts.__file__).parent / "generated").glob("*.rules.yml")):
        groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in (rule for group in groups for rule in group["rules"] if "alert" in rule):
            found[rule["alert"]] = f"{found.get(rule['alert'], '')} {rule['expr']}"
    return found


@cache
def _panels() -> dict[str, str]:
    """Return the queries of the generated dashboards' panels, by dashboard and title."""
    found: dict[str, str] = {}
    for path in sorted((Path(dashboards.__file__).parent / "generated").glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        for panel in _nested(board.get("panels", [])):
            queries = " ".join(str(target.get("expr", "")) for target in panel.get("targets") or [])
            if queries:
                found[f"{board['title']}: {panel['title']}"] = queries
    return found


def _nested(panels: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in panels:
        yield panel
        yield from _nested(panel.get("panels") or [])
