"""The plugin inside vLLM's own environment, driven by vLLM's own statistics objects; no server is started."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from paths import PACKAGES, ROOT
from real_engine import MODEL, Installation, prepare, versions
from real_server import Unavailable

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

# Runs in the engine's Python: plays each scenario's steps of one request each, then prints counters and log lines.
SCRIPT = """
import json, logging, os, sys, time
from types import SimpleNamespace
from vllm.v1.engine import FinishReason
from vllm.v1.metrics.loggers import StatLoggerBase
from vllm.v1.metrics.stats import IterationStats, RequestStateStats
from vllm.v1.engine.output_processor import OutputProcessor
from vllm.v1.metrics.stats import LoRARequestStates
from plimsoll.exporters.vllm import adapters, plugin


def finish(rank, step):
    stats = IterationStats()
    if step.get("broken"):
        del stats.finished_requests
        return rank.record(None, stats, mm_cache_stats=None, engine_idx=0)
    ended, tokens = stats.iteration_timestamp, step["tokens"]
    request = RequestStateStats(arrival_time=ended - step["e2e"], num_generation_tokens=tokens)
    request.first_token_ts, request.last_token_ts = 100.0, 100.0 + step["decode"]
    if "ttft" in step:
        first_token(rank, request.arrival_time, step["ttft"])
    # As vLLM's output processor does it, for a request of which a stat logger sees only the statistics.
    asked = SimpleNamespace(
        external_req_id="id", request_id="id", prompt_len=1, max_tokens_param=None, stats=request, num_cached_tokens=0,
        lora_name=step.get("adapter"), parent_req=None,
    )
    processor = SimpleNamespace(lora_states=LoRARequestStates(log_stats=False))
    OutputProcessor._update_stats_from_finished(processor, asked, FinishReason[step["reason"].upper()], stats)
    rank.record(None, stats, mm_cache_stats=None, engine_idx=0)
    rank.record(None, None)


def first_token(rank, arrival, wait):
    first = IterationStats()
    first.iteration_timestamp = arrival + wait
    first.time_to_first_tokens_iter.append(first.iteration_timestamp - arrival)
    rank.record(None, first, mm_cache_stats=None, engine_idx=0)


def choices(rank, step):
    # The n choices of one request, as (time to first token, duration, tokens), all answered before any is finished.
    arrival = time.time()
    for wait, _, _ in step["choices"]:
        first_token(rank, arrival, wait)
    for wait, duration, tokens in sorted(step["choices"], key=lambda one: one[1]):
        stats = IterationStats()
        stats.iteration_timestamp = arrival + duration
        request = RequestStateStats(arrival_time=arrival, num_generation_tokens=tokens)
        # The frontend saw the first token 3 ms after the engine core gave it.
        request.first_token_ts, request.last_token_ts = 100.0, 100.0 + duration - wait + 0.003
        stats.update_from_finished_request(FinishReason.STOP, "id", 1, None, request)
        rank.record(None, stats)


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
    plugin._counter().clear()
    adapters._counter().clear()
    said.clear()
    settings = {}
    while steps and "settings" in steps[0]:
        settings = steps.pop(0)["settings"]
    os.environ["PLIMSOLL_DEPLOYMENT"] = settings.get("deployment", "")
    config = SimpleNamespace(model_config=SimpleNamespace(served_model_name=model), lora_config=settings.get("lora"))
    ranks = [plugin.PlimsollStatLogger(config, index) for index in (0, 1)]
    assert all(isinstance(rank, StatLoggerBase) for rank in ranks)
    for step in steps:
        if "objectives" in step:
            rewrite(objectives, step, ranks)
        elif "choices" in step:
            choices(ranks[0], step)
        else:
            finish(ranks[step["rank"]], step)
    told = [*plugin._counter().collect(), *adapters._counter().collect()]
    samples = [sample for family in told for sample in family.samples]
    names = ("engine", "adapter", "deployment", "objective", "outcome")
    counts = {
        " ".join(filter(None, (sample.labels.get(name) for name in names))): sample.value
        for sample in samples
        if sample.name.endswith("_total")
    }
    return counts, list(said)


plugin.LOOK_EVERY = 0.05
said = []
handler = logging.Handler()
handler.emit = lambda record: said.append(record.getMessage())
plugin.logger.addHandler(handler)
plugin.logger.setLevel(logging.INFO)
played = {name: play(*scenario) for name, scenario in json.loads(sys.argv[1]).items()}
with open(sys.argv[2], "w") as answer:  # what is printed, vLLM's libraries may add to
    json.dump(played, answer)
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
MAX_ADAPTERS = 50  # of plimsoll.exporters.vllm.adapters, which only the engine's Python can import
Played = dict[str, tuple[dict[str, float], list[str]]]


@pytest.fixture(scope="module", params=versions())
def engine_installation(request: pytest.FixtureRequest) -> Installation:
    """Each vLLM's environment in turn."""
    try:
        return prepare(request.param)
    except Unavailable as why:
        pytest.skip(f"no vLLM {request.param}: {why}")


@pytest.fixture(scope="module")
def played(engine_installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """All scenarios in one process, because vLLM takes long to import."""
    wrong = tmp_path_factory.mktemp("wrong") / "objectives.yaml"
    wrong.write_text("version: plimsoll/v0")
    changing, answer = wrong.with_name("changing.yaml"), wrong.with_name("answer.json")
    changing.write_text(OBJECTIVES)
    scenarios = {
        "ranks": (MODEL, "", [step(), UNSEEN, *OTHER_RANK]),
        "fault": (MODEL, "", [step(), BROKEN, step(), BROKEN, step(rank=1)]),
        "no file": (MODEL, "/nowhere/objectives.yaml", [step()]),
        "wrong file": (MODEL, str(wrong), [step()]),
        "no pool": ("other", "", [step()]),
        "choices": (MODEL, "", [{"choices": [(0.1, 3.0, 11), (0.9, 1.0, 11)]}]),
        "deployment": (MODEL, "", [{"settings": {"deployment": "v2"}}, step(), step(rank=1, ttft=0.65)]),
        "adapters": (
            MODEL,
            "",
            [
                {"settings": {"lora": "on", "deployment": "v2"}},
                *(step(adapter=name) for name in (None, "sql", "sql", *(f"a{number}" for number in range(60)))),
            ],
        ),
        "changed": (
            MODEL,
            str(changing),
            [step(), {"objectives": OBJECTIVES.replace("600ms", "500ms")}, step(), {"objectives": "nonsense"}, step()],
        ),
    }
    done = subprocess.run(
        [engine_installation.python, "-c", SCRIPT, json.dumps(scenarios), answer],
        env={**os.environ, "PYTHONPATH": str(PACKAGES)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: Played = json.loads(answer.read_text())
    return found


def test_each_rank_counts_its_own_requests_from_zero(played: Played) -> None:
    counts, said = played["ranks"]
    assert counts == {
        **{"0 chat-ttft good": 1, "0 chat-ttft bad": 1, "1 chat-ttft good": 0, "1 chat-ttft bad": 2},
        **{"0 chat-tpot good": 2, "0 chat-tpot bad": 0, "1 chat-tpot good": 1, "1 chat-tpot bad": 0},
        **{"0 chat-e2e good": 2, "0 chat-e2e bad": 0, "1 chat-e2e good": 2, "1 chat-e2e bad": 0},
        **{"0 chat-goodput good": 1, "0 chat-goodput bad": 1, "1 chat-goodput good": 0, "1 chat-goodput bad": 3},
    }
    assert said == [f"Plimsoll: evaluating 4 SLOs for {MODEL} (bundled file)"] * 2


def test_a_fault_ends_the_counting_of_that_rank_and_is_said_once(played: Played) -> None:
    counts, said = played["fault"]
    assert (counts["0 chat-e2e good"], counts["1 chat-e2e good"]) == (1, 1)
    faults = [
        line
        for line in said
        if line.startswith("Plimsoll: SLO evaluation stopped; serving continues: AttributeError: ")
    ]
    assert len(faults) == 1


@pytest.mark.parametrize(
    ("scenario", "why"), [("no file", "FileNotFoundError: .*/nowhere/"), ("wrong file", "SpecError: version: ")]
)
def test_a_wrong_objectives_file_is_said_and_nothing_is_counted(played: Played, scenario: str, why: str) -> None:
    counts, said = played[scenario]
    assert counts == {}
    assert len(said) == 2  # one rank each
    assert all(re.match(f"Plimsoll: SLO evaluation stopped; serving continues: {why}", line) for line in said)


def test_a_model_of_no_pool_is_not_counted(played: Played) -> None:
    counts, said = played["no pool"]
    nothing = "Plimsoll: no SLO of bundled file matches model other; nothing will be evaluated"
    assert (counts, said) == ({}, [nothing] * 2)


def test_a_changed_file_counts_from_then_on_and_a_wrong_one_changes_nothing(played: Played) -> None:
    counts, said = played["changed"]
    # 600 ms to the first token: good by the first file, bad by the second, and the third is none.
    assert (counts["0 chat-ttft good"], counts["0 chat-ttft bad"]) == (1, 2)
    kept = [line for line in said if line.startswith("Plimsoll: keeping previous objectives: SpecError: ")]
    assert len(kept) == 2  # one rank each


MULTIPROCESS = """
import sys
from types import SimpleNamespace
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
from vllm.v1.engine import FinishReason
from vllm.v1.metrics.stats import IterationStats, RequestStateStats
from plimsoll.exporters.vllm import plugin

logger = plugin.PlimsollStatLogger(SimpleNamespace(model_config=SimpleNamespace(served_model_name=sys.argv[1])), 0)
for _ in range(int(sys.argv[2])):
    stats = IterationStats()
    request = RequestStateStats(arrival_time=stats.iteration_timestamp - 0.5, num_generation_tokens=3)
    request.first_token_ts, request.last_token_ts = 100.0, 100.02
    stats.update_from_finished_request(FinishReason.STOP, "id", 1, None, request)
    logger.record(None, stats)
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
print("counted", registry.get_sample_value(
    "llm_objective_requests_total",
    {"model_name": sys.argv[1], "engine": "0", "objective": "chat-goodput", "outcome": "good"},
))
"""


def test_several_api_servers_count_into_one_number(engine_installation: Installation, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(PACKAGES), "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    said = [
        subprocess.run(
            [engine_installation.python, "-c", MULTIPROCESS, MODEL, requests],
            env=env,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for requests in ("3", "4")
    ]
    assert [re.findall(r"^counted (.*)$", text, re.MULTILINE) for text in said] == [["3.0"], ["7.0"]]


def test_the_choices_of_one_request_are_judged_each_by_its_own_first_token(played: Played) -> None:
    counts, _ = played["choices"]
    # The first is early and slow (0.29 s a token), the second late and quick: neither meets all limits at once.
    assert (counts["0 chat-ttft good"], counts["0 chat-ttft bad"]) == (1, 1)
    assert (counts["0 chat-goodput good"], counts["0 chat-goodput bad"]) == (0, 2)


def test_a_deployment_is_counted_apart_and_nothing_more_without_one(played: Played) -> None:
    counts, _ = played["deployment"]
    assert (counts["0 chat-ttft good"], counts["1 chat-ttft bad"]) == (1, 1)
    assert (counts["0 none v2 chat-ttft good"], counts["0 none v2 chat-ttft bad"]) == (1, 0)
    assert (counts["1 none v2 chat-ttft good"], counts["1 none v2 chat-ttft bad"]) == (0, 1)
    assert not [name for name in played["ranks"][0] if " none " in name]


def test_adapters_are_counted_one_by_one_and_beyond_a_bound_together(played: Played) -> None:
    counts, said = played["adapters"]
    rows = ((name.split(), value) for name, value in counts.items() if name.endswith("v2 chat-ttft good"))
    good = {adapter: value for (rank, adapter, *_), value in rows if rank == "0"}
    assert sum(good.values()) == counts["0 chat-ttft good"] == 63
    assert (good["sql"], good["a0"], good["other"], len(good)) == (2, 1, 60 - 48, MAX_ADAPTERS + 1)
    assert not [line for line in said if "can't" in line]
