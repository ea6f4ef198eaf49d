"""The archive of `make bundle` installs and runs on each Python in a network namespace that has no network."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from archives import run
from bundle import bundle
from interpreters import VERSIONS, find

CUT = ("unshare", "--net", "--")
HERE = [version for version in VERSIONS if find(version)]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive with what the exporter, the service and the generator need, for the Pythons that are here."""
    if subprocess.run((*CUT, "true"), check=False, capture_output=True).returncode:
        pytest.skip("no network namespaces here (unshare --net)")
    folder = tmp_path_factory.mktemp("bundle")
    bundle(folder / "plimsoll.tar.gz", HERE, ("service", "build", "postgresql"))
    with tarfile.open(folder / "plimsoll.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "plimsoll"


def test_it_holds_chart_configuration_licenses_and_bill_of_materials(unpacked: Path) -> None:
    assert yaml.safe_load((unpacked / "helm" / "Chart.yaml").read_text())["name"] == "plimsoll"
    assert not [path for path in unpacked.rglob("*") if path.is_symlink()]
    for name in (
        "config/objectives.yaml",
        "config/alerts/objectives.rules.yml",
        "config/compose.yaml",
        "licenses/LICENSE",
    ):
        assert (unpacked / name).is_file(), name
    assert len(list((unpacked / "helm" / "files" / "rules").iterdir())) == 3
    assert json.loads((unpacked / "plimsoll.cdx.json").read_text())["bomFormat"] == "CycloneDX"
    run("sha256sum", "--check", "--quiet", "SHA256SUMS", cwd=unpacked)


def test_this_namespace_has_no_network() -> None:
    script = "import socket; socket.create_connection(('192.0.2.1', 443), 5)"
    done = subprocess.run((*CUT, sys.executable, "-c", script), capture_output=True, text=True, check=False)
    assert "Network is unreachable" in done.stderr


@pytest.mark.parametrize("version", HERE)
def test_it_installs_and_runs_without_a_network(version: str, unpacked: Path, tmp_path: Path) -> None:
    python = find(version)
    assert python is not None
    run(python, "-m", "venv", "--without-pip", tmp_path / "venv")
    pip = (
        *CUT,
        sys.executable,
        "-m",
        "pip",
        "--isolated",
        "--disable-pip-version-check",
        "--python",
        tmp_path / "venv/bin/python",
    )
    flags = ("--no-index", "--find-links", unpacked / "wheels", "--require-hashes")
    run(*pip, "install", "--quiet", *flags, "-r", unpacked / f"requirements-{version}.txt")
    plimsoll = tmp_path / "venv" / "bin" / "plimsoll"
    assert run(*CUT, plimsoll, "--version").startswith("plimsoll ")
    run(*CUT, plimsoll, "check", "--objectives", unpacked / "config" / "objectives.yaml")
    run(*CUT, plimsoll, "build", "--out", tmp_path / "out")
    written = (tmp_path / "out" / "alerts" / "objectives.rules.yml").read_bytes()
    assert written == (unpacked / "config" / "alerts" / "objectives.rules.yml").read_bytes()
    assert "nodes" in run(*CUT, plimsoll, "whatif", "--replica", "70b-fp8-h100-tp4", "--request-rate", "4", "--json")


@pytest.mark.parametrize("version", HERE[:1])
def test_a_changed_wheel_is_rejected(version: str, unpacked: Path, tmp_path: Path) -> None:
    lines = (unpacked / f"requirements-{version}.txt").read_text().splitlines()
    (one,) = [line for line in lines if line.startswith("httpx==")]
    (tmp_path / "requirements.txt").write_text(one[:-4] + ("0000" if one[-4:] != "0000" else "1111"))
    flags = ("--no-index", "--find-links", str(unpacked / "wheels"), "--require-hashes", "--no-deps")
    command = (
        sys.executable,
        "-m",
        "pip",
        "--isolated",
        "download",
        *flags,
        "-d",
        str(tmp_path),
        "-r",
        str(tmp_path / "requirements.txt"),
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
