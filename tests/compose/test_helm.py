"""The Helm chart over many sets of values: valid against Kubernetes' and the operators' schemas, and it installs what the code renders.

Helm renders it; no cluster applies it.
"""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from helm import MODULES, custom_resource_errors, helm, rendered
from helm_objects import CHART, Objects, needs_helm, of_all_values, of_kind, only
from helm_values import VALUES
from plimsoll.alerts.build import render as render_alerts
from plimsoll.compose.cli import build_parser, main
from plimsoll.compose.commands.slos import chart as command
from plimsoll.compose.inputs import read_objectives
from plimsoll.dashboards.build import render as render_dashboards
from stack import tool

SPEC = read_objectives(None)
pytestmark = needs_helm


@pytest.fixture(scope="module")
def matrix() -> dict[str, Objects]:
    return of_all_values()


def test_there_are_at_least_twelve_sets_of_values() -> None:
    assert len(VALUES) >= 12


@pytest.mark.parametrize("name", VALUES)
def test_helm_finds_no_fault(name: str, tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(json.dumps(VALUES[name]))
    done = helm("lint", "--strict", "--values", tmp_path / "values.yaml", CHART)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("version", ["1.28", "1.37"])
def test_every_object_is_valid_against_kubernetes_schemas(version: str, matrix: dict[str, Objects]) -> None:
    for name, objects in matrix.items():
        own = [one for one in objects if one["apiVersion"] not in MODULES]
        assert own, name
        for one in own:
            kubernetes_validate.validate(one, version, strict=True)


def test_an_unknown_field_of_kubernetes_is_found(matrix: dict[str, Objects]) -> None:
    bad = only(matrix["default"], "DaemonSet") | {"replicas": 1}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(bad, "1.37", strict=True)


def test_every_custom_resource_is_valid_against_its_operators_schema(matrix: dict[str, Objects]) -> None:
    distinct = {json.dumps(one, sort_keys=True): one for objects in matrix.values() for one in objects}
    custom = [one for one in distinct.values() if one["apiVersion"] in MODULES]
    kinds = {one["kind"] for one in custom}
    assert kinds == {"AlertmanagerConfig", "PodMonitor", "PrometheusRule", "ScaledObject", "ServiceMonitor"}
    assert custom_resource_errors(custom) == []


def test_a_faulty_custom_resource_is_found(matrix: dict[str, Objects]) -> None:
    monitor = only(matrix["default"], "PodMonitor")
    spec = monitor["spec"]
    unknown = {**monitor, "spec": {**spec, "jobLabels": "a"}}
    broken = {**monitor, "spec": {**spec, "podMetricsEndpoints": [{"port": "metrics", "interval": "soon"}]}}
    assert any("jobLabels" in line for line in custom_resource_errors([unknown]))
    assert any("interval" in line for line in custom_resource_errors([broken]))


def test_names_are_unique_and_no_secret_is_made(matrix: dict[str, Objects]) -> None:
    for name, objects in matrix.items():
        named = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects]
        assert len(set(named)) == len(named), name
        assert of_kind(objects, "Secret") == []


def test_an_upgrade_with_the_same_values_changes_nothing(matrix: dict[str, Objects]) -> None:
    for name, values in VALUES.items():
        assert rendered(CHART, values, "--is-upgrade") == matrix[name], name


def test_a_release_fits_into_the_secret_that_helm_keeps_of_it() -> None:
    """Helm stores chart and objects, compressed and in base64, in one Secret: 1 MiB at most."""
    stored = json.dumps(
        {
            "files": {path.name: path.read_text() for path in (CHART / "files").glob("*/*.*")},
            "manifest": rendered(CHART, VALUES["everything"]),
        }
    )
    assert len(base64.b64encode(gzip.compress(stored.encode()))) < 0.5 * 2**20


def test_rules_and_dashboards_are_what_the_code_renders(matrix: dict[str, Objects]) -> None:
    alerts = render_alerts(SPEC)
    rules = of_kind(matrix["default"], "PrometheusRule")
    assert {f"{one['metadata']['name'].removeprefix('plimsoll-')}.rules.yml": one["spec"] for one in rules} == {
        name: yaml.safe_load(text) for name, text in alerts.items() if name.endswith(".rules.yml")
    }
    boards = [
        one for one in of_kind(matrix["default"], "ConfigMap") if "grafana_dashboard" in one["metadata"]["labels"]
    ]
    data = {name: text for one in boards for name, text in one["data"].items()}
    assert data == {name: text for name, text in render_dashboards(SPEC).items() if name.endswith(".json")}


def test_the_committed_chart_is_what_the_command_writes() -> None:
    arguments = build_parser(["chart"]).parse_args(["chart"])
    files = command.rendered(arguments)
    assert {name: (CHART / "files" / name).read_text() for name in files} == files, "run `make generate` and commit"


@pytest.mark.prometheus
def test_prometheus_accepts_the_rules(matrix: dict[str, Objects], tmp_path: Path) -> None:
    for one in of_kind(matrix["everything"], "PrometheusRule"):
        file = tmp_path / f"{one['metadata']['name']}.yml"
        file.write_text(yaml.safe_dump(one["spec"]))
        checked = tool("promtool", "check", "rules", file)
        assert checked.returncode == 0, checked.stderr


def as_alertmanager_reads_it(value: Any) -> Any:
    """An AlertmanagerConfig's spec as the operator writes it into Alertmanager's file, with secrets as files."""
    if isinstance(value, list):
        if value and all(isinstance(one, dict) and set(one) == {"name", "matchType", "value"} for one in value):
            return [f'{one["name"]}{one["matchType"]}"{one["value"]}"' for one in value]
        if value and all(isinstance(one, dict) and set(one) == {"key", "value"} for one in value):
            return {one["key"]: one["value"] for one in value}
        return [as_alertmanager_reads_it(one) for one in value]
    if not isinstance(value, dict):
        return value
    names = {"routingKey": "routing_key_file", "sourceMatch": "source_matchers", "targetMatch": "target_matchers"}
    names |= {"pagerDutyLinkConfigs": "links", "clientURL": "client_url", "alt": "text", "apiURL": "api_url_file"}
    names |= {"credentials": "credentials_file"}
    found = {}
    for key, one in value.items():
        is_secret = isinstance(one, dict) and set(one) == {"name", "key"}
        name = names.get(key) or re.sub("([A-Z])", lambda match: f"_{match[1].lower()}", key)
        found[name] = f"/etc/alertmanager/{one['key']}" if is_secret else as_alertmanager_reads_it(one)
    return found


@pytest.mark.prometheus
def test_the_operators_routing_is_that_of_the_file(matrix: dict[str, Objects], tmp_path: Path) -> None:
    routing = only(matrix["routing"], "AlertmanagerConfig")
    assert '"name": "paging"' in json.dumps(routing["spec"])
    assert "plimsoll-receivers" not in json.dumps(routing["spec"])
    assert routing["metadata"]["labels"]["team"] == "sre"
    read = as_alertmanager_reads_it(routing["spec"])
    file = tmp_path / "alertmanager.yml"
    file.write_text(yaml.safe_dump(read))
    checked = tool("amtool", "check-config", file)
    assert checked.returncode == 0, checked.stderr
    assert {"global": {"resolve_timeout": "5m"}, **read} == yaml.safe_load(render_alerts(SPEC)["alertmanager.yml"])
    labels = ("severity=page", "pool=chat-70b", "alertname=SLOBurnRate")
    assert tool("amtool", "config", "routes", "test", f"--config.file={file}", *labels).stdout.strip() == "page"


def test_other_receivers_are_routed_by_the_operator_too(tmp_path: Path) -> None:
    ways = ("--page-receiver", "slack", "--ticket-receiver", "https://chat.example/hook", "--webhook-token")
    assert main(["chart", "--out", str(tmp_path), *ways, "--watchdog-url", "https://dead.example/man"]) == 0
    values = {"monitoring": {"alertmanagerConfig": {"enabled": True}}}
    routing = only(rendered(tmp_path, values), "AlertmanagerConfig")
    receivers = {one["name"]: one for one in routing["spec"]["receivers"]}
    assert receivers["page"]["slackConfigs"][0]["apiURL"] == {"name": "plimsoll-receivers", "key": "slack-url"}
    token = receivers["ticket"]["webhookConfigs"][0]["httpConfig"]["authorization"]["credentials"]
    assert token == {"name": "plimsoll-receivers", "key": "webhook-token"}
    assert receivers["watchdog"]["webhookConfigs"][0]["sendResolved"] is False
    assert custom_resource_errors([routing]) == []


def test_kube_prometheus_stack_selects_what_it_reads(matrix: dict[str, Objects]) -> None:
    for kind, count in (("PrometheusRule", 3), ("PodMonitor", 1), ("ServiceMonitor", 1)):
        for name, release in (("default", "kube-prometheus-stack"), ("everything", "monitor")):
            found = of_kind(matrix[name], kind)
            assert [one["metadata"]["labels"]["release"] for one in found] == [release] * count


def test_no_data_source_is_installed_unless_asked_for_and_none_is_the_default(matrix: dict[str, Objects]) -> None:
    for name, objects in matrix.items():
        maps = [one for one in of_kind(objects, "ConfigMap") if "grafana_datasource" in one["metadata"]["labels"]]
        asked = VALUES[name].get("grafana", {}).get("dataSource", {}).get("enabled", False)
        assert len(maps) == asked
        for one in maps:
            (source,) = yaml.safe_load(one["data"]["plimsoll.yaml"])["datasources"]
            assert source["isDefault"] is False


def test_the_notes_state_what_is_left_to_do() -> None:
    flags = ("--dry-run=client", "--namespace", "monitoring", "--set", "exporter.discover=false")
    done = helm("install", "plimsoll", CHART, *flags)
    assert "No engine is named" in done.stdout
