"""Every alert of health.rules.yml fires with its texts just above its threshold, is silent just below, and follows the objectives."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from alert_cases import CASES, WRITTEN
from health_cases import Case, runbook
from paths import ROOT
from plimsoll.alerts.build import render
from plimsoll.alerts.rules import SOURCE
from plimsoll.slo import links
from plimsoll.slo.metrics import REQUESTS_WAITING
from plimsoll.slo.metrics.recorded import ARRIVALS, LAST_EXPORTER, LAST_INFO, USUAL_ARRIVALS
from plimsoll.slo.spec.objectives import load
from promtool import Batch, case, counter, fires, only, run_batches, run_cases, series, silent

READ = {LAST_INFO, LAST_EXPORTER, ARRIVALS, USUAL_ARRIVALS}  # recorded series that alerts read
RULES = render(load((ROOT / "slo" / "objectives.yaml").read_text()))["health.rules.yml"]
TWO_REPLICAS_A_NODE = load("""
version: plimsoll/v1
pools:
  - name: chat
    model: m
    node: {gpu: H100-80GB, gpus: 2, replicas: 2}
    nodes: {min: 1, max: 2}
    timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}
    max_waiting_per_node: 7
  - name: draft
    model: d
    node: {gpu: L4, gpus: 1}
    nodes: {min: 1, max: 2}
    timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}
objectives: []
""")


@pytest.mark.prometheus
def test_the_written_tests_pass_on_the_committed_rules(tmp_path: Path) -> None:
    """Each with the rules of the alerts that it names."""
    batches: dict[frozenset[str], list[dict[str, Any]]] = {}
    for test in yaml.safe_load(WRITTEN.read_text())["tests"]:
        named = {check["alertname"] for check in test.get("alert_rule_test", ())}
        queried = " ".join(check["expr"] for check in test.get("promql_expr_test", ()))
        names = frozenset(named | set(re.findall(r'alertname="(\w+)"', queried)))
        assert names, f"{test['name']}: names no alert"
        batches.setdefault(names, []).append(test)
    run_batches(tmp_path, [Batch(only(RULES, names | READ), tests, "15s") for names, tests in batches.items()])


@pytest.mark.prometheus
def test_each_alert_fires_with_its_texts_just_above_its_threshold_and_is_silent_just_below(tmp_path: Path) -> None:
    batches = []
    for one in CASES:
        check = {"eval_time": one.at, "alertname": one.alert}
        expected = {
            "over": [{"exp_labels": one.labels | SOURCE, "exp_annotations": annotations(one)}],
            "under": [],
            "nothing": [],
        }
        given = {"over": one.over, "under": one.under, "nothing": []}
        cases = [
            case(f"{one.alert} {name}", given[name])
            | {"interval": "15s", "alert_rule_test": [{**check, "exp_alerts": alerts}]}
            for name, alerts in expected.items()
        ]
        batches.append(Batch(only(RULES, {one.alert} | READ).replace("interval: 15s", "interval: 1m"), cases))
    run_batches(tmp_path, batches)


def annotations(one: Case) -> dict[str, str]:
    """Return a case's annotations, links included."""
    pool = one.labels.get("pool")
    return {
        "summary": one.summary,
        "description": one.description,
        "runbook_url": runbook(one.alert, one.labels),
        "dashboard_url": links.panel_url(one.panel, **one.url),
        "slo_url": f"{links.SERVICE_URL}{one.path or (links.pool_page(pool, '') if pool else '/')}",
    }


def test_every_alert_has_a_case_that_fires_and_one_that_is_silent() -> None:
    """Per alert, severity, and whether it names a pool. Only the watchdog is never silent."""
    rules = [rule for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"] if "alert" in rule]
    checks = [
        check for test in yaml.safe_load(WRITTEN.read_text())["tests"] for check in test.get("alert_rule_test", ())
    ]
    fired = {(check["alertname"], *_kind(alert["exp_labels"])) for check in checks for alert in check["exp_alerts"]}
    fired |= {(one.alert, *_kind(one.labels)) for one in CASES}
    # A rule for the SLOs of all pools has the pool from its series.
    each = {"pool": ""}
    labels = [rule["labels"] | (each if "by (objective, pool)" in rule["expr"] else {}) for rule in rules]
    assert fired == {(rule["alert"], *_kind(own)) for rule, own in zip(rules, labels, strict=True)}
    quiet = {check["alertname"] for check in checks if not check["exp_alerts"]} | {one.alert for one in CASES}
    assert quiet == {rule["alert"] for rule in rules} - {"Watchdog"}


def _kind(labels: dict[str, Any]) -> tuple[str, bool]:
    return labels["severity"], "pool" in labels


@pytest.mark.prometheus
def test_the_queue_is_counted_per_node_of_each_pool(tmp_path: Path) -> None:
    def waiting(model: str, replica: str, requests: int) -> dict[str, str]:
        labels = {"instance": f"{replica}:9800", "replica": replica, "model": model, "engine": "vllm", "rank": "0"}
        return {"series": series(REQUESTS_WAITING.name, labels), "values": counter((10, 0), start=requests)}

    def queue(**labels: str) -> dict[str, str]:
        return {"alertname": "LLMQueueDepthHigh", "severity": "ticket"} | labels

    cases = [
        case("7 on a node of two", [waiting("m", "r1", 3), waiting("m", "r2", 4)], silent(8, **queue())),
        case("8 on a node of two", [waiting("m", "r1", 4), waiting("m", "r2", 4)], fires(8, **queue(pool="chat"))),
        case("the other pool's own limit", [waiting("d", "r3", 20)], silent(8, **queue())),
        case("above it", [waiting("d", "r3", 21)], fires(8, **queue(pool="draft")), silent(8, **queue(pool="chat"))),
    ]
    run_cases(tmp_path, only(render(TWO_REPLICAS_A_NODE)["health.rules.yml"], {"LLMQueueDepthHigh"}), cases)
