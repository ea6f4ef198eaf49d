"""compose.yaml and what it mounts: whole, loopback only, secrets by file. (No container engine runs it here.)"""

import shlex
from typing import Any

import pytest
import yaml

from paths import ROOT
from plimsoll.compose.cli import build_parser
from stack import tool

FOLDER = ROOT / "compose"
STACK: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = STACK["services"]


def test_every_part_of_the_design_is_there() -> None:
    assert set(SERVICES) >= {"exporter", "service", "prometheus", "alertmanager", "grafana", "postgres"}


def test_every_mounted_file_is_in_the_repository() -> None:
    sources = [volume.split(":")[0] for part in SERVICES.values() for volume in part.get("volumes", ())]
    mounted = [source for source in sources if source.startswith(".")]
    assert len(mounted) >= 5
    assert [source for source in mounted if not (FOLDER / source).exists()] == []


def test_nothing_is_published_beyond_loopback() -> None:
    published = [port for part in SERVICES.values() for port in part.get("ports", ())]
    assert len(published) >= 5
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_secrets_come_from_files_that_are_not_in_the_repository() -> None:
    for secret in STACK["secrets"].values():
        assert secret["file"].startswith("secrets/")
        assert not (FOLDER / secret["file"]).exists()
    used = {s if isinstance(s, str) else s["source"] for part in SERVICES.values() for s in part.get("secrets", ())}
    assert used == set(STACK["secrets"])


def test_our_commands_are_spelled_as_the_command_line_reads_them() -> None:
    for name in ("exporter", "demo", "service"):
        command = SERVICES[name]["command"]
        text = command if isinstance(command, str) else command[0].partition("exec plimsoll")[2]
        arguments = [
            word.replace("${ENGINE:-", "").replace("${ENGINE_2:-", "").rstrip("}") for word in shlex.split(text)
        ]
        assert build_parser(arguments[:1]).parse_args(arguments).run


@pytest.mark.prometheus
def test_prometheus_reads_its_configuration() -> None:
    found = tool("promtool", "check", "config", "--syntax-only", FOLDER / "prometheus.yml")
    assert found.returncode == 0, found.stderr
