"""compose.yaml and what it mounts: whole, loopback only, secrets by file. `make containers` runs it."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from paths import ROOT
from plimsoll.compose.cli import build_parser
from plimsoll.compose.commands.local.stack import SECRETS
from stack import tool

FOLDER = ROOT / "compose"
STACK: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
CONFIG = "${PLIMSOLL_CONFIG:-/etc/plimsoll}"
DONE = {"condition": "service_completed_successfully"}


def test_every_part_of_the_design_is_there() -> None:
    assert set(SERVICES) >= {"exporter", "service", "prometheus", "alertmanager", "grafana", "postgres"}


def test_what_is_mounted_is_in_the_repository_or_is_the_users_own() -> None:
    sources = [volume.rpartition(":/")[0] for part in SERVICES.values() for volume in part.get("volumes", ())]
    mounted = [source for source in sources if source.startswith(".")]
    assert mounted and [source for source in mounted if not (FOLDER / source).exists()] == []
    own = {source.partition("}")[2] for source in sources if source.startswith("${")}
    # Prometheus sees its targets and not the secrets beside them.
    assert own == {"", "/targets"}
    assert [name for name, part in SERVICES.items() if f"{CONFIG}:/etc/plimsoll:ro" in part.get("volumes", ())] == [
        "prepare"
    ]


def test_everything_waits_for_the_preparation() -> None:
    waiting = {name for name, part in SERVICES.items() if part.get("depends_on", {}).get("prepare") == DONE}
    assert waiting == set(SERVICES) - {"prepare"}
    assert SERVICES["prepare"]["restart"] == "no"


def test_the_demo_runs_only_when_it_is_asked_for() -> None:
    assert [name for name, part in SERVICES.items() if "profiles" in part] == ["demo"]
    assert SERVICES["demo"]["profiles"] == ["demo"]
    assert words("prepare", COMPOSE_PROFILES="demo").count("--profiles=demo") == 1


def test_every_container_is_restricted() -> None:
    for name, part in SERVICES.items():
        assert part["mem_limit"], name
        assert part["security_opt"] == ["no-new-privileges:true"], name
        if name == "postgres":  # its entrypoint starts as root
            continue
        assert (part["read_only"], part["cap_drop"], part["user"].split(":")[0]) == (True, ["ALL"], "65534"), name
        assert part["pids_limit"], name


def test_every_server_has_a_health_check() -> None:
    assert {name for name, part in SERVICES.items() if "healthcheck" not in part} == {"prepare", "demo"}


def test_prometheus_has_a_token_that_can_only_read() -> None:
    assert set(SERVICES["prometheus"]["secrets"]) == {"exporter-token", "prometheus-token"}
    assert "prometheus-token" not in SERVICES["service"]["secrets"]  # it has the hash


def test_nothing_is_published_beyond_loopback() -> None:
    published = [port for part in SERVICES.values() for port in part.get("ports", ())]
    assert len(published) >= 5
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_secrets_come_from_files_outside_the_clone() -> None:
    for name, secret in STACK["secrets"].items():
        assert secret["file"] == f"{CONFIG}/secrets/{name}"
    used = {secret for part in SERVICES.values() for secret in part.get("secrets", ())}
    assert used == set(STACK["secrets"]) == set(SERVICES["prepare"]["secrets"])
    assert used == {*SECRETS, "pagerduty-routing-key"}


def words(service: str, **variables: str) -> list[str]:
    """Return the arguments with which a container starts `plimsoll`, as its shell splits them."""
    part = SERVICES[service]
    text = part["command"] if isinstance(part["command"], str) else part["command"][0].replace("$$", "$")
    text = text.rpartition("exec plimsoll")[2].replace("$(cat /stack/engines)", "--engine http://a:8000")
    environment = {
        name: re.sub(r"\$\{(\w+):-(.*)\}", lambda found: variables.get(found[1], found[2]), value)
        for name, value in part.get("environment", {}).items()
    }
    script = f'for word in {text}; do printf "%s\\n" "$word"; done'
    done = subprocess.run(("sh", "-c", script), env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_our_commands_are_spelled_as_the_command_line_reads_them() -> None:
    for name in ("prepare", "exporter", "demo", "service"):
        arguments = words(name)
        assert build_parser(arguments[:1]).parse_args(arguments).run
    arguments = words("prepare", PLIMSOLL_RECEIVERS="--page-receiver slack")
    assert build_parser(["stack"]).parse_args(arguments).page_receiver == ["slack"]


def test_a_gpu_node_adds_what_joins_gpus_with_engines() -> None:
    exporter = yaml.safe_load((FOLDER / "gpu.yaml").read_text())["services"]["exporter"]
    assert (exporter["user"], exporter["pid"]) == ("0:0", "host")
    assert "SYS_PTRACE" in exporter["cap_add"]
    flags = exporter["environment"]["GPU"].split()
    assert build_parser(["export"]).parse_args(["export", *flags]).no_gpu is False


@pytest.mark.prometheus
def test_prometheus_reads_its_configuration() -> None:
    found = tool("promtool", "check", "config", "--syntax-only", FOLDER / "prometheus.yml")
    assert found.returncode == 0, found.stderr
