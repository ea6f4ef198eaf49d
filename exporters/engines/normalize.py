"""Converts an engine's metrics to normalized points. Pure: no I/O, no state."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from plimsoll.exporters.collector import Point
from plimsoll.exporters.engines.mapping import CapacityInfo, CapacityProduct, EngineMapping, Source
from plimsoll.exporters.engines.parser import Labels, Page, Shape
from plimsoll.exporters.engines.roles import ROLES
from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric, bucket_bound

# Enough for 64 ranks of vLLM 0.33; bounds the cost of an unexpected page.
LIMIT_PLANNED = 20_000
SUFFIXES = {"gauge": ("",), "counter": ("",), "histogram": ("_bucket", "_sum", "_count")}
# What engines and gateways write where they don't know the model's name, or the tenant's.
NO_NAME = frozenset({"", "undefined", "unknown", "None"})


class Planned(NamedTuple):
    """An output series, and the positions of the page's numbers that it combines: their sum, or the largest; times `scale`."""

    metric: Metric
    labels: Mapping[str, str]
    suffix: str
    places: tuple[int, ...]
    scale: float = 1.0

    @property
    def plain(self) -> bool:
        """Whether it is a number of the page as it is."""
        return len(self.places) == 1 and self.scale == 1

    def value(self, numbers: Sequence[float]) -> float:
        """Return its value in a page's numbers."""
        found = [numbers[at] for at in self.places]
        return self.scale * (max(found) if self.metric.combined == "max" else sum(found))


class Plan(NamedTuple):
    """The output series of a page, as they are or combined, and the engine's names whose rows can't be combined."""

    plain: list[tuple[Metric, Mapping[str, str], int, str]]
    combined: list[Planned]
    ambiguous: list[str]


def model_of(shape: Shape, mapping: EngineMapping) -> str:
    """Return the page's model, empty if it names none; raises ValueError for several, as a router's page has."""
    theirs = {label for label, ours in mapping.labels.items() if ours == "model"}
    found = {label for name, _ in _families(mapping) for labels in shape.places.get(name, {}) for label in labels}
    models = {value for key, value in found if key in theirs and value not in NO_NAME}
    if any(key == "server" and "://" in value for key, value in found):
        raise ValueError("its series name servers. Is it a router?")
    if len(models) > 1:
        raise ValueError(f"it names {', '.join(sorted(models))} instead of one model. Is it a router?")
    return next(iter(models), "")


def role_of(shape: Shape, mapping: EngineMapping) -> str:
    """Return the part of a disaggregated engine (ROLES) that the page's series name, or an empty string."""
    if not mapping.role:
        return ""
    rows = (labels for name, _ in _families(mapping) for labels in shape.places.get(name, {}))
    found = (value for labels in rows for key, value in labels if key in mapping.role)
    return next((value for value in found if value in ROLES), "")


def _families(mapping: EngineMapping) -> Iterator[tuple[str, Source]]:
    for source in mapping.sources:
        for name in source.names:
            yield name + SUFFIXES[source.metric.kind][-1], source


def plan(shape: Shape, mapping: EngineMapping, replica: str, model: str) -> Plan:
    """Map every metric of the page; raises ValueError for too many series."""
    found: dict[tuple[str, str, frozenset[tuple[str, str]]], Planned] = {}
    ambiguous: dict[Metric, str] = {}
    for one, name in _mapped(shape, mapping, _identity(mapping, replica, model)):
        key = (one.metric.name, one.suffix, frozenset(one.labels.items()))
        if key not in found:
            found[key] = one
        elif one.metric.kind == "gauge" and not one.metric.combined:
            ambiguous[one.metric] = name
        else:
            found[key] = found[key]._replace(places=found[key].places + one.places)
        if len(found) > LIMIT_PLANNED:
            raise ValueError(f"it has more than {LIMIT_PLANNED} series to export")
    ambiguous |= _uneven(found.values(), shape, mapping)
    clear = [one for one in found.values() if one.metric not in ambiguous]
    plain = [(one.metric, one.labels, one.places[0], one.suffix) for one in clear if one.plain]
    return Plan(plain, [one for one in clear if not one.plain], sorted(set(ambiguous.values())))


def _uneven(planned: Iterable[Planned], shape: Shape, mapping: EngineMapping) -> dict[Metric, str]:
    """Find histograms that add up rows with different bounds: such a sum isn't a cumulative count."""
    parts: dict[tuple[str, frozenset[tuple[str, str]]], set[int]] = {}
    by_name = {}
    for one in planned:
        if one.suffix in ("_bucket", "_count"):
            series = frozenset(item for item in one.labels.items() if item[0] != "le")
            parts.setdefault((one.metric.name, series), set()).add(len(one.places))
            by_name[one.metric.name] = one.metric
    uneven = {by_name[name] for (name, _), counts in parts.items() if len(counts) > 1}
    return {
        source.metric: _newest(shape, source) or source.names[0]
        for source in mapping.sources
        if source.metric in uneven
    }


def follow(planned: Plan, numbers: Sequence[float]) -> list[Point]:
    """Return the points of a page by its plan. Their label objects are reused, so that the renderer can cache their lines."""
    return [
        *[Point(metric, labels, numbers[place], suffix) for metric, labels, place, suffix in planned.plain],
        *[Point(one.metric, one.labels, one.value(numbers), one.suffix) for one in planned.combined],
    ]


def capacity(page: Page, mapping: EngineMapping, replica: str, model: str) -> list[Point]:
    """Return the KV cache's capacity, where it has no series of its own; nothing where one rank has two values."""
    points: dict[frozenset[tuple[str, str]], Point] = {}
    twice = set()
    for point in _capacity(page, mapping, _identity(mapping, replica, model)):
        key = frozenset(point.labels.items())
        if key in points and points[key].value != point.value:
            twice.add(key)
        points[key] = point
    return [point for key, point in points.items() if key not in twice]


def normalize(page: Page, mapping: EngineMapping, replica: str, model: str) -> list[Point]:
    """Map one page; see plan and capacity."""
    planned = plan(page.shape, mapping, replica, model)
    return [*follow(planned, page.numbers), *capacity(page, mapping, replica, model)]


def _identity(mapping: EngineMapping, replica: str, model: str) -> dict[str, str]:
    if mapping.gateway:
        return {"gateway": replica, "model": model or "unknown", "tenant": "none", "reason": "unknown"}
    return {"replica": replica, "model": model, "engine": mapping.engine, "rank": "0"}


def missing(page: Page, mapping: EngineMapping, version: str) -> list[str]:
    """Return the newest names that this version should expose and doesn't; none before it served a request."""
    return absent(page.shape, mapping, version) if has_served(page, mapping) else []


def has_served(page: Page, mapping: EngineMapping) -> bool:
    """Return whether a request was served, so that every name should be there."""
    return not mapping.served or any(value > 0 for value in page.series.get(mapping.served, {}).values())


def absent(shape: Shape, mapping: EngineMapping, version: str) -> list[str]:
    """Return the newest names that this version should expose once it has served a request, and that the page lacks."""
    role = role_of(shape, mapping)
    return [
        source.names[0]
        for source in mapping.sources
        if not source.optional
        and role not in source.lacking
        and _newest(shape, source) is None
        and _reached(version, source.since)
    ]


def _reached(version: str, since: str) -> bool:
    """Return whether a version has reached `since`; False for an unknown version, unless `since` is empty."""
    if not since:
        return True
    numbers = [[int(digits) for digits in re.findall(r"\d+", text)] for text in (version, since)]
    return bool(numbers[0]) and numbers[0] >= numbers[1]


def _newest(shape: Shape, source: Source) -> str | None:
    suffix = SUFFIXES[source.metric.kind][-1]
    return next((name for name in source.names if shape.places.get(name + suffix) or name in shape.families), None)


def found_names(shape: Shape, mapping: EngineMapping) -> dict[Metric, list[str]]:
    """Return the engine's names that a page has, by metric."""
    found: dict[Metric, list[str]] = {}
    for source in mapping.sources:
        name = _newest(shape, source)
        if name and name not in found.setdefault(source.metric, []):
            found[source.metric].append(name)
    return {metric: names for metric, names in found.items() if names}


def _mapped(shape: Shape, mapping: EngineMapping, identity: Mapping[str, str]) -> Iterator[tuple[Planned, str]]:
    for source in mapping.sources:
        name = _newest(shape, source)
        for suffix in SUFFIXES[source.metric.kind] if name else ():
            for theirs, place in _rows(shape.places.get(f"{name}{suffix}", {}), mapping, source):
                labels = _labels(source, theirs, mapping, identity, suffix)
                scale = source.scale if suffix in ("", "_sum") else 1.0
                yield Planned(source.metric, labels, suffix, (place,), scale), name or ""


def _rows(rows: Mapping[Labels, int], mapping: EngineMapping, source: Source) -> Iterator[tuple[Labels, int]]:
    """Select a source's rows, without duplicates."""
    if not (source.where or source.unless or mapping.copies):
        yield from rows.items()
        return
    seen: set[Labels] = set()
    for labels in sorted(rows):
        distinct = tuple(label for label in labels if label[0] not in mapping.copies)
        present = dict(labels)
        if (
            distinct in seen
            or any(present.get(key, "") != value for key, value in source.where.items())
            or any(present.get(key, "") in values for key, values in source.unless.items())
        ):
            continue
        seen.add(distinct)
        yield labels, rows[labels]


def _labels(
    source: Source, theirs: Labels, mapping: EngineMapping, identity: Mapping[str, str], suffix: str = ""
) -> dict[str, str]:
    row = dict(theirs)
    renamed: dict[str, str] = {}
    for key, ours in mapping.labels.items():
        value = row.get(key)
        # LiteLLM writes `None` for a request without a team, and for a team without an alias.
        if value is not None and not (value in NO_NAME and ours in ("model", "tenant")):
            renamed[ours] = value
    # vLLM's label `engine` is a rank: renamed above, and never used as our `engine`.
    merged = {**row, **identity, **renamed, **source.adds}
    labels = {label: merged[label] for label in source.metric.labels if label in merged}
    if source.values and source.metric.labels[-1] in labels:
        last = source.metric.labels[-1]
        labels[last] = source.values.get(labels[last], labels[last])
    if suffix == "_bucket":
        labels["le"] = bucket_bound(float(f"{float(row['le']) * source.scale:.12g}"))
    return labels


def _capacity(page: Page, mapping: EngineMapping, identity: Mapping[str, str]) -> Iterator[Point]:
    config = mapping.capacity
    if isinstance(config, CapacityInfo):
        yield from _capacity_info(page, mapping, config, identity)
    if isinstance(config, CapacityProduct):
        numbers = [
            {
                frozenset(_labels(source, theirs, mapping, identity).items()): page.numbers[place]
                for name in source.names
                for theirs, place in _rows(page.shape.places.get(name, {}), mapping, source)
            }
            for source in (config.blocks, config.block_size)
        ]
        for labels, blocks in numbers[0].items():
            if labels in numbers[1]:
                yield Point(metrics.KV_CACHE_CAPACITY, dict(labels), blocks * numbers[1][labels])


def _capacity_info(
    page: Page, mapping: EngineMapping, config: CapacityInfo, identity: Mapping[str, str]
) -> Iterator[Point]:
    rows = page.series.get(config.series, {})
    for labels in rows:
        info = dict(labels)
        tokens = _number(info.get(config.tokens))
        if tokens is None:
            blocks, size = (_number(info.get(key)) for key in (config.blocks, config.block_size))
            tokens = blocks * size / len(rows) if blocks and size else None
        if tokens:
            source = Source(metrics.KV_CACHE_CAPACITY, (config.series,))
            yield Point(source.metric, _labels(source, labels, mapping, identity), tokens)


def kv_bytes(page: Page, mapping: EngineMapping) -> float | None:
    """Return the bytes that each GPU of the engine reserves for its KV cache; None if not reported, or ambiguous."""
    config = mapping.capacity
    if not isinstance(config, CapacityInfo):
        return None
    found = {_number(dict(labels).get(config.bytes_per_gpu)) for labels in page.shape.places.get(config.series, {})}
    return found.pop() if len(found) == 1 else None


def _number(text: str | None) -> float | None:
    """Parse an info label; vLLM writes `None` while a value is unknown."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
