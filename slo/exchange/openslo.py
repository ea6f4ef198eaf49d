"""OpenSLO v1: reading. Its fields: github.com/OpenSLO/OpenSLO, README.md (September 2025)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from plimsoll.slo import strict_json
from plimsoll.slo.exchange.conversion import Conversion, ConvertedSlo, Reading, indicator, percent, window
from plimsoll.slo.exchange.document import Document, Field, Loss, UnsupportedFieldError
from plimsoll.slo.exchange.queries import Sum, read_ratio, read_sum
from plimsoll.slo.spec.pool_match import EVERYTHING, Match

VERSION = "openslo/v1"
# In seconds. `m` is minutes and `M` months; a month that rolls has 30 days here, as a calendar one has by its nominal length.
MINUTE, HOUR, DAY = 60, 3600, 86400
UNITS = {"m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY, "M": 30 * DAY, "Q": 90 * DAY, "Y": 365 * DAY}
# Facts of ours for which OpenSLO has no field stand in annotations, which it gives to each implementation for that.
POOL, INDICATOR, BUCKET_MISMATCH = "plimsoll/pool", "plimsoll/indicator", "plimsoll/bucket-mismatch"
COUNT_AT = "plimsoll/count-at"
QUERIES = ("query", "promql", "expr")
REASONS = {
    "labels": "ours carry objective, pool and tier",
    "annotations": "another tool's annotations",
    "displayName": "an SLO is shown by its ID",
    "description": "an SLO has no description",
    "service": "a pool is identified by its model, not by a service",
    "alertPolicies": "alerts are computed from target and window, and routed by `plimsoll build`",
    "metricSourceRef": "set the source at start (--source)",
    "counter": "Plimsoll reads counters only",
}
_CALENDARS = {("1w", "week"), ("7d", "week"), ("1M", "month"), ("1Q", "quarter"), ("3M", "quarter")}


def read_openslo(documents: Sequence[Document], reading: Reading) -> Conversion:
    """Convert what can be converted of the documents of one file."""
    converted, named, slos = Conversion(), dict[tuple[str, str], Field](), list[Field]()
    for document in documents:
        root = document.root
        version, kind = root.at("apiVersion").use(), root.at("kind").use()
        if version != VERSION:
            root.use()
            converted.losses.append(Loss(root.at("apiVersion").where, f"document skipped: not {VERSION}"))
        elif kind == "SLO":
            slos.append(root)
        elif kind in ("SLI", "DataSource"):
            named[kind, str(root.at("metadata", "name").use())] = root
        elif kind == "Service":
            converted.convert(root, lambda root: _service(converted, root))
        else:
            root.use()
            converted.losses.append(Loss(root.where, f"{kind}: {REASONS['alertPolicies']}"))
    for slo in slos:
        converted.convert(slo, lambda slo: _objectives(slo, named, converted.pools, reading))
    return converted.finish(documents, REASONS)


def _service(converted: Conversion, root: Field) -> tuple[()]:
    """Take a pool that Plimsoll wrote; any other service is only a name."""
    name, annotation = root.at("metadata", "name").text(""), root.at("metadata", "annotations", POOL)
    if annotation.data is not None:
        converted.pools[name] = _json(annotation, "model")
        root.use()
    return ()


def _objectives(
    root: Field, named: dict[tuple[str, str], Field], pools: dict[str, dict[str, Any]], reading: Reading
) -> Iterator[ConvertedSlo]:
    spec, name = root.at("spec"), root.at("metadata", "name").text()
    if spec.at("budgetingMethod").use() != "Occurrences":
        raise UnsupportedFieldError(
            spec.at("budgetingMethod").where, "counts time slices; an error budget counts requests"
        )
    losses: list[Loss] = []
    at, sums = _sums(_ratio(spec, named), named)
    service = str(spec.at("service").data)
    own = pools.get(service, {})
    annotation, optional = _annotation(root, INDICATOR), _optional(root)
    kind: Any
    if annotation.data is not None:
        stored = _json(annotation, "indicator", "model")
        kind, model = stored["indicator"], stored["model"]
    else:
        found = indicator(reading, at, sums, losses, _match(own))
        kind, model = found.indicator, found.model or ""
    described = own.get("model") == model
    if described:  # Plimsoll wrote it: these hold nothing more
        for field in ("service", "description", "indicator"):
            spec.at(field).use()
    length = _window(spec, reading, losses)
    goals = spec.at("objectives").items()
    if not goals:
        raise UnsupportedFieldError(spec.at("objectives").where, "is missing")
    for number, goal in enumerate(goals, 1):
        ratio = goal.at("target").data is not None
        target = percent(goal.at("target"), 100) if ratio else percent(goal.at("targetPercent"))
        listed, losses = losses, []  # of the whole, so they are listed once
        numbered = name if len(goals) == 1 else f"{name}-{number}"
        yield ConvertedSlo(
            goal, numbered, model, kind, target, length, listed, optional, service if described else None
        )


def _ratio(spec: Field, named: dict[tuple[str, str], Field]) -> Field:
    sli = spec.at("indicator", "spec") if spec.at("indicator").data is not None else _referred(spec, named)
    if sli.at("ratioMetric").data is None:
        raise UnsupportedFieldError(sli.where, "isn't a ratioMetric: a threshold on a number doesn't count requests")
    return sli.at("ratioMetric")


def _optional(root: Field) -> dict[str, str]:
    """Use the annotations that hold fields of the objectives file as they are; those that it has."""
    found = {"bucket_mismatch": _annotation(root, BUCKET_MISMATCH), "count_at": _annotation(root, COUNT_AT)}
    return {name: text for name, at in found.items() if (text := at.text(""))}


def _match(pool: Mapping[str, Any]) -> Match:
    """Return the match of a pool that Plimsoll wrote; one that was edited into nonsense is an error of the objectives file."""
    try:
        return Match.parse(pool.get("match", {}))
    except ValueError:
        return EVERYTHING


def _annotation(root: Field, name: str) -> Field:
    return root.at("metadata", "annotations", name)


def _json(at: Field, *needed: str) -> dict[str, Any]:
    """Use a Plimsoll annotation. Raises UnsupportedFieldError if it was edited."""
    try:
        found = strict_json.load(at.text())
    except ValueError as error:
        raise UnsupportedFieldError(at.where, f"isn't JSON: {error}") from error
    if not isinstance(found, dict) or not set(needed) <= set(found) or not isinstance(found["model"], str):
        raise UnsupportedFieldError(at.where, f"isn't a JSON object with {' and '.join(needed)}")
    return found


def _referred(spec: Field, named: dict[tuple[str, str], Field]) -> Field:
    at = spec.at("indicatorRef")
    name = at.text("")
    if ("SLI", name) not in named:
        raise UnsupportedFieldError(at.where, f"unknown SLI {name!r}" if name else "is missing, as indicator is")
    return named["SLI", name].at("spec")


def _sums(ratio: Field, named: dict[tuple[str, str], Field]) -> tuple[Field, Callable[[], tuple[Sum, Sum]]]:
    """Return where the total stands, and how good and total are read."""
    raw = ratio.at("raw")
    if raw.data is not None:
        query, success = _query(raw, named), ratio.at("rawType").text() == "success"
        return raw, lambda: _raw(query, success)
    total = _query(ratio.at("total"), named)
    if ratio.at("good").data is not None:
        good = _query(ratio.at("good"), named)
        return ratio.at("total"), lambda: (read_sum(good), read_sum(total))
    bad = _query(ratio.at("bad"), named)
    return ratio.at("total"), lambda: (read_sum(total).minus(read_sum(bad)), read_sum(total))


def _raw(query: str, success: bool) -> tuple[Sum, Sum]:
    part, total, inverted = read_ratio(query)
    return (part if inverted != success else total.minus(part)), total


def _query(at: Field, named: dict[tuple[str, str], Field]) -> str:
    """Use a Prometheus query; raises UnsupportedFieldError for another kind of source."""
    source = at.at("metricSource")
    kind = source.at("type").text("")
    if not kind and ("DataSource", source.at("metricSourceRef").text("")) in named:
        kind = named["DataSource", source.at("metricSourceRef").text("")].at("spec", "type").text("")
    if kind.lower() not in ("", "prometheus"):
        raise UnsupportedFieldError(source.where, f"is of type {kind}, not Prometheus")
    given = [source.at("spec", key) for key in QUERIES if source.at("spec", key).data is not None]
    if len(given) != 1:
        raise UnsupportedFieldError(source.where, f"doesn't have exactly one of {', '.join(QUERIES)}")
    return given[0].text()


def _window(spec: Field, reading: Reading, losses: list[Loss]) -> str | dict[str, str]:
    items = spec.at("timeWindow").items()
    if len(items) != 1:
        losses.append(Loss(spec.where, f"doesn't have exactly one timeWindow; {reading.window} is used (--window)"))
        return reading.window
    at = items[0]
    at.at("isRolling").use()
    if at.at("calendar").data is not None:
        return _calendar(at)
    length = at.at("duration")
    if length.data is not None and str(length.data).endswith(("M", "Q", "Y")):
        losses.append(Loss(length.where, f"a rolling {length.data} has no fixed length; 30 days per month are used"))
    return window(length, UNITS)


def _calendar(at: Field) -> dict[str, str]:
    """Find the week, month or quarter that begins at the start time of the file. Raises UnsupportedFieldError for any other."""
    length, start = at.at("duration").text(), at.at("calendar", "startTime")
    try:
        first = datetime.fromisoformat(start.text())
    except ValueError as error:
        raise UnsupportedFieldError(start.where, f"{start.data!r} isn't a date and time") from error
    begins = {
        "week": first.weekday() == 0,
        "month": first.day == 1,
        "quarter": first.day == 1 and first.month in (1, 4, 7, 10),
    }
    for calendar in (name for text, name in _CALENDARS if text == length):
        if begins[calendar] and not (first.hour or first.minute or first.second):
            return {"calendar": calendar, "timezone": at.at("calendar", "timeZone").text("UTC")}
    why = (
        f"{length} from {start.data}: a calendar window is a week from Monday, or a month or quarter from its first day"
    )
    raise UnsupportedFieldError(at.where, why)
