"""The GPU tests on older versions of NVIDIA's binding: what a node has is not the newest, and numbers in it have moved."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paths import ROOT, TESTS

# Beside the newest, with which every other test runs: the oldest allowed, and both sides of a move of field numbers.
VERSIONS = ("12.535.161", "12.575.51", "13.580.82")
SUITE = ("test_nvml.py", "test_nvml_board.py", "test_nvml_fields.py", "test_nvml_mig.py")


@pytest.fixture(params=VERSIONS)
def binding(request: pytest.FixtureRequest) -> Path:
    """A folder with that version, installed once per machine."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plimsoll"
    folder = cache / f"nvidia-ml-py-{request.param}"
    if not (folder / "pynvml.py").exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        done = subprocess.run([*command, f"nvidia-ml-py=={request.param}"], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"nvidia-ml-py {request.param} cannot be had: {done.stderr.splitlines()[-1:]}")
    return folder


@pytest.mark.slow
def test_the_gpu_tests_pass_with_that_binding(binding: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(binding), os.environ.get("PYTHONPATH", "")))}
    told = subprocess.run(
        [sys.executable, "-c", "import pynvml; print(pynvml.__file__)"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.startswith(str(binding)), "the tests would run with another version"
    suite = [str(TESTS / "exporters" / "nvml" / name) for name in SUITE]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *suite]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout and " skipped" not in done.stdout
