"""Plimsoll as pip installs it, on every Python that it is for and beside others' packages: the command works from those files."""

import hashlib
import signal
import subprocess
import sys
import sysconfig
from base64 import urlsafe_b64encode
from importlib.metadata import Distribution, distributions
from pathlib import Path

import httpx
import pytest

from archives import PIP, Built, run, tracked
from interpreters import VERSIONS, find
from paths import ROOT
from stack import free_port, wait_for

INSTALL = ("install", "--quiet", "--no-compile")
PAGES = ("/", "/runbooks", "/static/page.css", "/static/vendor/uPlot.LICENSE", "/api/v1/pools/chat-70b/recommendation")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_distributions_with_our_folders_names_stay_whole(built: Built, tmp_path: Path) -> None:
    """docker-compose 1.29.2 owns the import name `compose`, exporters 0.7.0 `exporters`."""
    python, site = environment(Path(sys.executable), tmp_path / "venv")
    # Only theirs are fetched: what Plimsoll needs is read from this environment, whose own Plimsoll stays out of sight.
    (site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for name in ("docker-compose==1.29.2", "exporters==0.7.0", str(built.wheel)):
        run(*PIP, "--python", python, *INSTALL, "--no-deps", name)
    assert run(python.parent / "plimsoll", "--version", cwd=tmp_path).startswith("plimsoll ")
    script = (
        "import importlib.util as find, compose, plimsoll.compose.cli as cli\n"
        "print(compose.__version__, find.find_spec('exporters').origin, cli.__file__)"
    )
    found = run(python, "-c", script, cwd=tmp_path).split()
    assert found == ["1.29.2", str(site / "exporters" / "__init__.py"), str(site / "plimsoll" / "compose" / "cli.py")]
    files = {one.name: recorded(one) for one in distributions(path=[str(site)])}
    assert set(files) == {"docker-compose", "exporters", "plimsoll-slo"}
    assert sum(map(len, files.values())) == len(set().union(*files.values())), "two distributions claim one file"
    for hashes in files.values():
        assert {name: digest(site / name) for name in hashes} == hashes


def environment(python: Path, folder: Path) -> tuple[Path, Path]:
    """A new virtual environment, without pip: (its Python, its site-packages)."""
    run(python, "-m", "venv", "--without-pip", folder)
    return folder / "bin" / "python", next(folder.glob("lib/python*/site-packages"))


def recorded(one: Distribution) -> dict[str, str]:
    """Files of a distribution and the hashes that they were installed with."""
    return {str(file): file.hash.value for file in one.files or () if file.hash}


def digest(path: Path) -> str:
    return urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_installed_and_works_on_python(version: str, built: Built, tmp_path: Path) -> None:
    base = find(version)
    if base is None:
        pytest.skip(f"no Python {version}: it is not on the PATH, pyenv has none, and Debian's was not fetched")
    python, site = environment(base, tmp_path / "venv")
    install = (*PIP, "--python", python, *INSTALL)
    run(*install, "-c", ROOT / "requirements.lock", f"{built.clone}[service,build]")
    answers(python, tmp_path, site / "plimsoll")
    builds(python, tmp_path)
    serves(python, tmp_path)
    for source in (built.wheel, built.sdist):
        run(*install, "--no-deps", "--force-reinstall", source)
        answers(python, tmp_path, site / "plimsoll")
    run(*install, "--no-deps", "--editable", built.clone)
    answers(python, tmp_path, built.clone)


def answers(python: Path, cwd: Path, code: Path) -> None:
    """The command is there and runs this code."""
    plimsoll = python.parent / "plimsoll"
    assert run(plimsoll, "--version", cwd=cwd).startswith("plimsoll ")
    assert "backtest" in run(plimsoll, "--help", cwd=cwd)
    script = "import plimsoll.slo.spec.objectives as found; print(found.__file__)"
    assert run(python, "-c", script, cwd=cwd).strip() == str(code / "slo" / "spec" / "objectives.py")
    run(plimsoll, "check", "--objectives", code / "slo" / "objectives.yaml", cwd=cwd)


def builds(python: Path, cwd: Path) -> None:
    """It writes the rules and dashboards that are committed."""
    run(python.parent / "plimsoll", "build", "--out", "out", cwd=cwd)
    for part in ("alerts", "dashboards"):
        committed = [name for name in tracked() if name.startswith(f"{part}/generated/")]
        assert committed
        for name in committed:
            written = cwd / name.replace(f"{part}/generated", f"out/{part}")
            assert written.read_bytes() == (ROOT / name).read_bytes(), name


def serves(python: Path, cwd: Path) -> None:
    """The whole stack runs from installed files: demo traffic, step models, migrations, runbooks, templates, static files."""
    names = ("exporter", "service", "prometheus", "alertmanager", "demo")
    ports = {name: free_port() for name in names}
    flags = [word for name, port in ports.items() for word in (f"--{name}-port", str(port))]
    service = f"http://127.0.0.1:{ports['service']}"
    log, command = cwd / "up.log", [str(python.parent / "plimsoll"), "up", *flags]
    with log.open("wb") as output:  # there is no Prometheus on this PATH, so none is started
        up = subprocess.Popen(command, cwd=cwd, stdout=output, stderr=output, env={"PATH": str(python.parent)})
    try:
        wait_for(lambda: up.poll() is not None or is_served(f"{service}/-/ready"), "the service to be ready", 300)
        assert up.poll() is None, log.read_text()
        assert [page for page in PAGES if not is_served(service + page)] == []
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0, log.read_text()
    finally:
        if up.poll() is None:
            up.terminate()
            up.wait(60)


def is_served(url: str) -> bool:
    try:
        return httpx.get(url, timeout=60, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
