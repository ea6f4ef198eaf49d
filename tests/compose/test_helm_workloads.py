"""The Helm chart's pods, services and autoscalers over many sets of values, and its command. Helm renders it; no cluster applies it."""

import json
from pathlib import Path
from typing import Any

import pytest

from helm import helm, rendered
from helm_objects import CHART, Objects, container, groups, needs_helm, of_all_values, of_kind, only, pods
from helm_values import POSTGRESQL, TARGET, VALUES
from paths import ROOT
from plimsoll.compose.cli import build_parser, main
from plimsoll.compose.inputs import read_objectives
from plimsoll.compose.outgoing.receivers import Outgoing, read_outgoing

SPEC = read_objectives(None)
pytestmark = needs_helm


@pytest.fixture(scope="module")
def matrix() -> dict[str, Objects]:
    return of_all_values()


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


def test_the_service_sends_to_the_receivers_of_the_values(
    matrix: dict[str, Objects], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As the command reads them, with the files of the secret in a folder of the test."""
    service = container(matrix["receivers"], "Deployment")
    secrets = "/run/secrets/plimsoll"
    arguments = [one.replace(secrets, str(tmp_path)) for one in service["args"]]
    for name in ("slack-url", "pagerduty-key", "webhook-token", "review-token", "smtp-password"):
        (tmp_path / name).write_text(
            {"slack-url": "https://hooks.example/x", "pagerduty-key": "k" * 32}.get(name, name)
        )
        (tmp_path / name).chmod(0o400)
    for one in service["env"]:
        if one["name"].startswith("PLIMSOLL_"):
            monkeypatch.setenv(one["name"], one["value"].replace(secrets, str(tmp_path)))
    found = read_outgoing(build_parser(["serve"]).parse_args(arguments))
    assert found == Outgoing(
        ("https://ops.example/plimsoll", "webhook-token"),
        ("k" * 32, "https://events.eu.pagerduty.com/v2/change/enqueue"),
        "https://slo.example.com",
        ["capacity@ops.example"],
        "slo@ops.example",
        ("mail.example", 587),
        "starttls",
        ("plimsoll", "smtp-password"),
        "https://hooks.example/x",
        [("https://ops.example/reviews", "review-token")],
    )
    for one in ("default", "login by token"):
        assert [name for name in container(matrix[one], "Deployment")["env"] if name["name"] != "HOME"] == []
    assert "--service-url=https://slo.example.com" in container(matrix["login by token"], "Deployment")["args"]


@pytest.mark.parametrize(
    "review",
    [
        {"receivers": ["email:a@b.example"], "emailFrom": "c@b.example"},
        {"receivers": ["email:a@b.example"], "smtp": {"relay": "mail:25"}},
        {"receivers": ["teams"]},
    ],
)
def test_a_receiver_that_the_service_would_reject_is_rejected_before(review: dict[str, Any]) -> None:
    values = json.dumps({"service": {"review": review}})
    done = helm("template", "plimsoll", CHART, "--values", "-", stdin=values)
    assert done.returncode != 0
    assert "review" in done.stderr


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
    assert "fallback" not in scaled["spec"]
    assert scaled["spec"]["triggers"][0]["metadata"]["ignoreNullValues"] == "false"
    hpa = only(matrix["HPA"], "HorizontalPodAutoscaler")
    assert (hpa["spec"]["minReplicas"], hpa["spec"]["maxReplicas"]) == (2, 8)
    objectives = tmp_path / "objectives.yaml"
    objectives.write_text((ROOT / "slo" / "objectives.yaml").read_text().replace("replicas: 1", "replicas: 4"))
    assert main(["chart", "--objectives", str(objectives), "--out", str(tmp_path / "chart")]) == 0
    four = only(rendered(tmp_path / "chart", VALUES["KEDA"]), "ScaledObject")["spec"]
    assert (four["minReplicaCount"], four["maxReplicaCount"]) == (8, 32)
    assert four["triggers"][0]["metadata"]["query"] == 'max(plimsoll_recommended_nodes{pool="chat-70b"}) * 4'
    down = four["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["policies"] == [{"type": "Pods", "value": 4, "periodSeconds": 300}]


def test_a_scale_in_waits_as_long_as_the_pool_and_takes_one_node(matrix: dict[str, Objects]) -> None:
    keda = only(matrix["KEDA"], "ScaledObject")["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert keda == only(matrix["HPA"], "HorizontalPodAutoscaler")["spec"]["behavior"]
    assert keda["scaleDown"] == {
        "stabilizationWindowSeconds": 300,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}],
    }


def test_any_target_with_a_scale_subresource_can_be_scaled(matrix: dict[str, Objects]) -> None:
    targets = {
        name: only(matrix[name], "ScaledObject")["spec"]["scaleTargetRef"] for name in ("LeaderWorkerSet", "Dynamo")
    }
    assert targets["LeaderWorkerSet"]["apiVersion"] == "leaderworkerset.x-k8s.io/v1"
    assert targets["Dynamo"]["kind"] == "DynamoGraphDeploymentScalingAdapter"
    budget = only(matrix["LeaderWorkerSet"], "PodDisruptionBudget")
    assert (budget["metadata"]["namespace"], budget["spec"]["maxUnavailable"]) == ("serving", 1)
    assert budget["spec"]["selector"]["matchLabels"] == {"leaderworkerset.sigs.k8s.io/name": "chat-70b"}
    assert of_kind(matrix["Dynamo"], "PodDisruptionBudget") == []


def test_a_pool_that_scales_to_zero_needs_keda_and_survives_a_short_outage(tmp_path: Path) -> None:
    objectives = tmp_path / "objectives.yaml"
    objectives.write_text((ROOT / "slo" / "objectives.yaml").read_text().replace("min: 2", "min: 0"))
    assert main(["chart", "--objectives", str(objectives), "--out", str(tmp_path / "chart")]) == 0
    scaled = only(rendered(tmp_path / "chart", VALUES["KEDA"]), "ScaledObject")["spec"]
    assert (scaled["minReplicaCount"], scaled["cooldownPeriod"]) == (0, 3600)
    done = helm("template", "a", tmp_path / "chart", "--values", "-", stdin=json.dumps(VALUES["HPA"]))
    assert "can't scale pool" in done.stderr


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
