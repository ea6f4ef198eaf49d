"""Wheels and an sdist of the project as it is now, built from a clone that also holds files that git does not track."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from paths import ROOT

SECRET = "canary_8c1d5e"
# Each stands where a list of names or a pattern, but not git, would take it in.
CANARIES = (
    *(".env", f"{SECRET}.txt", f"compose/secrets/{SECRET}", f"slo/{SECRET}.txt", f"slo/{SECRET}.py"),
    *(f"slo/{SECRET}/__init__.py", f"slo/data/{SECRET}.yaml", f"slo/service/static/{SECRET}.css"),
    *(f"slo/service/templates/{SECRET}.html", f"slo/ledger/migrations/versions/{SECRET}.py"),
    *(f"alerts/generated/{SECRET}.yml", f"dashboards/generated/{SECRET}.json"),
    *("README.rst", "setup.cfg", f"test/test_{SECRET}.py"),
)
LEFT_BY_A_BUILD = (f"build/lib/plimsoll/slo/{SECRET}.py", "plimsoll_slo.egg-info/SOURCES.txt")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")


class Built(NamedTuple):
    """The clone, its archives, and what they hold as {name: bytes}."""

    clone: Path
    wheel: Path
    sdist: Path
    in_wheel: dict[str, bytes]
    in_sdist: dict[str, bytes]
    in_wheel_of_clone: dict[str, bytes]


def run(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def tracked() -> list[str]:
    """Names of the project's files."""
    return [name for name in run("git", "ls-files", "-z", cwd=ROOT).split("\0") if (ROOT / name).is_file()]


def make_clone(folder: Path) -> None:
    """Copy the project's files, changed ones as they are now, into a git repository of their own, and put canaries beside them."""
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    run("git", "init", "--quiet", cwd=folder)
    run("git", "add", "--all", "--force", cwd=folder)
    for name in (*CANARIES, *LEFT_BY_A_BUILD):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"# {SECRET}\n")
    # setuptools takes the list of an earlier build for this one's.
    (folder / LEFT_BY_A_BUILD[1]).write_text(f"slo/{SECRET}.py\n{SECRET}.txt\n")


def build(clone: Path, out: Path) -> Built:
    """Build as a person does: the wheel straight from the clone, an sdist, and a wheel from that."""
    run(*PIP, "wheel", "--no-deps", "--wheel-dir", out / "direct", clone)
    run(sys.executable, "-m", "build", "--outdir", out, clone)
    (direct,), (wheel,), (sdist,) = out.glob("direct/*.whl"), out.glob("*.whl"), out.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = {one.name.partition("/")[2]: archive.extractfile(one) for one in archive if one.isfile()}
        in_sdist = {name: file.read() for name, file in files.items() if file}
    return Built(clone, wheel, sdist, in_wheel(wheel), in_sdist, in_wheel(direct))


def in_wheel(path: Path) -> dict[str, bytes]:
    """What a wheel holds, as {name: bytes}."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
