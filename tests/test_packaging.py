"""What wheel, sdist and container image hold: the project's own files, all of them, below one name."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from archives import CANARIES, PIP, SECRET, Built, in_wheel, run, tracked
from dockerfile import context, copy_context, stages
from interpreters import VERSIONS
from paths import ROOT

FOLDERS = ("alerts", "compose", "dashboards", "exporters", "slo")


def is_packaged(name: str) -> bool:
    """Beside the command, compose/ holds what a clone starts: compose.yaml and the like. The command writes the chart's `files`."""
    of_the_command = name.endswith((".py", "/py.typed")) or name.startswith(("compose/demo/", "compose/helm/"))
    if name.startswith("compose/helm/files/"):
        return False
    return name.split("/", maxsplit=1)[0] in FOLDERS and (of_the_command or not name.startswith("compose/"))


def test_a_container_build_is_sent_no_secret(clone: Path) -> None:
    sent = context(clone)
    assert sent >= {".git/HEAD", ".git/index", "setup.py", "slo/objectives.yaml"}
    assert not sent & {".env", ".git/config", f"{SECRET}.txt", f"compose/secrets/{SECRET}", f"slo/{SECRET}.txt"}


def test_the_metadata_names_every_python_that_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    python = "Programming Language :: Python :: 3."
    assert [f"3.{one.removeprefix(python)}" for one in project["classifiers"] if one.startswith(python)] == [*VERSIONS]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_only_files_that_git_tracks_are_built(built: Built) -> None:
    assert all((built.clone / name).exists() for name in CANARIES)

    def canaries(files: Mapping[str, bytes]) -> list[str]:
        return [name for name, content in files.items() if SECRET in name or SECRET.encode() in content]

    assert canaries(built.in_wheel_of_clone) == canaries(built.in_sdist) == canaries(built.in_wheel) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_wheel_is_the_same_from_a_clone_and_from_an_sdist(built: Built) -> None:
    assert built.in_wheel == built.in_wheel_of_clone


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_wheel_claims_one_name_and_holds_every_file_of_its_packages(built: Built) -> None:
    metadata = next(name.split("/")[0] for name in built.in_wheel if name.endswith(".dist-info/METADATA"))
    assert {name.split("/")[0] for name in built.in_wheel} == {"plimsoll", metadata}
    packaged = {f"plimsoll/{name}" for name in tracked() if is_packaged(name)}
    assert {name for name in built.in_wheel if not name.startswith(metadata)} == packaged
    assert {f"plimsoll/{folder}/py.typed" for folder in FOLDERS} <= packaged
    licenses = {f"{metadata}/licenses/{name}" for name in tracked() if name.endswith("LICENSE")}
    assert licenses <= set(built.in_wheel)
    assert not any(name.startswith("tests/") for name in built.in_sdist)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_is_built_where_git_cannot_list_the_files(clone: Path, tmp_path: Path) -> None:
    """As in a container build from a git worktree, whose repository is elsewhere."""
    copy_context(clone, tmp_path / "context")
    shutil.rmtree(tmp_path / "context" / ".git")
    (tmp_path / "context" / ".git").write_text("gitdir: /nowhere\n")
    command = (*PIP, "wheel", "--no-deps", "--wheel-dir", tmp_path, tmp_path / "context")
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode != 0
    assert "setup.py: git can't list the project's files: fatal: not a git repository" in failed.stdout + failed.stderr
    assert list(tmp_path.glob("*.whl")) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_image_holds_what_the_wheel_holds(built: Built, tmp_path: Path) -> None:
    """No container engine runs here: the context is copied, and the first stage's commands run as the Dockerfile has them."""
    copy_context(built.clone, tmp_path)
    build, image = stages((built.clone / "compose" / "Dockerfile").read_text())
    assert [step.text for step in build if step.instruction in ("COPY", "ADD")] == [". ."]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for step in build:
        if step.instruction == "RUN":
            run("sh", "-c", step.text, cwd=tmp_path, env={**os.environ, "PATH": path})
    (wheel,) = tmp_path.glob("wheels/*.whl")
    assert in_wheel(wheel) == built.in_wheel
    copied = [step.text for step in image if step.instruction in ("COPY", "ADD")]
    assert copied == ["--from=build /src/requirements.lock /src/wheels/*.whl /tmp/plimsoll/"]
    assert [step.text for step in image if step.instruction == "USER"] == ["65534:65534"]
