"""Normalizes grafanalib's output to the schema of Grafana 10.4 to 13.

grafanalib writes schema version 12 and keys of Angular panels, which newer versions migrate by guessing. The keys that
they read are listed here; all others are dropped, as is every null except the base of thresholds.
"""

import json
from collections.abc import Iterable
from typing import Any

SCHEMA_VERSION = 39  # what Grafana 10.4 exports; later versions migrate it exactly

_DASHBOARD = [
    "uid",
    "title",
    "description",
    "tags",
    "editable",
    "graphTooltip",
    "links",
    "panels",
    "refresh",
    "schemaVersion",
    "templating",
    "annotations",
    "time",
    "timepicker",
    "timezone",
    "version",
]
_PANEL = [
    "id",
    "type",
    "title",
    "description",
    "datasource",
    "gridPos",
    "targets",
    "fieldConfig",
    "options",
    "links",
    "transformations",
    "collapsed",
    "panels",
]
_ROW = ["id", "type", "title", "gridPos", "collapsed", "panels"]
_TARGET = ["refId", "expr", "legendFormat", "format", "instant", "range", "exemplar", "datasource"]
_VARIABLE = [
    "name",
    "label",
    "description",
    "type",
    "query",
    "datasource",
    "regex",
    "refresh",
    "sort",
    "multi",
    "includeAll",
    "allValue",
    "current",
    "options",
    "hide",
]


def normalize(dashboard: dict[str, Any]) -> dict[str, Any]:
    """Return grafanalib's dashboard, given as JSON data, in schema version 39."""
    result = _keep(dashboard, _DASHBOARD)
    result["schemaVersion"] = SCHEMA_VERSION
    result["timepicker"] = {"refresh_intervals": dashboard["timepicker"]["refresh_intervals"]}
    result["panels"] = [_panel(panel) for panel in dashboard["panels"]]
    result["templating"] = {"list": [_variable(one) for one in dashboard["templating"]["list"]]}
    pruned: dict[str, Any] = _prune(result)
    return pruned


def to_json(data: dict[str, Any]) -> str:
    """Return a dashboard as the text of its file."""
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _keep(data: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: data[key] for key in keys if key in data}


def _panel(panel: dict[str, Any]) -> dict[str, Any]:
    if panel["type"] == "row":
        return _keep(panel, _ROW)
    result = _keep(panel, _PANEL)
    result["targets"] = [_target(target) for target in panel["targets"]]
    return result


def _target(target: dict[str, Any]) -> dict[str, Any]:
    """Return a query as range or instant, never both; with exemplars where it reads buckets of scraped histograms."""
    instant = target["instant"]
    exemplars = (
        {"exemplar": True} if not instant and "(rate(" in target["expr"] and "_bucket{" in target["expr"] else {}
    )
    return _keep({**target, "range": not instant, **exemplars}, _TARGET)


def _variable(variable: dict[str, Any]) -> dict[str, Any]:
    result = _keep(variable, _VARIABLE)
    if variable["type"] == "datasource":
        return _keep(result, ("name", "label", "type", "query", "hide"))
    if variable["includeAll"]:
        result["current"] = {"text": ["All"], "value": ["$__all"]}
    return result


def _prune(value: Any) -> Any:
    """Drop nulls, except in the base of thresholds, where null means minus infinity."""
    if isinstance(value, list):
        return [_prune(item) for item in value]
    if isinstance(value, dict):
        base = "color" in value and "value" in value
        return {key: _prune(item) for key, item in value.items() if item is not None or (base and key == "value")}
    return value
