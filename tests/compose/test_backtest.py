"""`plimsoll backtest`: one JSON object as promised, a table, and one line for bad input; recorded traffic where it is there."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from plimsoll.slo.capacity.backtest.comparison import near
from plimsoll.slo.capacity.backtest.run import Backtest
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.fleet import Setup
from plimsoll.slo.capacity.simulator.replay import percentile, replay
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.traces import Arrival, load
from process import PLIMSOLL, rejected

MODEL = step_time.load("70b-fp8-h100-tp4")
POLICIES = ("fixed:2", "plimsoll", "keda", "hpa-queue", "hpa-util", "wva", "apa", "clairvoyant")


@pytest.fixture
def trace(tmp_path: Path) -> str:
    """Ten minutes of two requests a second."""
    rows = [
        f"2023-11-16 18:{15 + second // 120:02}:{second // 2 % 60:02}.{second % 2 * 5}000000,800,40"
        for second in range(1200)
    ]
    file = tmp_path / "trace.csv"
    file.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]))
    return str(file)


def said(*arguments: str) -> str:
    done = subprocess.run([*PLIMSOLL, "backtest", *arguments], capture_output=True, text=True, timeout=100, check=True)
    assert done.stderr == "", "progress is for terminals"
    return done.stdout


def test_json_is_one_object_with_the_promised_keys_and_the_numbers_of_the_plain_replay(trace: str) -> None:
    found = json.loads(said("--trace", trace, "--scale", "4", "--policy", "fixed:1", "--json"))
    plain = replay(load(Path(trace), 4), 1, MODEL, Limits())
    assert (found["requests"], found["replica"]) == (1200, "70b-fp8-h100-tp4")
    for key, values in (("ttft_ms", plain.ttft), ("tpot_ms", plain.tpot)):
        expected = {f"p{share}": (percentile(values, share / 100) or 0) * 1000 for share in (50, 95, 99)}
        assert found[key] == {name: pytest.approx(value, abs=0.001) for name, value in expected.items()}
    assert list(found["goodput"]) == ["2000/200", "1000/100", "600/40", "450/40"]
    assert found["goodput"]["600/40"] == pytest.approx(plain.goodput(0.6, 0.04), abs=1e-6)
    assert (found["preemptions"], found["scale_events"], found["rejected"], found["lost"]) == (0, 0, 0, 0)
    seconds = max(request.finished or 0.0 for request in plain.requests)
    assert found["node_hours"] == pytest.approx(seconds / 3600, abs=1e-4)
    assert found["cost_usd"] == pytest.approx(seconds / 3600 * 4 * 2.0, abs=0.01), "four GPUs at 2 USD"


def test_every_policy_runs_and_several_make_one_table(trace: str) -> None:
    rows = [part for name in POLICIES for part in ("--policy", name)]
    text, _, note = said("--trace", trace, "--nodes", "1:3", "--cold-start", "30", *rows).partition("\n\n")
    table = text.splitlines()
    assert note == "Replica: 70b-fp8-h100-tp4.\n"
    assert [line.split("|")[1].strip() for line in table[2:]] == list(POLICIES)
    assert len({line.count("|") for line in table}) == 1


def test_copies_multiply_the_requests_in_the_same_time(trace: str) -> None:
    single, double = (
        json.loads(said("--trace", trace, "--policy", "fixed:2", "--multiply", copies, "--json")) for copies in "12"
    )
    assert (single["requests"], double["requests"]) == (1200, 2400)
    assert double["seconds"] == single["seconds"]


def test_ours_is_the_policy_when_none_is_named_and_lost_nodes_and_503_are_counted(trace: str) -> None:
    found = json.loads(
        said(
            "--trace", trace, "--scale", "8", "--nodes", "1:2", "--fail-node-after", "30", "--max-queue", "5", "--json"
        )
    )
    assert found["policy"] == "plimsoll"
    assert found["lost"] > 0
    assert found["rejected"] > 0
    assert found["goodput"]["2000/200"] <= round(1 - (found["lost"] + found["rejected"]) / 1200, 6)


def test_a_picture_shows_every_policy_and_says_what_it_is(trace: str, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.svg", "b.svg")]
    rows = [part for name in ("plimsoll", "keda", "fixed:2", "fixed:3") for part in ("--policy", name)]
    for file in files:
        said(
            "--trace",
            trace,
            "--scale",
            "8",
            "--nodes",
            "1:3",
            "--slo",
            "1000/100/95",
            *rows,
            "--chart",
            str(file),
        )
    assert files[0].read_bytes() == files[1].read_bytes()
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", files[0].read_text())
    assert "Simulated replay of trace.csv, at 8 times its rate" in texts
    assert any("95%" in text for text in texts)
    assert any("first token within 1000 ms, further ones every 100 ms" in text for text in texts)
    for name in ("plimsoll", "keda", "fixed:2", "fixed:3"):
        assert sum(name in text.split(", ") for text in texts) == 2, f"{name}: beside its mark, and above its strip"
    assert sum(text.endswith((" flaps", " flap")) for text in texts) == 4, "a strip for each"
    picture = tmp_path / "a.png"
    said("--trace", trace, "--policy", "fixed:1", "--chart", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_pool_gives_promise_nodes_price_and_a_column_for_each_of_its_objectives(trace: str) -> None:
    pool = ("--pool", "chat-70b", "--replica", "70b-fp8-h100-tp4", "--scale", "4", "--policy", "fixed:1")
    found = json.loads(said("--trace", trace, *pool, "--json"))
    objectives = found["objectives"]
    assert list(objectives) == ["chat-ttft", "chat-tpot", "chat-e2e", "chat-availability", "chat-goodput"]
    assert objectives["chat-availability"] == {"good": 1.0, "target": 0.999}
    plain = replay(load(Path(trace), 4), 1, MODEL, Limits())
    within = [
        (a <= 0.6, b <= 0.04, (r.finished or 0) - r.arrival <= 4)
        for a, b, r in zip(plain.ttft, plain.tpot, plain.requests, strict=True)
    ]
    for index, name in enumerate(("chat-ttft", "chat-tpot", "chat-e2e")):
        assert objectives[name]["good"] == pytest.approx(sum(good[index] for good in within) / 1200, abs=1e-6)
    assert objectives["chat-goodput"]["good"] == pytest.approx(sum(all(good) for good in within) / 1200, abs=1e-6)
    assert found["cost_usd"] == pytest.approx(found["node_hours"] * 4.0, abs=0.01), (
        "the pool's node, whatever the replica"
    )
    head = said("--trace", trace, *pool).splitlines()[0]
    assert "| good chat-ttft (0.95) | good chat-tpot (0.95) |" in head


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--policy", "magic"], "--policy 'magic': known are fixed:N, plimsoll, keda, hpa-queue, hpa-util, wva, apa"),
        (["--policy", "fixed:0"], "--policy 'fixed:0': known are"),
        (["--policy", "keda:0"], "--policy 'keda:0': known are"),
        (["--replica", "h900"], "--replica: no step model for replica 'h900'; known are 70b-fp8-h100-tp4"),
        (["--nodes", "3"], "--nodes '3': write MIN:MAX with 1 <= MIN <= MAX, such as 2:12"),
        (["--nodes", "3:2"], "--nodes '3:2': write MIN:MAX"),
        (["--scale", "0"], "--scale: expected a number above 0, got 0"),
        (["--scale", "nan"], "--scale: expected a number above 0, got nan"),
        (["--multiply", "0"], "--multiply 0: write a whole number, 1 or above"),
        (["--cold-start", "-1"], "--cold-start -1: write seconds above 0"),
        (["--warm-spares", "-1"], "--warm-spares -1: write a whole number, 0 or above"),
        (["--chart", "plot.pdf"], "--chart plot.pdf: write a file that ends with .svg or .png"),
        (["--chart", "/nowhere/plot.svg"], "--chart /nowhere/plot.svg: folder /nowhere doesn't exist. Create it."),
        (["--pool", "chat"], "--pool: unknown pool 'chat'. Use one of: chat-70b"),
        (["--from", "2026-11-20T18:00:00Z"], "--from requires --prometheus"),
        (["--prefix-cache", "-1"], "--prefix-cache -1: write a whole number"),
        (["--slo", "fast"], "--slo 'fast': write TTFT/TPOT/PERCENT, such as 2000/200/99"),
        (["--slo", "600/40/100"], "--slo '600/40/100': write"),
    ],
)
def test_bad_input_is_one_line(trace: str, arguments: list[str], line: str) -> None:
    assert line in rejected(["backtest", "--trace", trace, *arguments])


def test_a_trace_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    assert "No such file" in rejected(["backtest", "--trace", str(tmp_path / "none.csv")])
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n1,2\n")
    assert "expected CSV of Azure (TIMESTAMP,ContextTokens,GeneratedTokens)" in rejected(
        ["backtest", "--trace", str(wrong)]
    )


def backtest(arrivals: list[Arrival], most: int = 12) -> dict[str, dict[str, Any]]:
    test = Backtest(arrivals, Setup(MODEL, Limits(), 2, most), LatencyTarget(2.0, 0.2, 0.99), 8.0)
    return {name: test.run(name) for name in POLICIES[1:-1]}


def test_a_lasting_rise_gets_the_nodes_that_it_takes_and_no_more() -> None:
    # About nine requests a second is what a node can do; after ten minutes 27 a second come for a quarter of an hour.
    quiet = [Arrival(0.2 * index, 1100, 200) for index in range(3000)]
    arrivals = [*quiet, *(Arrival(600 + index / 27, 1100, 200) for index in range(27 * 900))]
    found = backtest(arrivals)
    ours = found["plimsoll"]
    assert ours["most_nodes"] <= 6
    for name, other in found.items():
        better = ours["goodput"]["2000/200"] >= other["goodput"]["2000/200"] - 0.001
        assert better or ours["node_hours"] < other["node_hours"], name
    assert ours["node_hours"] < min(found["keda"]["node_hours"], found["hpa-queue"]["node_hours"])


@pytest.mark.slow
@pytest.mark.timeout(300)  # 36 replays of an hour: 20 s of processor time on a quiet machine
@pytest.mark.skipif("PLIMSOLL_DATA" not in os.environ, reason="needs the recorded traces: set PLIMSOLL_DATA")
def test_on_recorded_traffic_no_published_rule_is_better_in_both_goodput_and_node_hours() -> None:
    for name in ("code", "conv"):
        for scale in (1, 2, 5):
            path = Path(os.environ["PLIMSOLL_DATA"]) / "traces" / f"AzureLLMInferenceTrace_{name}.csv.gz"
            found = backtest(load(path, scale))
            ours = found["plimsoll"]
            for other in found.values():
                good = ours["goodput"]["2000/200"] - other["goodput"]["2000/200"]
                assert good >= 0 or ours["node_hours"] < other["node_hours"], (name, scale, other["policy"])


@pytest.mark.slow
@pytest.mark.skipif("PLIMSOLL_DATA" not in os.environ, reason="needs the recorded traces: set PLIMSOLL_DATA")
@pytest.mark.parametrize("scale", [1, 2])
def test_on_smooth_traffic_ours_is_as_good_and_as_cheap_as_knowing_the_traffic(scale: int) -> None:
    path = Path(os.environ["PLIMSOLL_DATA"]) / "traces" / "AzureLLMInferenceTrace_conv.csv.gz"
    test = Backtest(load(path, scale), Setup(MODEL, Limits(), 2, 12), LatencyTarget(2.0, 0.2, 0.99), 8.0)
    schedule = test.clairvoyant()
    best, ours = test.run("clairvoyant"), test.run("plimsoll")
    bounds = test.bounds(schedule, best["goodput"]["2000/200"])
    assert near(ours, best, bounds, "2000/200").word == "same"
    assert bounds.constant == pytest.approx(best["node_hours"], rel=0.01), "smooth: nothing is to be known ahead"


def test_bounds_say_what_foresight_is_worth_on_a_burst_that_a_cold_node_would_miss() -> None:
    # Two quiet minutes at a time, and a minute in which one node drowns; a node takes 150 s.
    arrivals = [
        Arrival(180.0 * turn + second, 2000, 50)
        for turn in range(4)
        for second in [*(float(index) for index in range(120)), *(120 + index / 12 for index in range(720))]
    ]
    test = Backtest(arrivals, Setup(MODEL, Limits(), 1, 4), LatencyTarget(2.0, 0.2, 0.99), 8.0)
    schedule = test.clairvoyant()
    best = test.goodput(schedule)
    bounds = test.bounds(schedule, best)
    assert best > 0.98
    assert bounds.rush < 0.9, "the first burst comes before any node that is ordered when it begins"
    assert bounds.constant is not None
    assert bounds.late <= best
