"""Prefill and decode as a pair: exact times of both stages, a pair that holds in a simulation of both together, and one node fewer that doesn't."""

import json
from dataclasses import replace
from functools import cache

import pytest

from plimsoll.compose.cli import main
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.prefill_decode import serve
from plimsoll.slo.capacity.simulator.replay import Result
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.step_time import StepModel
from plimsoll.slo.capacity.simulator.traces import Arrival
from plimsoll.slo.capacity.whatif import drawn_traffic
from plimsoll.slo.capacity.whatif.drawn_traffic import arrivals, limits_of
from plimsoll.slo.capacity.whatif.prefill_decode import PairResult, sized_pair
from plimsoll.slo.capacity.whatif.request_mix import Kind
from plimsoll.slo.capacity.whatif.scenario import Scenario, room

EXACT = StepModel(0.1, 0.0, 0.0, 0.02, 0.0, 0.0)  # 100 ms a prompt step, 20 ms a decode step
LINK = 1e-5  # seconds a token
GB = 1e9
ROOMY = Limits()
LONG = Scenario(
    *("70b-fp8-h100-tp4", (Kind(4000, 200),), LatencyTarget(2.0, 0.03, 0.95), 40.0),
    kv_transfer_bytes_per_second=12.5 * GB,
)


def served(*coming: Arrival, pair: tuple[int, int] = (1, 1), limits: Limits = ROOMY, link: float = LINK) -> Result:
    return serve(coming, pair, EXACT, limits, link)


def test_a_lone_request_takes_prompt_transfer_and_its_decode_steps() -> None:
    (one,) = served(Arrival(5.0, 1000, 11)).requests
    assert one.ttft == pytest.approx(0.1 + 0.01 + 0.02)
    assert one.tpot == pytest.approx(0.02)
    assert one.finished == pytest.approx(5.0 + 0.13 + 10 * 0.02)


def test_a_prompt_delays_no_token_of_others_as_it_would_in_one_engine() -> None:
    first, second = served(Arrival(0.0, 1000, 101), Arrival(1.0, 1000, 11)).requests
    assert first.tpot == pytest.approx(0.02)
    assert second.ttft == pytest.approx(0.13, abs=0.02)


def test_prompts_wait_for_the_prefill_engine_and_for_its_link() -> None:
    together = [Arrival(0.0, 8000, 2), Arrival(0.0, 8000, 2)]
    queued = [one.ttft for one in served(*together).requests]
    assert queued == pytest.approx([0.1 + 0.08 + 0.02, 0.2 + 0.08 + 0.02])
    slow = [one.ttft for one in served(*together, link=1e-4).requests]
    assert slow == pytest.approx([0.1 + 0.8 + 0.02, 0.1 + 1.6 + 0.02])
    # Two links that send at once, and one that takes in.
    assert [one.ttft for one in served(*together, pair=(2, 1), link=1e-4).requests] == pytest.approx([0.92, 1.72])
    assert [one.ttft for one in served(*together, pair=(2, 2), link=1e-4).requests] == pytest.approx([0.92, 0.92])


def test_decode_waits_for_room_and_computes_again_what_it_pushed_out() -> None:
    coming = [Arrival(0.0, 1600, 17), Arrival(0.0, 1600, 17)]
    # Blocks for one request at a time: the other waits for its 17 steps.
    alone = served(*coming, limits=Limits(num_blocks=110)).requests
    assert (alone[1].ttft or 0) - (alone[0].ttft or 0) > 16 * 0.02
    both = served(*coming, limits=Limits(num_blocks=240)).requests
    assert (both[1].ttft or 0) - (both[0].ttft or 0) < 0.11
    # Room for both prompts, not for the block that each needs next.
    pushed = served(*coming, limits=Limits(num_blocks=201)).requests
    assert [one.preemptions for one in pushed] == [0, 1]
    assert (pushed[1].finished or 0) - (pushed[0].finished or 0) > 0.1, "its prompt is computed again"


def test_no_engine_of_a_role_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 of each"):
        served(Arrival(0.0, 10, 2), pair=(1, 0))


def attained(scenario: Scenario, pair: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> float:
    """The ratio within the target in a simulation of the whole pair."""
    monkeypatch.setattr(drawn_traffic, "REQUESTS", 1000 * max(pair))
    limits, link = limits_of(scenario, room(scenario)), 327_680 / (12.5 * GB)
    assert limits is not None
    coming = list(arrivals(scenario, limits, scenario.rate, 7))
    found = serve(coming, pair, step_time.load(scenario.replica), limits, link)
    return found.goodput(scenario.target.ttft, scenario.target.tpot)


@cache
def sized(scenario: Scenario) -> PairResult:
    found = sized_pair(scenario)
    assert found is not None
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "scenario",
    [
        LONG,
        replace(LONG, mix=(Kind(500, 200, 0.7), Kind(6000, 300, 0.3)), rate=20.0),
        replace(LONG, mix=(Kind(500, 1000),), rate=60.0, target=LatencyTarget(0.6, 0.03, 0.95)),
    ],
)
def test_the_pair_holds_when_both_are_simulated_and_a_node_fewer_of_either_does_not(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = sized(scenario).slowest
    prefill, decode = pair.prefill_nodes, pair.decode_nodes
    assert attained(scenario, (prefill, decode), monkeypatch) >= 0.95
    assert attained(scenario, (prefill - 1, decode), monkeypatch) < 0.95
    assert attained(scenario, (prefill, decode - 1), monkeypatch) < 0.95


@pytest.mark.slow
def test_what_binds_moves_with_prompts_answers_and_room() -> None:
    answers = replace(LONG, mix=(Kind(100, 1500),), rate=20.0, target=LatencyTarget(2.0, 0.015, 0.95))
    assert (sized(LONG).slowest.binding_role, sized(LONG).slowest.binding_reason) == ("prefill", "ttft")
    by_steps, by_room = sized(answers).slowest, sized(replace(answers, max_num_seqs=32)).slowest
    assert (by_steps.binding_role, by_steps.binding_reason) == ("decode", "tpot")
    assert (by_room.binding_role, by_room.binding_reason) == ("decode", "kv_cache")
    assert by_room.decode_nodes > by_steps.decode_nodes
    assert by_steps.decode_per_prefill > 1 > sized(LONG).slowest.decode_per_prefill


@pytest.mark.slow
def test_a_slow_link_needs_more_prefill_and_no_pair_meets_what_the_transfer_alone_breaks() -> None:
    fast_link, slow_link = sized(LONG), sized(replace(LONG, kv_transfer_bytes_per_second=2.5 * GB))
    assert slow_link.kv_transfer_seconds == pytest.approx(5 * fast_link.kv_transfer_seconds)
    assert slow_link.slowest.prefill_nodes > fast_link.slowest.prefill_nodes
    assert sized_pair(replace(LONG, kv_transfer_bytes_per_second=0.5 * GB)) is None
    assert sized_pair(replace(LONG, kv_transfer_bytes_per_second=None)) is None


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_huge_rate_and_kinds_that_no_pair_serves_come_to_an_end() -> None:
    pair = sized(replace(LONG, rate=100_000.0)).slowest
    # Dealt in turn, requests come more regularly to a replica than those by which its highest rate is measured.
    assert 75_000 <= pair.prefill_nodes * pair.max_requests_per_second_prefill <= 105_000
    assert 75_000 <= pair.decode_nodes * pair.max_requests_per_second_decode <= 105_000
    never = replace(LONG, rate=5_000.0, mix=(Kind(500, 200, 0.92), Kind(60_000, 200, 0.08)))
    assert sized_pair(never) is None


@pytest.mark.slow
def test_the_command_prints_the_pair_and_what_limits_it(capsys: pytest.CaptureFixture[str]) -> None:
    lengths = ("--input-tokens", "4000", "--output-tokens", "20", "--concurrency", "1")
    asked = (*lengths, "--slo", "2000/200/95", "--request-rate", "10", "--disaggregated")
    assert main(["whatif", *asked]) == 0
    printed = capsys.readouterr().out
    assert "KV transfer: 4,000 tokens x 327,680 bytes / 12.5 GB/s = 104.9 ms to first token" in printed
    assert "role that limits      prefill: time of prompts" in printed
    assert main(["whatif", *asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["prefill_decode"]
    assert found["slowest"]["attainment"] >= 0.95
    assert main(["whatif", "--kv-transfer-gb-per-second", "0"]) == 2
    assert "--kv-transfer-gb-per-second: expected a number above 0" in capsys.readouterr().err
