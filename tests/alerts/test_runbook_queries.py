"""Every query of an alert's runbook returns series in the incident that the alert is for, with the labels that the alert fills in.

The incident is the case in which the alert fires (`health_cases.Case`, `fixtures/rules/health.yml`), beside the other metrics of a
fleet at rest. promtool runs it with the recorded series that the queries read.
"""

import json
import re
from collections.abc import Iterator
from html import unescape
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from alert_cases import Incident, incidents
from health_cases import MODEL, OBJECTIVES, POOL, Given, given
from paths import ROOT
from plimsoll.alerts.build import render
from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric
from plimsoll.slo.service.pages.runbooks import COMMANDS, render_runbook
from plimsoll.slo.spec.objectives import load
from promtool import Batch, case, run_batches

TEXT = (ROOT / "alerts" / "runbooks.md").read_text()
FILES = render(load((ROOT / "slo" / "objectives.yaml").read_text()))
LONGEST = 1920  # samples: the eight hours of the longest case
GRAFANA = "https://grafana.example"
# Labels of the fleet at rest; a label with several values has a series for each.
VALUES = {
    "instance": ("node-a:9800",),
    "replica": ("r1", "r2"),
    "model": (MODEL,),
    "engine": ("vllm",),
    "rank": ("0",),
    "uuid": ("GPU-1", "GPU-2"),
    "pool": (POOL,),
    "objective": OBJECTIVES,
    "reason": ("stop", "error"),
    "stage": ("queued",),
    "domain": ("sm",),
    "error": ("uncorrected",),
    "le": ("0.04", "0.25", "0.5", "0.6", "1.0", "4.0", "+Inf"),
}


def queries(one: Incident) -> list[str]:
    """The queries of an incident's runbook, as its page links to them."""
    page = render_runbook(TEXT, one.alert, one.labels, "http://127.0.0.1:8080", GRAFANA)
    assert page is not None, one.alert
    links = re.findall(rf'href="({re.escape(GRAFANA)}/explore\?[^"]+)"', page)
    panes = [json.loads(parse_qs(urlsplit(unescape(link)).query)["panes"][0]) for link in links]
    return [pane["a"]["queries"][0]["expr"] for pane in panes]


def _rules() -> list[dict[str, Any]]:
    groups = [group for text in FILES.values() for group in yaml.safe_load(text).get("groups", ())]
    return [rule for group in groups for rule in group["rules"] if "record" in rule]


RULES = _rules()


def needed(texts: str) -> list[dict[str, Any]]:
    """The recording rules that queries read, and those that these read."""
    found: list[dict[str, Any]] = []
    while more := [
        one for one in RULES if one not in found and re.search(rf"(?<![\w:]){one['record']}(?![\w:])", texts)
    ]:
        found += more
        texts += "".join(one["expr"] for one in more)
    return [one for one in RULES if one in found]


def at_rest(names: str) -> Iterator[Given]:
    """A series of each metric of ours that a text names, for every combination of labels."""
    every = [one for one in vars(metrics).values() if isinstance(one, Metric)]
    for metric in every:
        parts = [metric.bucket, metric.count, metric.sum] if metric.kind == "histogram" else [metric.name]
        for part in parts:
            if re.search(rf"\b{part}\b", names):
                labels = {"instance", *metric.labels} | ({"le"} if part == metric.bucket else set())
                known = sorted(labels)
                only = {"replica": ("r1",)} if {"replica", "uuid"} <= labels else {}  # a replica's GPUs are its own
                for values in product(*((VALUES | only).get(label, (label,)) for label in known)):
                    own = dict(zip(known, values, strict=True))
                    yield given(part, _samples(metric, part, own), **own)


def _samples(metric: Metric, part: str, labels: dict[str, str]) -> str:
    if metric.kind != "gauge":
        return f"0+{VALUES['le'].index(labels.get('le', '+Inf')) + 1}x{LONGEST}"
    usual = {"info": 1, "up": 1, "success": 1, "awake": 1, "ratio": 0.6, "hertz": 1.5e9}
    return f"{usual.get(part.rpartition('_')[2], 0):g}x{LONGEST}"


def checked(one: Incident) -> Batch:
    """Check that every query of an incident's runbook has a result."""
    asked = queries(one)
    own = {re.split("[{ ]", item["series"])[0] for item in one.series}
    rules = [rule for rule in needed(" ".join(asked)) if rule["record"] not in own]
    rest = at_rest(" ".join([*asked, *(rule["expr"] for rule in rules)]))
    series = [*one.series, *(item for item in rest if item["series"].partition("{")[0] not in own)]
    checks = [
        {"expr": f"count({query}) > bool 0", "eval_time": one.at, "exp_samples": [{"labels": "{}", "value": 1}]}
        for query in asked
    ]
    test = case(one.alert, series, *checks) | {"interval": one.interval}
    return Batch(yaml.safe_dump({"groups": [{"name": "read", "rules": rules}]}, width=10_000), [test])


def test_every_alert_has_an_incident_that_fills_in_all_of_its_queries() -> None:
    groups = [group for text in FILES.values() for group in yaml.safe_load(text).get("groups", ())]
    filled: dict[str, int] = {}
    for one in incidents():
        filled[one.alert] = max(filled.get(one.alert, 0), len(queries(one)))
    assert filled == {
        rule["alert"]: len(lines(rule["alert"])) for group in groups for rule in group["rules"] if "alert" in rule
    }


def lines(alert: str) -> list[str]:
    """The queries of an alert's runbook as they are written."""
    text = re.split(r"^##+ ", TEXT.partition(f"### {alert}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    code = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    return [line for line in code if not line.startswith(COMMANDS)]


@pytest.mark.prometheus
def test_every_query_of_a_runbook_returns_series_in_its_incident(tmp_path: Path) -> None:
    run_batches(tmp_path, [checked(one) for one in incidents() if queries(one)])
