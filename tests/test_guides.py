"""The commands of the installation guides, run as they are written: in order, in an empty folder, by the shell."""

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import kubernetes_validate
import pytest
import yaml

from engine_pages import LOAD, MODEL, fixed, server
from helm import HELM, KUBECTL
from paths import OBJECTIVES, ROOT
from plimsoll.compose.cli import build_parser, main
from process import Command
from stack import free_port

GUIDES = ROOT / "docs" / "how-to"


def blocks(page: str, language: str) -> list[str]:
    """Fenced blocks of a page, in order."""
    text = (GUIDES / page).read_text(encoding="utf-8")
    return [dedent(found[2]) for found in re.finditer(rf"^( *)```{language}\n(.*?)^\1```", text, re.M | re.S)]


def yaml_block(page: str, heading: str) -> Any:
    """The content of the block that begins with this comment."""
    (text,) = [one for one in blocks(page, "yaml") if one.startswith(heading)]
    return yaml.safe_load(text)


def shim(folder: Path, name: str, program: Path, call: str) -> None:
    """A command that makes of every call one that needs no cluster."""
    (folder / name).write_text(f'#!/bin/sh\nset -e\n{call}\nexec {program} "$@"\n')
    (folder / name).chmod(0o755)


@pytest.mark.skipif(not HELM.exists(), reason="Helm was not fetched: python tests/tools/helm.py (needs npm)")
def test_the_commands_for_kubernetes_work(tmp_path: Path) -> None:
    page, bin_, work = "deploy-kubernetes.md", tmp_path / "bin", tmp_path / "work"
    bin_.mkdir()
    work.mkdir()
    shim(bin_, "helm", HELM, 'test "$1 $2" = "upgrade --install"; shift 2; set -- install "$@" --dry-run=client')
    shim(bin_, "kubectl", KUBECTL, 'test "$1" = create; set -- "$@" --dry-run=client --output yaml')
    (work / "objectives.yaml").write_text(OBJECTIVES.read_text())
    (work / "database-password").write_text("not-a-password\n")
    (work / "pagerduty-routing-key").write_text("k" * 32)
    (values,) = [one for one in blocks(page, "yaml") if one.startswith("# values.yaml")]
    (work / "values.yaml").write_text(values)
    path = f"{bin_}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    outputs = []
    for block in blocks(page, "sh"):
        done = subprocess.run(
            ("sh", "-euc", block),
            cwd=work,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, f"{block}\n{done.stderr}"
        outputs.append(done.stdout)
    assert len(outputs) == 4
    secret = yaml.safe_load(outputs[1])
    assert set(secret["data"]) == {"exporter-token", "prometheus-token", "tokens", "database-password"}
    assert re.fullmatch(r"[0-9a-f]{64}", (work / "exporter-token").read_text())
    assert re.fullmatch(r"\S{20,}", (work / "prometheus-token").read_text())
    assert all(not (work / name).stat().st_mode & 0o077 for name in ("exporter-token", "prometheus-token", "tokens"))
    assert {"kind: PrometheusRule", "kind: AlertmanagerConfig", "kind: DaemonSet"} <= set(outputs[2].splitlines())
    assert "https://slo.example.com/" in outputs[2]
    assert yaml.safe_load(outputs[3])["metadata"]["name"] == "plimsoll-receivers"


@pytest.mark.slow
def test_the_commands_for_a_first_engine_work(tmp_path: Path) -> None:
    """Beside an exporter and an engine that answers with a recorded page. The stack itself is started by tests/compose/test_up.py."""
    text = (ROOT / "docs" / "tutorial" / "first-real-engine.md").read_text(encoding="utf-8")
    commands = [line.strip() for line in re.findall(r"^    (?:curl|eval|\.venv/bin/plimsoll (?!up)).*", text, re.M)]
    bin_, port = tmp_path / "bin", free_port()
    bin_.mkdir()
    shim(bin_, "vllm", Path("/bin/echo"), ":")
    (bin_ / "plimsoll").symlink_to(Path(sys.executable).with_name("plimsoll"))
    path = f"{bin_}{os.pathsep}{os.environ['PATH']}"
    outputs = []
    with server(fixed(LOAD)) as engine:
        arguments = ("export", "--no-gpu", "--engine", engine, "--listen", f"127.0.0.1:{port}")
        with Command(tmp_path / "exporter.log", *arguments, ready=f"http://127.0.0.1:{port}/-/healthy"):
            for written in commands:
                command = written.replace(".venv/bin/", "").replace("http://127.0.0.1:8000", engine)
                done = subprocess.run(
                    ("sh", "-euc", command.replace(":9800", f":{port}")),
                    cwd=tmp_path,
                    env={**os.environ, "PATH": path},
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=100,
                )
                assert done.returncode == 0, f"{written}\n{done.stdout}\n{done.stderr}"
                outputs.append(done.stdout)
    assert len(commands) == 5
    assert re.search(r"^llm_replica_up\{.*\} 1", outputs[0], re.M)
    assert MODEL in (tmp_path / "objectives.yaml").read_text()
    assert outputs[3].startswith("serve MODEL ")
    assert {one.name for one in (tmp_path / "generated").iterdir()} >= {"alerts", "dashboards"}


@pytest.mark.parametrize(("page", "unit"), [("install-exporter.md", "exporter"), ("deploy-service.md", "service")])
def test_the_commands_for_systemd_work(page: str, unit: str, tmp_path: Path) -> None:
    """In a root of its own, with Plimsoll as it is installed here in place of a new environment."""
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    venv = 'mkdir -p "$3/bin"; ln -s /bin/true "$3/bin/pip"; ln -s "$PLIMSOLL" "$3/bin/plimsoll"'
    shim(bin_, "python3", Path("/bin/true"), f'test "$1 $2" = "-m venv"; {venv}')
    shim(bin_, "systemctl", Path("/bin/echo"), ":")
    (tmp_path / "etc" / "systemd" / "system").mkdir(parents=True)
    (block,) = (one for one in blocks(page, "sh") if "systemctl" in one)
    block = re.sub(
        r"(?<=[ >])/(etc|opt)/", rf"{tmp_path}/\1/", re.sub(r"^/opt/", f"{tmp_path}/opt/", block, flags=re.M)
    )
    path = f"{bin_}{os.pathsep}{os.environ['PATH']}"
    variables = {"PATH": path, "PLIMSOLL": str(Path(sys.executable).with_name("plimsoll"))}
    command = ("sh", "-euc", block)
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **variables}, check=True, capture_output=True, timeout=100
    )
    assert done.stdout.decode().splitlines()[-1] == f"enable --now plimsoll-{unit}"
    etc = tmp_path / "etc"
    assert (etc / "systemd" / "system" / f"plimsoll-{unit}.service").stat().st_mode & 0o777 == 0o644
    # All that the unit names is there, and the secrets are root's alone.
    named = re.findall(
        r"^(?:LoadCredential=[\w-]+:|EnvironmentFile=-?)/(.*)",
        (ROOT / "compose" / "systemd" / f"plimsoll-{unit}.service").read_text(),
        re.M,
    )
    assert len(named) == 2
    assert [(tmp_path / one).is_file() for one in named] == [True, True]
    assert not any(one.stat().st_mode & 0o077 for one in (etc / "plimsoll" / "secrets").iterdir())


def test_the_commands_for_the_secrets_of_compose_work(tmp_path: Path) -> None:
    """As root in a container's image they end with the owner; here the rest is checked, and `plimsoll stack` accepts what they wrote."""
    block = blocks("deploy-compose.md", "sh")[0].replace("chown 65534:65534", "chown $(id -u):$(id -g)")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {"PATH": path, "PLIMSOLL_CONFIG": str(tmp_path / "config"), "PAGERDUTY_ROUTING_KEY": "k" * 32}
    subprocess.run(("sh", "-euc", block), env={**os.environ, **variables}, check=True, capture_output=True, timeout=100)
    (tmp_path / "config" / "objectives.yaml").write_text(OBJECTIVES.read_text())
    (tmp_path / "config" / "engines").write_text("http://10.0.0.5:8000\n")
    folders = (f"--config={tmp_path}/config", f"--secrets-dir={tmp_path}/config/secrets", f"--out={tmp_path}/out")
    assert main(["stack", *folders]) == 0
    assert re.fullmatch(r"\S{20,}\n", (tmp_path / "config" / "secrets" / "prometheus-token").read_text())


def test_the_exporter_beside_an_engine_is_a_valid_container() -> None:
    container = yaml_block("deploy-kubernetes.md", "# a second container")
    volumes = [{"name": "plimsoll-secrets", "secret": {"secretName": "plimsoll-secrets", "defaultMode": 0o440}}]
    spec = {"containers": [container], "volumes": volumes, "securityContext": {"fsGroup": 65534}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "engine"}, "spec": spec}
    kubernetes_validate.validate(pod, "1.37", strict=True)
    assert build_parser(["export"]).parse_args(container["args"]).no_gpu
