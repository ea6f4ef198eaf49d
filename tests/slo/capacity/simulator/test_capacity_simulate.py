"""Replays against an independent simulator: serving.md section 5, made with AIConfigurator's event simulation of vLLM."""

import os
from pathlib import Path

import pytest

from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.replay import percentile, replay
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.traces import Arrival, load

MODEL = step_time.load("70b-fp8-h100-tp4")
LIMITS = ((2.0, 0.2), (1.0, 0.1), (0.45, 0.04))
# trace, scale, replicas, TTFT p50 p95 p99 and TPOT p50 p95 p99 in ms, goodput at LIMITS
ORACLE = [
    ("code", 1, 1, (1864, 17830, 33224), (301, 417, 417), (0.357, 0.251, 0.138)),
    ("code", 1, 3, (139, 1557, 4895), (13, 262, 416), (0.919, 0.856, 0.723)),
    ("code", 1, 6, (92, 381, 864), (10, 45, 204), (0.990, 0.976, 0.933)),
    ("conv", 1, 1, (83, 390, 712), (17, 37, 57), (1.000, 0.997, 0.938)),
    ("conv", 2, 1, (5653, 77776, 83344), (79, 168, 186), (0.483, 0.457, 0.263)),
    ("conv", 2, 2, (77, 294, 532), (17, 35, 51), (1.000, 1.000, 0.958)),
]


@pytest.mark.skipif("PLIMSOLL_DATA" not in os.environ, reason="needs the recorded traces: set PLIMSOLL_DATA")
@pytest.mark.parametrize(("trace", "scale", "replicas", "ttft", "tpot", "goodput"), ORACLE)
def test_a_replay_gives_what_the_reference_simulator_gave(
    trace: str, scale: int, replicas: int, ttft: tuple[int, ...], tpot: tuple[int, ...], goodput: tuple[float, ...]
) -> None:
    path = Path(os.environ["PLIMSOLL_DATA"]) / "traces" / f"AzureLLMInferenceTrace_{trace}.csv.gz"
    result = replay(load(path, scale), replicas, MODEL, Limits())
    for values, expected in ((result.ttft, ttft), (result.tpot, tpot)):
        got = [(percentile(values, share) or 0.0) * 1000 for share in (0.5, 0.95, 0.99)]
        # The table is rounded to whole milliseconds.
        assert got == [pytest.approx(value, rel=0.02, abs=1) for value in expected]
    assert [result.goodput(*limit) for limit in LIMITS] == [pytest.approx(value, abs=0.002) for value in goodput]
    assert (result.preemptions, result.rejected) == (0, 0)


def test_requests_are_dealt_in_turn_and_replicas_do_not_disturb_each_other() -> None:
    arrivals = [Arrival(0.0, 1000, 10), Arrival(0.0, 2000, 10), Arrival(0.0, 1000, 10)]
    together = replay(arrivals, 3, MODEL, Limits())
    assert together.ttft == [pytest.approx(MODEL.prefill(arrival.prompt)) for arrival in arrivals]
    first, _, third = replay(arrivals, 2, MODEL, Limits()).ttft
    assert first == third == pytest.approx(MODEL.prefill(2000))


def test_what_no_replica_can_hold_is_refused_and_is_never_good() -> None:
    result = replay([Arrival(0.0, 100, 10), Arrival(0.0, 10_000, 10)], 1, MODEL, Limits(num_blocks=100))
    assert (len(result.requests), result.rejected) == (1, 1)
    assert result.goodput(10.0, 1.0) == 0.5


def test_a_request_of_one_token_has_no_time_per_token_and_meets_any_limit_on_it() -> None:
    result = replay([Arrival(0.0, 100, 1)], 1, MODEL, Limits())
    assert result.tpot == [0.0]
    assert result.goodput(MODEL.prefill(100), 0.0) == 1.0
    assert result.goodput(MODEL.prefill(100) * 0.999, 1.0) == 0.0


def test_a_percentile_is_a_value_that_occurred() -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 3.0
    assert percentile([4.0, 1.0, 3.0, 2.0], 1.0) == 4.0
    assert percentile([], 0.5) is None


def test_no_replica_is_no_fleet() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        replay([], 0, MODEL, Limits())
