"""The plugin inside vLLM's own environment, driven by vLLM's own statistics objects; no server is started."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from real_engine import MODEL, Installation

ROOT = Path(__file__).parent.parent
# Runs in the engine's Python: plays each scenario's steps of one request each, then prints counters and log lines.
SCRIPT = """
import json, logging, os, sys, time
from types import SimpleNamespace
from vllm.v1.engine import FinishReason
from vllm.v1.metrics.loggers import StatLoggerBase
from vllm.v1.metrics.stats import IterationStats, RequestStateStats
from exporters import vllm_plugin


def finish(rank, step):
    stats = IterationStats()
    if step.get("broken"):
        del stats.finished_requests
        return rank.record(None, stats, mm_cache_stats=None, engine_idx=0)
    ended, tokens = stats.iteration_timestamp, step["tokens"]
    request = RequestStateStats(arrival_time=ended - step["e2e"], num_generation_tokens=tokens)
    request.first_token_ts, request.last_token_ts = 100.0, 100.0 + step["decode"]
    if "ttft" in step:
        first = IterationStats()
        first.iteration_timestamp = request.arrival_time + step["ttft"]
        first.time_to_first_tokens_iter.append(first.iteration_timestamp - request.arrival_time)
        rank.record(None, first, mm_cache_stats=None, engine_idx=0)
    stats.update_from_finished_request(FinishReason[step["reason"].upper()], "id", 1, None, request)
    rank.record(None, stats, mm_cache_stats=None, engine_idx=0)
    rank.record(None, None)


def rewrite(path, step, ranks):
    # Changes the file at once, and waits until every rank has said what it makes of it.
    lines = len(said)
    with open(path + ".new", "w") as file:
        file.write(step["objectives"])
    os.replace(path + ".new", path)
    end = time.monotonic() + 60
    while len(said) < lines + len(ranks) and time.monotonic() < end:
        time.sleep(0.01)


def play(model, objectives, steps):
    os.environ["PLIMSOLL_OBJECTIVES"] = objectives
    vllm_plugin._counter().clear()
    said.clear()
    config = SimpleNamespace(model_config=SimpleNamespace(served_model_name=model))
    ranks = [vllm_plugin.PlimsollStatLogger(config, index) for index in (0, 1)]
    assert all(isinstance(rank, StatLoggerBase) for rank in ranks)
    for step in steps:
        if "objectives" in step:
            rewrite(objectives, step, ranks)
        else:
            finish(ranks[step["rank"]], step)
    samples = [sample for family in vllm_plugin._counter().collect() for sample in family.samples]
    counts = {
        " ".join(sample.labels[name] for name in ("engine", "objective", "outcome")): sample.value
        for sample in samples
        if sample.name.endswith("_total")
    }
    return counts, list(said)


vllm_plugin.LOOK_EVERY = 0.05
said = []
handler = logging.Handler()
handler.emit = lambda record: said.append(record.getMessage())
vllm_plugin.logger.addHandler(handler)
vllm_plugin.logger.setLevel(logging.INFO)
print(json.dumps({name: play(*scenario) for name, scenario in json.loads(sys.argv[1]).items()}))
"""


def step(**changes: Any) -> dict[str, Any]:
    return {"rank": 0, "reason": "stop", "tokens": 11, "e2e": 1.0, "decode": 0.3, "ttft": 0.6, **changes}


OBJECTIVES = (ROOT / "slo" / "objectives.yaml").read_text()
BROKEN = {"rank": 0, "broken": True}
# Its first token was before the plugin saw anything: e2e - decode = 0.7 s after its arrival.
UNSEEN = {key: value for key, value in step().items() if key != "ttft"}
OTHER_RANK = [
    step(rank=1, ttft=0.65),
    step(rank=1, tokens=1, decode=0.0, ttft=1.0),
    step(rank=1, reason="abort"),
    step(rank=1, reason="error"),
]
Played = dict[str, tuple[dict[str, float], list[str]]]


@pytest.fixture(scope="module")
def played(engine_installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """All scenarios in one process, because vLLM takes long to import."""
    wrong = tmp_path_factory.mktemp("wrong") / "objectives.yaml"
    wrong.write_text("version: plimsoll/v0")
    changing = wrong.with_name("changing.yaml")
    changing.write_text(OBJECTIVES)
    scenarios = {
        "ranks": (MODEL, "", [step(), UNSEEN, *OTHER_RANK]),
        "fault": (MODEL, "", [step(), BROKEN, step(), BROKEN, step(rank=1)]),
        "no file": (MODEL, "/nowhere/objectives.yaml", [step()]),
        "wrong file": (MODEL, str(wrong), [step()]),
        "no pool": ("other", "", [step()]),
        "changed": (
            MODEL,
            str(changing),
            [step(), {"objectives": OBJECTIVES.replace("600ms", "500ms")}, step(), {"objectives": "nonsense"}, step()],
        ),
    }
    done = subprocess.run(
        [engine_installation.python, "-c", SCRIPT, json.dumps(scenarios)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer: Played = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_each_rank_counts_its_own_requests_from_zero(played: Played) -> None:
    counts, said = played["ranks"]
    assert counts == {
        **{"0 chat-ttft good": 1, "0 chat-ttft bad": 1, "1 chat-ttft good": 0, "1 chat-ttft bad": 2},
        **{"0 chat-tpot good": 2, "0 chat-tpot bad": 0, "1 chat-tpot good": 1, "1 chat-tpot bad": 0},
        **{"0 chat-e2e good": 2, "0 chat-e2e bad": 0, "1 chat-e2e good": 2, "1 chat-e2e bad": 0},
        **{"0 chat-goodput good": 1, "0 chat-goodput bad": 1, "1 chat-goodput good": 0, "1 chat-goodput bad": 3},
    }
    assert said == [f"Plimsoll counts 4 objectives of {MODEL} (the packaged objectives)"] * 2


def test_a_fault_ends_the_counting_of_that_rank_and_is_said_once(played: Played) -> None:
    counts, said = played["fault"]
    assert (counts["0 chat-e2e good"], counts["1 chat-e2e good"]) == (1, 1)
    faults = [line for line in said if "no more" in line]
    assert len(faults) == 1
    assert faults[0].startswith("Plimsoll counts objectives no more, serving goes on: AttributeError: ")


@pytest.mark.parametrize(
    ("scenario", "why"), [("no file", "FileNotFoundError: .*/nowhere/"), ("wrong file", "SpecError: version: ")]
)
def test_a_wrong_objectives_file_is_said_and_nothing_is_counted(played: Played, scenario: str, why: str) -> None:
    counts, said = played[scenario]
    assert counts == {}
    assert len(said) == 2  # one rank each
    assert all(re.match(f"Plimsoll counts objectives no more, serving goes on: {why}", line) for line in said)


def test_a_model_of_no_pool_is_not_counted(played: Played) -> None:
    counts, said = played["no pool"]
    nothing = "Plimsoll counts nothing: no objective of the packaged objectives is on a pool with the model other"
    assert (counts, said) == ({}, [nothing] * 2)


def test_a_changed_file_counts_from_then_on_and_a_wrong_one_changes_nothing(played: Played) -> None:
    counts, said = played["changed"]
    # 600 ms to the first token: good by the first file, bad by the second, and the third is none.
    assert (counts["0 chat-ttft good"], counts["0 chat-ttft bad"]) == (1, 2)
    kept = [line for line in said if line.startswith("Plimsoll goes on with the objectives it has: SpecError: ")]
    assert len(kept) == 2  # one rank each


MULTIPROCESS = """
import sys
from types import SimpleNamespace
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
from vllm.v1.engine import FinishReason
from vllm.v1.metrics.stats import IterationStats, RequestStateStats
from exporters import vllm_plugin

logger = vllm_plugin.PlimsollStatLogger(SimpleNamespace(model_config=SimpleNamespace(served_model_name=sys.argv[1])), 0)
for _ in range(int(sys.argv[2])):
    stats = IterationStats()
    request = RequestStateStats(arrival_time=stats.iteration_timestamp - 0.5, num_generation_tokens=3)
    request.first_token_ts, request.last_token_ts = 100.0, 100.02
    stats.update_from_finished_request(FinishReason.STOP, "id", 1, None, request)
    logger.record(None, stats)
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
print(registry.get_sample_value(
    "llm_objective_requests_total",
    {"model_name": sys.argv[1], "engine": "0", "objective": "chat-goodput", "outcome": "good"},
))
"""


def test_several_api_servers_count_into_one_number(engine_installation: Installation, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    totals = [
        subprocess.run(
            [engine_installation.python, "-c", MULTIPROCESS, MODEL, requests],
            env=env,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()[-1]
        for requests in ("3", "4")
    ]
    assert totals == ["3.0", "7.0"]
