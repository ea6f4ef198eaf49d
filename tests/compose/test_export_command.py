"""`plimsoll export` as its users meet it: a process, its page and its errors."""

import os
import re
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from export_process import EXPORT, exporting
from exporter_server import make_certificate
from fakenvml import FakeNvml
from stack import require, wait_for

pytestmark = pytest.mark.slow

TOKEN = "0123456789abcdef" * 2
DEAD_ENGINE = "http://127.0.0.1:9"  # the discard port: nobody listens
# What a GPU node does not have, the extras' packages, and what it does not need.
FOREIGN = {
    "apscheduler",
    "fastapi",
    "grafanalib",
    "httpx",
    "jinja2",
    "markdown_it",
    "numpy",
    "pandas",
    "plimsoll.alerts",
    "plimsoll.dashboards",
    "sqlalchemy",
}


def rejected(*arguments: str, env: dict[str, str] | None = None) -> str:
    """The one line with which the command refuses; its exit status is 2."""
    done = subprocess.run([*EXPORT, *arguments], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line


def test_gpus_and_a_dead_engine_share_a_page(tmp_path: Path) -> None:
    fake = FakeNvml(tmp_path)
    with exporting(tmp_path, "--engine", f"chat={DEAD_ENGINE}", env=fake.env) as exporter:
        values = exporter.values()
        assert values["gpu_power_watts", fake.uuid(3)] == 612.345
        assert values["llm_replica_up", "chat"] == 0
        assert values["plimsoll_collector_success", "engine:chat"] == 0
        assert values["plimsoll_collector_success", "nvml"] == 1
        exporter.values()
        assert exporter.said().count("engine:chat") == 1


def test_gpus_are_lost_wedged_and_found_again_while_it_runs(tmp_path: Path) -> None:
    fake = FakeNvml(tmp_path)
    with exporting(tmp_path, env=fake.env) as exporter:

        def up() -> list[float]:
            values = exporter.values(**{"X-Prometheus-Scrape-Timeout-Seconds": "4"})
            return [values["gpu_up", fake.uuid(index)] for index in range(8)]

        assert up() == [1] * 8
        fake.lose(5)
        fake.wedge(6)
        fake.set(0, power_mw=99_000)
        assert up() == [1, 1, 1, 1, 1, 0, 0, 1]
        assert exporter.values()["gpu_power_watts", fake.uuid(0)] == 99
        fake.restore(5)
        fake.restore(6)
        wait_for(lambda: up() == [1] * 8, "all GPUs to come back")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_also_with_a_wedged_gpu(tmp_path: Path, number: signal.Signals) -> None:
    fake = FakeNvml(tmp_path, 2)
    with exporting(tmp_path, env=fake.env) as exporter:
        fake.wedge(1)
        exporter.values(**{"X-Prometheus-Scrape-Timeout-Seconds": "1"})
        exporter.process.send_signal(number)
        assert exporter.process.wait(30) == 0
        assert "Traceback" not in exporter.log.read_text()


def test_a_node_without_nvml_says_so_once_and_goes_on(tmp_path: Path) -> None:
    broken = tmp_path / "libnvidia-ml.so.1"
    broken.write_text("not a library")
    with exporting(tmp_path, env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}) as exporter:
        for _ in range(2):
            assert exporter.values()["plimsoll_collector_success", "nvml"] == 0
        assert exporter.said().count("Install the NVIDIA driver, or start with --no-gpu") == 1


def test_without_gpus_it_leaves_nvml_alone(tmp_path: Path) -> None:
    with exporting(tmp_path, "--no-gpu", "--engine", DEAD_ENGINE) as exporter:
        assert ("plimsoll_collector_success", "nvml") not in exporter.values()


def test_a_token_in_the_environment_is_asked_for(tmp_path: Path) -> None:
    fake = FakeNvml(tmp_path, 1)
    with exporting(tmp_path, env=fake.env | {"PLIMSOLL_EXPORTER_TOKEN": TOKEN}) as exporter:
        assert exporter.get().status_code == 401
        assert exporter.get(authorization=f"Bearer {TOKEN}").status_code == 200
        assert TOKEN not in exporter.said()


def test_tls_by_a_certificate_and_its_key(tmp_path: Path) -> None:
    tls = make_certificate(tmp_path)
    trusted = ssl.create_default_context(cafile=tls.certificate)
    given = ("--tls-cert", str(tls.certificate), "--tls-key", str(tls.key))
    with exporting(tmp_path, "--no-gpu", "--engine", DEAD_ENGINE, *given) as exporter:
        assert exporter.url.startswith("https://127.0.0.1:")
        assert "llm_replica_up" in httpx.get(exporter.url, verify=trusted, trust_env=False, timeout=90).text
    assert "Set both." in rejected(*given[:2])
    assert "not usable" in rejected(*given[:3], str(tls.certificate))
    assert "No such file" in rejected(*given[:3], str(tmp_path / "absent"))


def test_bad_input_is_refused_in_one_line_with_the_fix(tmp_path: Path) -> None:
    wrong = tmp_path / "objectives.yaml"
    wrong.write_text("version: plimsoll/v2\npools: []\nobjectives: []\n")
    bare = {key: value for key, value in os.environ.items() if not key.startswith("PLIMSOLL_EXPORTER")}
    assert "version" in rejected("--objectives", str(wrong))
    assert "got '9800'" in rejected("--listen", "9800")
    assert "PLIMSOLL_EXPORTER_TOKEN" in rejected("--listen", "0.0.0.0:0", env=bare)
    assert "--engine" in rejected("--engine", "ftp://host")
    assert "--engine" in rejected("--engine", "a=http://h:1", "--engine", "a=http://h:2")
    assert "--no-gpu" in rejected("--no-gpu")


def test_a_taken_port_is_refused_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port}: Address already in use" in rejected("--listen", f"127.0.0.1:{port}")


def test_it_loads_only_what_a_gpu_node_has(tmp_path: Path) -> None:
    env = FakeNvml(tmp_path).env | {"PYTHONPROFILEIMPORTTIME": "1"}  # Python logs each import
    with exporting(tmp_path, "--engine", DEAD_ENGINE, env=env) as exporter:
        exporter.values()
        imports = re.findall(r"^import time:.*\| +((?:plimsoll\.)?\w+)", exporter.said(), re.MULTILINE)
    assert {"plimsoll.exporters", "uvicorn", "pynvml"} <= set(imports)
    assert not FOREIGN & set(imports)


@pytest.mark.prometheus
def test_promtool_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    with exporting(tmp_path, "--engine", DEAD_ENGINE, env=FakeNvml(tmp_path).env) as exporter:
        page = exporter.get().text
    checked = subprocess.run(
        [require("promtool"), "check", "metrics"], input=page, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
