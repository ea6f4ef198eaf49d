"""An engine's page becomes points of the catalogue. Pure: no I/O, no state."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping

from exporters.collector import Point
from exporters.engines.mapping import CapacityInfo, CapacityProduct, EngineMapping, Source
from exporters.page import Labels, Page
from slo import catalogue
from slo.catalogue import bucket_bound

SUFFIXES = {"gauge": ("",), "counter": ("",), "histogram": ("_bucket", "_sum", "_count")}


def named_first(page: Page, mapping: EngineMapping) -> Page:
    """Return the page with the engine's own names, where another program has wrapped them."""
    own, *others = mapping.prefixes
    renamed = {_first(name, own, others): rows for name, rows in page.series.items()}
    return page if renamed.keys() == page.series.keys() else Page(page.families, renamed)


def _first(name: str, own: str, others: Iterable[str]) -> str:
    return next((own + name.removeprefix(other) for other in others if name.startswith(other)), name)


def model_of(page: Page, mapping: EngineMapping) -> str:
    """Return the one model that the page is about; raises ValueError where it names none or several, as a router's does."""
    theirs = {label for label, ours in mapping.labels.items() if ours == "model"}
    models = {
        value
        for name, rows in page.series.items()
        if name.startswith(mapping.prefixes)
        for labels in rows
        for key, value in labels
        if key in theirs
    }
    if len(models) != 1:
        raise ValueError(
            f"it names {', '.join(sorted(models)) or 'no model'} where an engine names one model; is it a router's page?"
        )
    return models.pop()


def normalise(page: Page, mapping: EngineMapping, replica: str, model: str) -> list[Point]:
    """Map every metric that the page has; raises ValueError where two of its series would become one of ours."""
    identity = {"replica": replica, "model": model, "engine": mapping.engine, "rank": "0"}
    if mapping.gateway:
        identity = {"gateway": replica, "model": "unknown", "tenant": "none", "reason": "unknown"}
    points: dict[tuple[str, str, frozenset[tuple[str, str]]], Point] = {}
    for point in (*_mapped(page, mapping, identity), *_capacity(page, mapping, identity)):
        key = (point.metric.name, point.suffix, frozenset(point.labels.items()))
        if key in points and not mapping.gateway:
            raise ValueError(f"two series for {point.metric}{point.suffix}{dict(point.labels)}; is it a router's page?")
        before = points[key].value if key in points else 0.0
        points[key] = point._replace(value=before + point.value)
    return list(points.values())


def missing(page: Page, mapping: EngineMapping, version: str) -> list[str]:
    """Return the newest names of what a page of that version should have and has not; nothing before it served a request."""
    if mapping.served and not any(value > 0 for value in page.series.get(mapping.served, {}).values()):
        return []
    return [
        source.names[0]
        for source in mapping.sources
        if not source.optional and _newest(page, source) is None and _reached(version, source.since)
    ]


def _reached(version: str, since: str) -> bool:
    """Whether a version is not older than another; an unknown one is, where it matters."""
    if not since:
        return True
    numbers = [[int(digits) for digits in re.findall(r"\d+", text)] for text in (version, since)]
    return bool(numbers[0]) and numbers[0] >= numbers[1]


def _newest(page: Page, source: Source) -> str | None:
    suffix = SUFFIXES[source.metric.kind][-1]
    return next((name for name in source.names if page.series.get(name + suffix) or name in page.families), None)


def _mapped(page: Page, mapping: EngineMapping, identity: Mapping[str, str]) -> Iterator[Point]:
    for source in mapping.sources:
        name = _newest(page, source)
        for suffix in SUFFIXES[source.metric.kind] if name else ():
            rows = _rows(page.series.get(f"{name}{suffix}", {}), mapping, source)
            for theirs, value in rows.items():
                yield Point(source.metric, _labels(source, theirs, mapping, identity, suffix), value, suffix)


def _rows(rows: Mapping[Labels, float], mapping: EngineMapping, source: Source) -> Mapping[Labels, float]:
    """Pick a source's rows, leave out copies, and add up what are parts of one number."""
    # Where ours has no rank, the ranks are parts of one number, too.
    ranks = {key for key, ours in mapping.labels.items() if ours == "rank" and "rank" not in source.metric.labels}
    parts = mapping.sums | ranks
    if not (source.where or mapping.copies or parts):
        return rows
    seen: set[Labels] = set()
    found: dict[Labels, float] = {}
    for labels in sorted(rows):
        distinct = tuple(label for label in labels if label[0] not in mapping.copies)
        present = dict(labels)
        if distinct in seen or any(present.get(key, "") != value for key, value in source.where.items()):
            continue
        seen.add(distinct)
        kept = tuple(label for label in distinct if label[0] not in parts)
        found[kept] = found.get(kept, 0.0) + rows[labels]
    return found


def _labels(
    source: Source, theirs: Labels, mapping: EngineMapping, identity: Mapping[str, str], suffix: str = ""
) -> dict[str, str]:
    row = dict(theirs)
    renamed = {ours: row[key] for key, ours in mapping.labels.items() if key in row}
    # Their `engine` is a number of a rank: renamed above, and never taken for ours.
    merged = {**row, **identity, **renamed, **source.adds}
    labels = {label: merged[label] for label in source.metric.labels if label in merged}
    if suffix == "_bucket":
        labels["le"] = bucket_bound(float(row["le"]))
    return labels


def _capacity(page: Page, mapping: EngineMapping, identity: Mapping[str, str]) -> Iterator[Point]:
    capacity = mapping.capacity
    if isinstance(capacity, CapacityInfo):
        yield from _capacity_info(page, mapping, capacity, identity)
    if isinstance(capacity, CapacityProduct):
        numbers = [
            {
                frozenset(_labels(source, theirs, mapping, identity).items()): value
                for theirs, value in _rows(page.series.get(source.names[0], {}), mapping, source).items()
            }
            for source in (capacity.blocks, capacity.block_size)
        ]
        for labels, blocks in numbers[0].items():
            if labels in numbers[1]:
                yield Point(catalogue.KV_CACHE_CAPACITY, dict(labels), blocks * numbers[1][labels])


def _capacity_info(
    page: Page, mapping: EngineMapping, capacity: CapacityInfo, identity: Mapping[str, str]
) -> Iterator[Point]:
    rows = page.series.get(capacity.series, {})
    for labels in rows:
        info = dict(labels)
        tokens = _number(info.get(capacity.tokens))
        if tokens is None:
            blocks, size = (_number(info.get(key)) for key in (capacity.blocks, capacity.block_size))
            tokens = blocks * size / len(rows) if blocks and size else None
        if tokens:
            source = Source(catalogue.KV_CACHE_CAPACITY, (capacity.series,))
            yield Point(source.metric, _labels(source, labels, mapping, identity), tokens)


def _number(text: str | None) -> float | None:
    """Read an info label, in which vLLM writes `None` for what it does not know yet."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
