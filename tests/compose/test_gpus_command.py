"""`plimsoll gpus` beside a running exporter: forget, pause and resume, and the health pages."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from export_process import Exporter, exporting
from fakenvml import FakeNvml
from kernel_log import FakeKernelLog
from plimsoll.slo import metrics as c
from stack import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def fake(tmp_path: Path) -> FakeNvml:
    return FakeNvml(tmp_path, 2)


@pytest.fixture
def exporter(tmp_path: Path, fake: FakeNvml) -> Iterator[Exporter]:
    log = FakeKernelLog(tmp_path)
    options = ("--state-dir", str(tmp_path / "state"), "--kernel-log", str(log.path))
    with exporting(tmp_path, *options, env=fake.env) as running:
        running.get()
        yield running


def gpus(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "plimsoll.compose.cli", "gpus", *arguments, "--state-dir", str(folder / "state")]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


def page(exporter: Exporter, path: str) -> httpx.Response:
    return httpx.get(exporter.url.replace("/metrics", path), trust_env=False, timeout=60)


def up(exporter: Exporter) -> list[float]:
    return [value for (name, _), value in exporter.values().items() if name == c.GPU_UP.name]


def test_a_gpu_that_was_removed_is_listed_and_forgotten(tmp_path: Path, fake: FakeNvml, exporter: Exporter) -> None:
    fake.remove(1)
    fake.restart_driver("580.82.07")
    assert up(exporter) == [1, 0]
    listed = gpus(tmp_path, "list")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [fake.uuid(0), fake.uuid(1)]
    assert gpus(tmp_path, "forget", fake.uuid(1)).returncode == 0
    assert up(exporter) == [1]


def test_a_pause_is_confirmed_once_the_devices_are_closed(tmp_path: Path, fake: FakeNvml, exporter: Exporter) -> None:
    command = [sys.executable, "-m", "plimsoll.compose.cli", "gpus", "pause", "--state-dir", str(tmp_path / "state")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as pausing:
        wait_for(lambda: up(exporter) == [], "the pause")
        assert pausing.wait(100) == 0
    assert page(exporter, "/-/gpus").json()["verdict"] == "unknown"
    assert page(exporter, "/-/healthy").status_code == 200
    assert gpus(tmp_path, "resume").returncode == 0
    assert up(exporter) == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("forget", "GPU-other"), "GPU-other"),
        (("forget",), "UUID"),
        (("list", "GPU-x"), "UUID"),
        (("pause", "--for", "2d"), "--for"),
        (("pause", "--for", "soon"), "--for"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: tuple[str, ...], named: str) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "gpus.json").write_text(json.dumps({"gpus": {}, "xids": {}}))
    done = gpus(tmp_path, *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert named in done.stderr


def test_a_folder_of_no_exporter_is_an_error(tmp_path: Path) -> None:
    assert gpus(tmp_path, "list").returncode == 2


def test_the_verdicts_are_a_page_that_a_load_balancer_can_ask(fake: FakeNvml, exporter: Exporter) -> None:
    healthy = page(exporter, "/-/gpus?fail=degraded&fail=unknown")
    assert (healthy.status_code, healthy.json()["verdict"], healthy.json()["reasons"]) == (200, "ok", [])
    assert [gpu["uuid"] for gpu in healthy.json()["gpus"]] == [fake.uuid(0), fake.uuid(1)]

    fake.set(0, repair=(1, 0))
    exporter.get()
    degraded = page(exporter, "/-/gpus").json()
    assert (degraded["verdict"], degraded["reasons"]) == ("degraded", ["reset_pending"])
    assert [gpu["verdict"] for gpu in degraded["gpus"]] == ["degraded", "ok"]
    assert page(exporter, "/-/gpus?fail=degraded").status_code == 503
    assert page(exporter, "/-/gpus?fail=replace").status_code == 200

    fake.lose(1)
    exporter.get()
    assert page(exporter, "/-/gpus?fail=replace").status_code == 503
    values = exporter.values()
    assert values[c.NODE_HEALTH_VERDICT.name, ""] == 2
    assert values[c.GPU_HEALTH_VERDICT.name, fake.uuid(0)] == 1
    assert page(exporter, "/-/gpus?fail=never").status_code == 400


def test_the_health_page_fails_where_only_a_restart_of_the_container_helps(fake: FakeNvml, exporter: Exporter) -> None:
    assert page(exporter, "/-/ready").status_code == 200
    fake.state.generation = 2
    fake.restart_driver("590.48.01")

    def unhealthy() -> bool:
        exporter.get()
        return page(exporter, "/-/healthy").status_code == 503

    wait_for(unhealthy, "the health page to fail")
    assert page(exporter, "/-/ready").status_code == 503
    assert up(exporter) == []


def test_it_says_once_why_gpus_are_not_joined(tmp_path: Path, fake: FakeNvml) -> None:
    """Not where the exporter may read everything, as root on a node."""
    from plimsoll.exporters.process_tree import ProcessTree  # noqa: PLC0415

    why = ProcessTree().unreadable_because()
    with exporting(tmp_path, "--engine", "http://127.0.0.1:1", "--kernel-log", "none", env=fake.env) as running:
        running.get()
        said = [line for line in running.said().splitlines() if "GPUs are not joined to replicas because" in line]
    assert len(said) == (1 if why else 0)
    assert all(why in line for line in said)
