"""A short chaos run: real stores and services fail for a minute, and the truth is compared at the end (`make chaos` runs longer)."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from paths import ROOT
from postgresql import binary
from stack import require

pytestmark = [pytest.mark.slow, pytest.mark.prometheus, pytest.mark.postgresql, pytest.mark.timeout(600)]


def test_a_minute_of_faults_costs_no_request_and_no_page(tmp_path: Path) -> None:
    for program in ("prometheus", "prometheus-alertmanager"):
        require(program)
    binary("initdb")
    command = [sys.executable, str(ROOT / "tests" / "chaos" / "run.py"), "--seed", "1", "--minutes", "0.8"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=550, cwd=tmp_path)
    logs = "".join(path.read_text()[-2000:] for path in tmp_path.rglob("*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    assert shutil.which("victoria-metrics") is None or "| on-victoria |" in done.stdout
