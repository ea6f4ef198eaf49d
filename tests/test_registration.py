"""An engine, a GPU reader, an indicator and a command are each added by one new file: no list names them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from paths import ROOT

PACKAGES = ("exporters", "slo", "alerts", "dashboards", "compose")
ADDED = {
    "exporters/engines/acme.py": """
from plimsoll.exporters.engines.mapping import EngineMapping, Source, register
from plimsoll.slo import metrics

register(EngineMapping("acme", "Acme", ("acme_",), (Source(metrics.REQUESTS_RUNNING, ("acme_running",)),), {}))
""",
    "exporters/nvml/readers/acme.py": """
from plimsoll.exporters.nvml.registry import reader
from plimsoll.slo import metrics


@reader
def acme(handle):
    yield metrics.GPU_COMPUTE_MODE, {}, 7
""",
    "slo/sli/indicators/acme.py": """
from plimsoll.slo import metrics
from plimsoll.slo.sli.indicators.latency import Latency
from plimsoll.slo.spec.indicator import register


@register
class PrefillDuration(Latency):
    kind = "prefill_duration"
    histogram = metrics.PREFILL
""",
    "compose/commands/slos/acme.py": '''"""Run acme."""


def add_arguments(parser):
    parser.add_argument("--times", type=int)


def run(args):
    return args.times
''',
}
ASK = """
import json
from plimsoll.compose.cli import main
from plimsoll.exporters.engines import recognize
from plimsoll.exporters.nvml import readers, registry
from plimsoll.exporters.nvml.abi import Driver
from plimsoll.slo.sli.evidence import countings
from plimsoll.slo.spec.objectives import load

spec = load(open("objectives.yaml").read())
(objective,) = spec.objectives
engine = recognize(["acme_running"])
found = [one for one in registry.readers_for(Driver(580, 82)).live if getattr(one, "__name__", "") == "acme"]
print(json.dumps({
    "engine": engine and engine.engine,
    "reader": [value for read in found for _, _, value in read(None)],
    "indicator": [selector.name for way in countings(objective, spec.pools[0]) for selector in way.selectors],
    "command": main(["acme", "--times", "3"]),
}))
"""
OBJECTIVES = """
version: plimsoll/v1
pools:
  - name: chat
    model: m
    node: {gpu: H100-80GB, gpus: 2}
    nodes: {min: 1, max: 2}
    timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}
    max_waiting_per_node: 7
objectives:
  - {id: chat-prefill, pool: chat, indicator: {prefill_duration: 300ms}, target: 99%, window: 28d}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the code: package `plimsoll` in an empty folder."""
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "generated", "static")
        shutil.copytree(ROOT / name, tmp_path / "plimsoll" / name, ignore=ignored)
    (tmp_path / "plimsoll" / "__init__.py").touch()
    (tmp_path / "objectives.yaml").write_text(OBJECTIVES)
    return tmp_path


def ask(tree: Path) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "PYTHONPATH": str(tree)}
    return subprocess.run([sys.executable, "-c", ASK], cwd=tree, env=env, capture_output=True, text=True, check=False)


def test_one_new_file_each_adds_an_engine_a_gpu_reader_an_indicator_and_a_command(tree: Path) -> None:
    for name, text in ADDED.items():
        (tree / "plimsoll" / name).write_text(text)
    answer = ask(tree)
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert found.pop("indicator") == ["llm_request_prefill_seconds_bucket", "llm_request_prefill_seconds_count"]
    assert found == {"engine": "acme", "reader": [7], "command": 3}


def test_without_the_files_there_is_none_of_them(tree: Path) -> None:
    """So the test above reads the copied tree and not the installed one."""
    answer = ask(tree)
    assert answer.returncode != 0
    assert "isn't an indicator" in answer.stderr
