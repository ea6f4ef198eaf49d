"""Health alerts: the written promtool tests pass, leave none out, and follow the objectives file."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.build import render
from health_cases import CASES, GPUS, POOLS, WATCHERS, Case
from promtool import case, counter, fires, run_cases, series, silent
from slo import links
from slo.catalogue import REQUESTS_WAITING
from slo.spec import load
from stack import promtool_test, versions

ROOT = Path(__file__).parents[1]
WRITTEN = ROOT / "tests" / "rules" / "health.yml"
RULES = render(load((ROOT / "slo" / "objectives.yaml").read_text()))["health.rules.yml"]
TWO_REPLICAS_A_NODE = load("""
version: plimsoll/v1
pools:
  - name: chat
    model: m
    node: {gpu: H100-80GB, gpus: 2, replicas: 2}
    nodes: {min: 1, max: 2}
    timing: {cold_start: 150s, warm_start: 5s, scale_in_hold: 300s}
    queue_per_node: 7
  - name: draft
    model: d
    node: {gpu: L4, gpus: 1}
    nodes: {min: 1, max: 2}
    timing: {cold_start: 150s, warm_start: 5s, scale_in_hold: 300s}
objectives: []
""")


@pytest.mark.prometheus
def test_the_written_tests_pass_on_the_committed_rules(tmp_path: Path) -> None:
    """On those that the file is about: promtool evaluates every rule in every test."""
    written = yaml.safe_load(WRITTEN.read_text())
    names = {check["alertname"] for test in written["tests"] for check in test.get("alert_rule_test", ())}
    groups = [group | {"rules": _named(group, names)} for group in yaml.safe_load(RULES)["groups"]]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": groups}, width=10_000))
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(written | {"rule_files": ["rules.yml"]}, width=10_000))
    promtool_test(tmp_path / "tests.yml", versions("promtool"))


def _named(group: dict[str, Any], names: set[str]) -> list[dict[str, Any]]:
    return [rule for rule in group["rules"] if rule["alert"] in names]


@pytest.mark.prometheus
@pytest.mark.parametrize(("group", "given"), [("health", POOLS), ("gpu", GPUS), ("watching", WATCHERS)])
def test_each_alert_fires_with_its_text_just_over_its_limit_and_is_silent_just_under(
    group: str, given: list[Case], tmp_path: Path
) -> None:
    names = {one.alert for one in given}
    [found] = [one for one in yaml.safe_load(RULES)["groups"] if one["name"] == group]
    rules = {"groups": [found | {"interval": "1m", "rules": _named(found, names)}]}
    cases = []
    for one in given:
        check = {"eval_time": one.at, "alertname": one.alert}
        fired = {"exp_labels": one.labels, "exp_annotations": annotations(one)}
        for name, series_given, expected in (
            ("over", one.over, [fired]),
            ("under", one.under, []),
            ("nothing", [], []),
        ):
            test = case(f"{one.alert} {name}", series_given) | {"interval": "15s"}
            cases.append(test | {"alert_rule_test": [{**check, "exp_alerts": expected}]})
    run_cases(tmp_path, yaml.safe_dump(rules, width=10_000), cases)


def annotations(one: Case) -> dict[str, str]:
    """What an alert of a case says, links included."""
    pool = one.labels.get("pool")
    return {
        "summary": one.summary,
        "description": one.description,
        "runbook_url": links.runbook_url(one.alert),
        "dashboard_url": links.panel_url(one.panel, **one.url),
        "slo_url": links.recommendation_url(pool) if pool else f"{links.SERVICE_URL}/api/v1/pools",
    }


def test_every_alert_is_seen_firing_with_its_text_and_silent() -> None:
    """Per alert, severity and whether it names a pool. The watchdog alone is never silent."""
    rules = [rule for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"]]
    checks = [
        check for test in yaml.safe_load(WRITTEN.read_text())["tests"] for check in test.get("alert_rule_test", ())
    ]
    fired = {(check["alertname"], *_kind(alert["exp_labels"])) for check in checks for alert in check["exp_alerts"]}
    fired |= {(one.alert, *_kind(one.labels)) for one in CASES}
    assert fired == {(rule["alert"], *_kind(rule["labels"])) for rule in rules}
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
        return {"alertname": "QueueTooLong", "severity": "page"} | labels

    cases = [
        case("7 on a node of two", [waiting("m", "r1", 3), waiting("m", "r2", 4)], silent(8, **queue())),
        case("8 on a node of two", [waiting("m", "r1", 4), waiting("m", "r2", 4)], fires(8, **queue(pool="chat"))),
        case("the other pool's own limit", [waiting("d", "r3", 20)], silent(8, **queue())),
        case("above it", [waiting("d", "r3", 21)], fires(8, **queue(pool="draft")), silent(8, **queue(pool="chat"))),
    ]
    run_cases(tmp_path, render(TWO_REPLICAS_A_NODE)["health.rules.yml"], cases)
