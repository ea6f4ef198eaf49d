"""Dashboards against Grafana's own types, from grafana-foundation-sdk 0.0.21 (generated from Grafana's schemas).

Read into those types and written again, no key may be lost (unknown to Grafana) and no value changed (wrong type).
"""

import json
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from paths import OBJECTIVES
from plimsoll.dashboards.build import boards
from plimsoll.slo.spec.objectives import load

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it recommends version 2 of the schema, which Grafana 10 lacks
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

register_default_plugins()
RENDERED = boards(load(OBJECTIVES.read_text()))


@pytest.mark.parametrize("name", RENDERED)
def test_grafana_knows_every_key_and_takes_every_value(name: str) -> None:
    dashboard = json.loads(RENDERED[name])
    assert list(_losses(dashboard, _through_grafanas_types(dashboard))) == []


@pytest.mark.parametrize(
    ("where", "key"),
    [
        ((), "rows"),
        (("panels", 0), "span"),
        (("panels", 0, "options"), "fieldOptions"),
        (("panels", 0, "fieldConfig", "defaults"), "nullValue"),
        (("panels", 0, "targets", 0), "target"),
        (("templating", "list", 1), "useTags"),
    ],
)
def test_a_key_of_an_old_grafana_would_be_noticed(where: tuple[str | int, ...], key: str) -> None:
    dashboard = json.loads(RENDERED["oncall.json"])
    part = dashboard
    for step in where:
        part = part[step]
    part[key] = 1
    assert list(_losses(dashboard, _through_grafanas_types(dashboard)))


def _through_grafanas_types(dashboard: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))


def _losses(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Yield the paths at which `after` lacks or changes a value of `before`; keys that Grafana adds are ignored."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                yield from _losses(value, after[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from _losses(*pair, f"{path}[{index}]")
    elif before != after:
        yield path
