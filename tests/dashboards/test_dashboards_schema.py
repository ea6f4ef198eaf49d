"""Dashboards against Grafana's own types, from grafana-foundation-sdk 0.0.21 (generated from Grafana's schemas).

Read into those types and written again, no key may be lost (unknown to Grafana) and no value changed (wrong type).
"""

import json

import pytest

from grafana_types import losses
from paths import OBJECTIVES
from plimsoll.dashboards.build import boards
from plimsoll.slo.spec.objectives import load

RENDERED = boards(load(OBJECTIVES.read_text()))


@pytest.mark.parametrize("name", RENDERED)
def test_grafana_knows_every_key_and_takes_every_value(name: str) -> None:
    dashboard = json.loads(RENDERED[name])
    assert list(losses(dashboard)) == []


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
    assert list(losses(dashboard))
