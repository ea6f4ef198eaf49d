"""What is committed under generated/ is what the objectives give: stale, edited and orphan files are found."""

import subprocess
from pathlib import Path

import pytest
import yaml

from plimsoll.alerts.rules import Sites
from plimsoll.compose.commands.slos.build import FOLDERS, rendered, rendered_kubernetes
from plimsoll.compose.inputs import DEFAULT_OBJECTIVES, read_objectives
from process import PLIMSOLL, rejected


@pytest.mark.parametrize("part", sorted(FOLDERS))
def test_generated_files_on_disk_are_what_build_renders(part: str) -> None:
    folder = FOLDERS[part]
    on_disk = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert on_disk == rendered(read_objectives(None))[part], "run `make generate` and commit"


def test_build_writes_the_same_bytes_and_removes_orphans(tmp_path: Path) -> None:
    orphan = tmp_path / "alerts" / "old.rules.yml"
    orphan.parent.mkdir()
    orphan.write_text("groups: []")
    command = [*PLIMSOLL, "build", "--objectives", str(DEFAULT_OBJECTIVES), "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert not orphan.exists()
    for part, files in rendered(read_objectives(None)).items():
        assert {name: (tmp_path / part / name).read_text() for name in files} == files


def test_kubernetes_objects_are_written_beside_the_files_only_where_they_are_asked_for(tmp_path: Path) -> None:
    command = [*PLIMSOLL, "build", "--out", str(tmp_path), "--service-url", "https://slo.example"]
    subprocess.run([*command, "--kubernetes"], check=True, capture_output=True, timeout=60)
    for part, files in rendered_kubernetes(read_objectives(None), Sites(service="https://slo.example")).items():
        assert {name: (tmp_path / part / name).read_text() for name in files} == files
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert [path for path in tmp_path.rglob("kubernetes/*") if path.is_file()] == []


def test_kubernetes_objects_are_not_written_into_the_committed_folders() -> None:
    assert rejected(["build", "--kubernetes"]).startswith("plimsoll: --kubernetes: ")


def test_build_uses_the_given_receivers_and_link_urls(tmp_path: Path) -> None:
    where = (
        "--page-receiver",
        "slack",
        "--ticket-receiver",
        "https://chat.example/hook",
        "--secrets-dir",
        "/run/secrets",
    )
    sites = ("--grafana-url", "https://grafana.example/", "--service-url", "https://slo.example/")
    command = [*PLIMSOLL, "build", "--out", str(tmp_path), *where, *sites]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    routing = yaml.safe_load((tmp_path / "alerts" / "alertmanager.yml").read_text())
    receivers = {one["name"]: one for one in routing["receivers"]}
    assert receivers["page"]["slack_configs"][0]["api_url_file"] == "/run/secrets/slack-url"
    assert receivers["ticket"]["webhook_configs"][0]["url"] == "https://chat.example/hook"
    assert "https://grafana.example/d/" in (tmp_path / "alerts" / "health.rules.yml").read_text()
    assert "https://slo.example/" in (tmp_path / "dashboards" / "oncall.json").read_text()


def test_build_rejects_an_unknown_receiver(tmp_path: Path) -> None:
    command = [*PLIMSOLL, "build", "--out", str(tmp_path), "--page-receiver", "pager"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert answer.returncode == 2
    assert answer.stderr.startswith("plimsoll: receivers: ")
    assert answer.stderr.count("\n") == 1
    assert not (tmp_path / "alerts").exists()


def test_without_meta_alerts_prometheus_and_alertmanager_are_left_to_their_own_mixins(tmp_path: Path) -> None:
    command = [*PLIMSOLL, "build", "--out", str(tmp_path), "--no-meta-alerts"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    groups = yaml.safe_load((tmp_path / "alerts" / "health.rules.yml").read_text())["groups"]
    names = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert not {name for name in names if name.startswith(("Prometheus", "Alertmanager"))}
    assert {"Watchdog", "PlimsollServiceDown"} <= names
