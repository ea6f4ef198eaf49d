"""The generated files as a whole: valid for the real tools, reading only metrics that exist, and linked to runbooks that exist."""

import re
import subprocess
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from msgspec import structs

from each_case import each_case
from paths import ROOT
from plimsoll.alerts.build import render, render_kubernetes
from plimsoll.alerts.rules import Sites
from plimsoll.alerts.self_monitoring import FOREIGN
from plimsoll.slo import links, metrics
from plimsoll.slo.metrics import recorded as series
from plimsoll.slo.spec.objectives import load
from stack import versions

SPEC = load((ROOT / "slo" / "objectives.yaml").read_text())
FILES = render(SPEC)
RULE_FILES = ("objectives.rules.yml", "health.rules.yml", "fleet.rules.yml")
GROUPS = [group for name in RULE_FILES for group in yaml.safe_load(FILES[name])["groups"]]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Likely causes", "Mitigation", "Escalation"]
RUNBOOK_TEXT = (ROOT / "alerts" / "runbooks.md").read_text()
# Alerts are the level-3 headings of one word; those of incident signatures have several.
RUNBOOKS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^#|\Z)", RUNBOOK_TEXT, re.M | re.S))
SAMPLES = {
    name
    for metric in metrics.ALL
    for name in ([metric.bucket, metric.count, metric.sum] if metric.kind == "histogram" else [metric.name])
}


def selectors(expr: str) -> list[Any]:
    """Every vector selector of a query."""
    found: list[Any] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(expr), visit)
    return found


@pytest.mark.prometheus
def test_prometheus_accepts_every_rule_without_a_lint(tmp_path: Path) -> None:
    for name in RULE_FILES:
        (tmp_path / name).write_text(FILES[name])
        for promtool in versions("promtool"):
            command = [promtool, "check", "rules", "--lint-fatal", str(tmp_path / name)]
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
            assert answer.returncode == 0, answer.stdout + answer.stderr


@each_case((str(rule.get("alert") or rule["record"]), rule) for rule in RULES)
def test_a_rule_reads_only_what_the_catalogue_has_or_another_rule_records(rule: dict[str, Any]) -> None:
    recorded = {other["record"] for other in RULES if "record" in other}
    for selector in selectors(rule["expr"]):
        assert selector.name in SAMPLES | recorded | FOREIGN | {"ALERTS", "ALERTS_FOR_STATE"}
        if selector.name in recorded and selector.name.startswith("objective:"):
            # by objective id alone: neither a second objective nor an edited label mixes in; a series of all SLOs reads all
            one_slo = ["objective"] if "objective" in rule["labels"] else []
            assert [matcher.name for matcher in selector.matchers.matchers] == one_slo


def test_the_recorded_series_are_those_that_others_read_by_name() -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    assert {series.GOOD_RATE, series.TOTAL_RATE, series.TARGET} < recorded
    assert {series.burn_rate(300), series.burn_rate(3600), series.burn_rate(3 * 86400)} < recorded
    assert {series.bad_requests(3600), series.bad_requests(86400)} < recorded


@each_case((str(rule["alert"]), rule) for rule in ALERTS)
def test_an_alert_has_severity_source_texts_and_links(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket", "info")
    assert rule["labels"]["source"] == "plimsoll"
    annotations = rule["annotations"]
    assert "$value" not in annotations["summary"], "a summary that changes is a new message at each evaluation"
    shown = re.sub(r"\{\{.*?\}\}", "a name or number", annotations["summary"])
    assert 0 < len(shown) <= 80, "a phone shows two lines"
    assert shown.endswith(".")
    assert annotations["description"].removesuffix("{{ end }}").endswith(".")
    assert annotations["runbook_url"].startswith(links.runbook_url(rule["alert"]))
    assert annotations["dashboard_url"].startswith(f"{links.GRAFANA_URL}/d/")
    assert annotations["slo_url"].startswith(links.SERVICE_URL)


def test_burn_alerts_are_known_by_objective_tier_and_severity_alone() -> None:
    """Labels are an alert's identity: a changed target or window must not orphan an open incident."""
    burns = [rule for rule in ALERTS if rule["alert"] == "SLOErrorBudgetBurn"]
    known = ("objective", "pool", "severity", "source", "tier")
    assert {tuple(sorted({*rule["labels"]} - {"impact"})) for rule in burns} == {known}
    assert len(burns) == 4 * len(SPEC.objectives)


def test_links_begin_with_the_sites_that_are_given() -> None:
    files = render(SPEC, Sites(service="https://slo.example", grafana="https://grafana.example"))
    assert not any(base in text for text in files.values() for base in (links.SERVICE_URL, links.GRAFANA_URL))
    assert "https://slo.example/runbooks/SLOErrorBudgetBurn?pool=chat-70b&model=" in files["objectives.rules.yml"]


def test_the_same_objectives_give_the_same_bytes() -> None:
    assert render(SPEC) == FILES


def test_kubernetes_gets_the_same_groups() -> None:
    wrapped = [yaml.safe_load(text) for text in render_kubernetes(SPEC, Sites()).values()]
    assert [group for document in wrapped for group in document["spec"]["groups"]] == GROUPS
    assert {(one["apiVersion"], one["kind"]) for one in wrapped} == {("monitoring.coreos.com/v1", "PrometheusRule")}
    assert len({one["metadata"]["name"] for one in wrapped}) == len(wrapped) == 3


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert set(RUNBOOKS) == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("alert", sorted(RUNBOOKS))
def test_a_runbook_has_every_section_in_order(alert: str) -> None:
    assert re.findall(r"^\*\*(.+?)\.\*\*", RUNBOOKS[alert], re.M) == SECTIONS


def test_runbooks_are_grouped_by_what_their_alerts_are_about() -> None:
    groups = re.findall(r"^## (.+)$", RUNBOOK_TEXT, re.M)
    assert groups == ["Incident signatures", "SLO", "LLM", "GPU", "Plimsoll", "Prometheus", "Commands"]
    assert all(re.fullmatch(r"[\w ]+", heading) for heading in re.findall(r"^#+ (.+)$", RUNBOOK_TEXT, re.M))


def test_an_inhibition_or_route_names_only_alerts_that_exist() -> None:
    config = yaml.safe_load(FILES["alertmanager.yml"])
    rules = [*config["inhibit_rules"], *config["route"]["routes"]]
    keys = ("source_matchers", "target_matchers", "matchers")
    matchers = [one for rule in rules for key in keys for one in rule.get(key, ())]
    patterns = {name for one in matchers if one.startswith("alertname") for name in one.split('"')[1].split("|")}
    assert len(patterns) > 10
    names = {rule["alert"] for rule in ALERTS}
    assert not {one for one in patterns if not any(re.fullmatch(one, name) for name in names)}


def test_runbooks_query_only_metrics_that_exist() -> None:
    known = SAMPLES | {metric.name for metric in metrics.ALL}
    assert {name for name in re.findall(r"\b(?:llm|gpu|plimsoll)_\w+", RUNBOOK_TEXT)} <= known
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    assert set(re.findall(r"\bobjective:\w+:\w+", RUNBOOK_TEXT)) <= recorded


def test_alerts_on_a_budget_name_its_slos_policy() -> None:
    first, *others = SPEC.objectives
    spec = structs.replace(SPEC, objectives=(structs.replace(first, policy="Freeze releases."), *others))
    rules = [
        rule
        for text in render(spec).values()
        for group in yaml.safe_load(text).get("groups", ())
        for rule in group["rules"]
    ]
    burning = [rule for rule in rules if rule.get("alert") == "SLOErrorBudgetBurn"]
    stated = {rule["labels"]["objective"] for rule in burning if "Policy: Freeze releases." in str(rule["annotations"])}
    assert stated == {first.id}
    [exhausted] = [rule for rule in rules if rule.get("alert") == "SLOErrorBudgetExhausted"]
    assert f'eq $labels.objective "{first.id}" }}}} Policy: Freeze releases.' in exhausted["annotations"]["description"]
