"""OpenSLO v1: writing. Each pool becomes a Service, each objective an SLO with queries of Plimsoll metrics."""

import json
from typing import Any

import msgspec
import yaml

from plimsoll.slo.exchange.document import Loss
from plimsoll.slo.exchange.openslo import BUCKET_MISMATCH, COUNT_AT, INDICATOR, MINUTE, POOL, VERSION
from plimsoll.slo.sli.evidence import Near, countings
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Objective, Pool, Spec, Window
from plimsoll.slo.spec.pool_match import Match
from plimsoll.slo.units import Duration, duration_text, percent_text

# Days on which a calendar period begins: any would do; the first of January 2024 was a Monday as well.
_FIRST = "2024-01-01 00:00:00"
_PERIODS = {"week": "1w", "month": "1M", "quarter": "1Q"}


def write_openslo(spec: Spec) -> tuple[str, list[Loss]]:
    """Write the documents of one file, and what OpenSLO can't hold."""
    losses = [Loss(f"exclusions[{index}]", "OpenSLO has no exclusions") for index in range(len(spec.exclusions))]
    documents = [_service(pool) for pool in spec.pools]
    for index, objective in enumerate(spec.objectives):
        where = f"objectives[{index}]"
        if objective.window.seconds % MINUTE:
            losses.append(Loss(f"{where}.window", "SLO skipped: OpenSLO's durations are whole minutes"))
            continue
        losses.append(Loss(where, "burn-rate alerts need two windows each; an OpenSLO AlertPolicy has one condition"))
        if loss := objective.indicator.openslo_loss:
            losses.append(Loss(f"{where}.indicator", loss))
        if objective.group_by:
            losses.append(Loss(f"{where}.group_by", "an OpenSLO SLO has one error budget, not one per tenant"))
        documents.append(_slo(objective, spec.pool(objective.pool)))
    return yaml.safe_dump_all(documents, sort_keys=False, width=120, allow_unicode=True), losses


def _document(kind: str, name: str, annotations: dict[str, str], spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name} | ({"annotations": annotations} if annotations else {})
    return {"apiVersion": VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _service(pool: Pool) -> dict[str, Any]:
    fields = msgspec.to_builtins(pool, enc_hook=_text)
    facts = {field: value for field, value in fields.items() if field != "name" and value not in (None, {})}
    return _document("Service", pool.name, {POOL: json.dumps(facts)}, {"description": f"Serves {pool.model}"})


def _text(value: object) -> Any:
    if isinstance(value, Match):
        return value.to_file()
    return duration_text(value) if isinstance(value, Duration) else percent_text(float(str(value)))


def _slo(objective: Objective, pool: Pool) -> dict[str, Any]:
    annotations = {}
    if objective.indicator.openslo_loss or objective.count_at == "gateway":
        annotations[INDICATOR] = json.dumps({"indicator": objective.indicator.to_file(), "model": pool.model})
    if objective.count_at == "gateway":
        annotations[COUNT_AT] = objective.count_at
    if objective.bucket_mismatch != "unknown":
        annotations[BUCKET_MISMATCH] = objective.bucket_mismatch
    way = countings(objective, pool)[-1]  # what every exporter has: the plugin isn't everywhere
    counting = way.exact if isinstance(way, Near) else way
    spec = {
        "description": f"{percent_text(objective.target)} of the requests of {pool.name}: {objective.indicator}",
        "service": pool.name,
        "indicator": {
            "metadata": {"name": objective.id},
            "spec": {
                "ratioMetric": {
                    "counter": True,
                    "good": _metric(counting.good, (*counting.without, *counting.bad)),
                    "total": _metric(counting.total, counting.without),
                }
            },
        },
        "timeWindow": [_window(objective.window)],
        "budgetingMethod": "Occurrences",
        "objectives": [{"targetPercent": float(percent_text(objective.target).rstrip("%"))}],
    }
    return _document("SLO", objective.id, annotations, spec)


def _metric(selectors: tuple[Selector, ...], without: tuple[Selector, ...]) -> dict[str, Any]:
    query = " + ".join(f"sum({selector})" for selector in selectors)
    query += "".join(f" - sum({selector})" for selector in without)
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}}}


def _window(window: Window) -> dict[str, Any]:
    if window.calendar is None:
        return {"duration": duration_text(window.seconds), "isRolling": True}
    start = {"startTime": _FIRST, "timeZone": window.timezone}
    return {"duration": _PERIODS[window.calendar], "calendar": start, "isRolling": False}
