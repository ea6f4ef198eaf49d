"""Converts an engine's metrics to normalized points. Pure: no I/O, no state."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from plimsoll.exporters.collector import Point
from plimsoll.exporters.engines.mapping import CapacityInfo, CapacityProduct, EngineMapping, Source
from plimsoll.exporters.engines.parser import Labels, Page, Shape
from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric, bucket_bound

# Enough for 64 ranks of vLLM 0.32; bounds the cost of an unexpected page.
LIMIT_PLANNED = 15_000
SUFFIXES = {"gauge": ("",), "counter": ("",), "histogram": ("_bucket", "_sum", "_count")}


class Planned(NamedTuple):
    """An output series, and the positions of the page's numbers that it sums."""

    metric: Metric
    labels: Mapping[str, str]
    suffix: str
    places: tuple[int, ...]


def named_first(shape: Shape, mapping: EngineMapping) -> Shape:
    """Return the shape with the engine's own names, where another program changed their prefix."""
    own, *others = mapping.prefixes
    renamed = {_first(name, own, others): rows for name, rows in shape.places.items()}
    return shape if renamed.keys() == shape.places.keys() else Shape(shape.families, renamed)


def _first(name: str, own: str, others: Iterable[str]) -> str:
    return next((own + name.removeprefix(other) for other in others if name.startswith(other)), name)


def model_of(shape: Shape, mapping: EngineMapping) -> str:
    """Return the page's model; raises ValueError if it names none, or several as a router's does."""
    theirs = {label for label, ours in mapping.labels.items() if ours == "model"}
    models = {
        value
        for name, rows in shape.places.items()
        if name.startswith(mapping.prefixes)
        for labels in rows
        for key, value in labels
        if key in theirs
    }
    if len(models) != 1:
        raise ValueError(f"it names {', '.join(sorted(models)) or 'no model'} instead of one model. Is it a router?")
    return models.pop()


def plan(shape: Shape, mapping: EngineMapping, replica: str, model: str) -> list[Planned]:
    """Map every metric of the page; raises ValueError for too many series, or for two that map to one output series."""
    planned: dict[tuple[str, str, frozenset[tuple[str, str]]], Planned] = {}
    for one in _mapped(shape, mapping, _identity(mapping, replica, model)):
        key = (one.metric.name, one.suffix, frozenset(one.labels.items()))
        if key not in planned:
            planned[key] = one
            if len(planned) > LIMIT_PLANNED:
                raise ValueError(f"it has more than {LIMIT_PLANNED} series to export")
        elif mapping.gateway:
            planned[key] = one._replace(places=planned[key].places + one.places)
        else:
            raise ValueError(f"two series for {one.metric}{one.suffix}{dict(one.labels)}. Is it a router?")
    return list(planned.values())


def follow(planned: Iterable[Planned], numbers: Sequence[float]) -> list[Point]:
    """Return the points of a page by its plan. Their label objects are reused, so that the renderer can cache their lines."""
    return [
        Point(metric, labels, numbers[places[0]] if len(places) == 1 else sum(numbers[at] for at in places), suffix)
        for metric, labels, suffix, places in planned
    ]


def capacity(page: Page, mapping: EngineMapping, replica: str, model: str) -> list[Point]:
    """Return the KV cache's capacity, where it has no series of its own; raises ValueError for two values of one rank."""
    points = list(_capacity(page, mapping, _identity(mapping, replica, model)))
    if len({frozenset(point.labels.items()) for point in points}) < len(points):
        raise ValueError(f"two series for {metrics.KV_CACHE_CAPACITY}. Is it a router?")
    return points


def normalize(page: Page, mapping: EngineMapping, replica: str, model: str) -> list[Point]:
    """Map one page; see plan and capacity."""
    planned = plan(page.shape, mapping, replica, model)
    return [*follow(planned, page.numbers), *capacity(page, mapping, replica, model)]


def _identity(mapping: EngineMapping, replica: str, model: str) -> dict[str, str]:
    if mapping.gateway:
        return {"gateway": replica, "model": "unknown", "tenant": "none", "reason": "unknown"}
    return {"replica": replica, "model": model, "engine": mapping.engine, "rank": "0"}


def missing(page: Page, mapping: EngineMapping, version: str) -> list[str]:
    """Return the newest names that this version should expose and doesn't; none before it served a request."""
    if mapping.served and not any(value > 0 for value in page.series.get(mapping.served, {}).values()):
        return []
    return [
        source.names[0]
        for source in mapping.sources
        if not source.optional and _newest(page.shape, source) is None and _reached(version, source.since)
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


def _mapped(shape: Shape, mapping: EngineMapping, identity: Mapping[str, str]) -> Iterator[Planned]:
    for source in mapping.sources:
        name = _newest(shape, source)
        for suffix in SUFFIXES[source.metric.kind] if name else ():
            rows = _rows(shape.places.get(f"{name}{suffix}", {}), mapping, source)
            for theirs, places in rows.items():
                yield Planned(source.metric, _labels(source, theirs, mapping, identity, suffix), suffix, places)


def _rows(rows: Mapping[Labels, int], mapping: EngineMapping, source: Source) -> Mapping[Labels, tuple[int, ...]]:
    """Select a source's rows, drop duplicates, and combine rows to be added."""
    # If the output metric has no rank, ranks are added too.
    ranks = {key for key, ours in mapping.labels.items() if ours == "rank" and "rank" not in source.metric.labels}
    parts = mapping.sums | ranks
    if not (source.where or mapping.copies or parts):
        return {labels: (place,) for labels, place in rows.items()}
    seen: set[Labels] = set()
    found: dict[Labels, tuple[int, ...]] = {}
    for labels in sorted(rows):
        distinct = tuple(label for label in labels if label[0] not in mapping.copies)
        present = dict(labels)
        if distinct in seen or any(present.get(key, "") != value for key, value in source.where.items()):
            continue
        seen.add(distinct)
        remaining = tuple(label for label in distinct if label[0] not in parts)
        found[remaining] = (*found.get(remaining, ()), rows[labels])
    return found


def _labels(
    source: Source, theirs: Labels, mapping: EngineMapping, identity: Mapping[str, str], suffix: str = ""
) -> dict[str, str]:
    row = dict(theirs)
    renamed = {ours: row[key] for key, ours in mapping.labels.items() if key in row}
    # vLLM's label `engine` is a rank: renamed above, and never used as our `engine`.
    merged = {**row, **identity, **renamed, **source.adds}
    labels = {label: merged[label] for label in source.metric.labels if label in merged}
    if suffix == "_bucket":
        labels["le"] = bucket_bound(float(row["le"]))
    return labels


def _capacity(page: Page, mapping: EngineMapping, identity: Mapping[str, str]) -> Iterator[Point]:
    config = mapping.capacity
    if isinstance(config, CapacityInfo):
        yield from _capacity_info(page, mapping, config, identity)
    if isinstance(config, CapacityProduct):
        numbers = [
            {
                frozenset(_labels(source, theirs, mapping, identity).items()): sum(page.numbers[at] for at in places)
                for theirs, places in _rows(page.shape.places.get(source.names[0], {}), mapping, source).items()
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
