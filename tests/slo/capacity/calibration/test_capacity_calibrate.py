"""Calibration against engines whose step times are known, and against too little to know anything."""

import json
from dataclasses import asdict
from functools import cache

import msgspec
import pytest

from calibration_world import DAY, NIGHT, POOL, Held, watched
from plimsoll.slo.capacity.calibration.fit import Calibration, calibrate
from plimsoll.slo.capacity.calibration.intervals import NAMES, ranks, selectors
from plimsoll.slo.capacity.simulator.step_time import load
from plimsoll.slo.sources import Series

MODEL, START = load("70b-fp8-h100-tp4"), 1.7e9


@cache
def an_hour(name: str = "a", slowness: float = 1.0) -> list[Series]:
    """Traffic from next to nothing to 25 at a time, prompts of all lengths among it, scraped every 15 s."""
    return Held(watched(name, MODEL.times(slowness), DAY, START)).series(selectors(POOL), 0.0, 2 * START)


def fitted(series: list[Series]) -> Calibration:
    found = calibrate(series)
    assert isinstance(found, Calibration), found
    return found


def test_the_engines_own_step_times_are_found_under_load_with_prompts_among_it() -> None:
    found = fitted(an_hour())
    assert found.median_relative_error < 0.02
    assert found.r_squared > 0.98
    assert (found.kv_cache_capacity_tokens, found.data_parallel_size, found.simulated) == (235_200, 1, True)
    assert found.base_seconds == pytest.approx(MODEL.decode_base, rel=0.02)
    low, high = found.batch_size_range
    assert low < 3
    assert high > 15
    for batch in (low, high / 4, high / 2, high):
        assert found.tpot(batch, 1200) == pytest.approx(MODEL.decode(round(batch), 1200), rel=0.1)
        assert found.model.decode(round(batch), 1200) == pytest.approx(found.tpot(round(batch), 1200))
    assert found.input_tokens_range is not None
    for prompt in map(round, found.input_tokens_range):
        assert found.model.prefill(prompt) == pytest.approx(MODEL.prefill(prompt), rel=0.15)
    assert found.error_on(an_hour()) == pytest.approx(found.median_relative_error)


def test_a_quiet_night_says_nothing_of_larger_batches() -> None:
    night = watched("a", MODEL, NIGHT, START, 1800.0)
    assert "of others nothing is known" in str(calibrate(night))


def test_replicas_unlike_the_others_are_left_out_and_named() -> None:
    found = fitted([*an_hour("a"), *an_hour("b"), *an_hour("slow", 2.6)])
    assert found.replicas == ("a", "b")
    assert found.excluded_replicas == {"slow": pytest.approx(2.6, rel=0.15)}
    assert found.base_seconds == pytest.approx(MODEL.decode_base, rel=0.02)
    alike = fitted([*an_hour("a"), *an_hour("b", 1.1)])
    assert (alike.replicas, alike.excluded_replicas) == (("a", "b"), {})


def test_a_fit_survives_being_written_and_read() -> None:
    found = fitted(an_hour())
    assert msgspec.convert(json.loads(json.dumps(asdict(found))), Calibration) == found


def test_prompts_of_one_length_are_told_by_their_tokens_alone() -> None:
    alike = msgspec.structs.replace(DAY, prompt_tokens=(1000,) * len(DAY.prompt_tokens))
    found = fitted(watched("a", MODEL, alike, START))
    assert found.seconds_per_prompt == 0
    assert found.model.prefill(1000) == pytest.approx(MODEL.prefill(1000), rel=0.15)


def test_what_is_not_published_is_named_and_nothing_is_guessed() -> None:
    assert calibrate([]) == "no replica of the pool was seen"
    without = [one for one in an_hour() if one.name != NAMES["felt"]]
    assert calibrate(without) == f"its engines do not publish {NAMES['felt']}"
    short = [Series(one.name, one.labels, one.samples[:5]) for one in an_hour()]
    assert "at least 20 are needed" in str(calibrate(short))


def page(**changed: list[float]) -> list[Series]:
    """Three scrapes, 10 s apart, of an engine that decodes 4 at a time in steps of 20 ms, each request of 500 tokens."""
    told = {
        **{"running": [4.0] * 3, "used": [0.2] * 3, "capacity": [10_000.0] * 3, "preempted": [0.0] * 3},
        **{"felt": [0.0, 40.0, 80.0], "steps": [0.0, 2000.0, 4000.0], "prompts": [0.0, 10.0, 20.0]},
        **{"prompt_tokens": [0.0, 5000.0, 10_000.0], "found": [0.0, 3000.0, 6000.0], **changed},
    }
    labels = {"replica": "a", "model": POOL.model, "engine": "vllm", "rank": "0"}
    return [
        Series(NAMES[name], labels, [(START + 10 * index, value) for index, value in enumerate(values)])
        for name, values in told.items()
        if values
    ]


def test_an_interval_is_what_running_requests_felt_and_what_had_to_be_computed() -> None:
    (rank,) = ranks(page())
    first, _ = rank.intervals
    assert (first.step, first.batch, first.kv_tokens) == pytest.approx((0.02, 4.0, 2000.0))
    assert (first.prompts, first.prompt_tokens) == pytest.approx((1.0, 200.0))  # 300 more a second were in the cache
    (behind,) = ranks(page(found_behind=[0.0, 500.0, 1000.0]))
    assert behind.intervals[0].prompt_tokens == pytest.approx(150.0)


def test_idle_time_is_no_work() -> None:
    """The same steps, in 1 s of the 10: one request after the other, nobody running at the scrapes."""
    idle = page(running=[0.0] * 3, used=[0.0] * 3, felt=[0.0, 1.0, 2.0], steps=[0.0, 50.0, 100.0])
    assert [one.step for one in ranks(idle)[0].intervals] == pytest.approx([0.02] * 2)
    assert [one.batch for one in ranks(idle)[0].intervals] == [1.0] * 2


@pytest.mark.parametrize(
    ("changed", "left"),
    [
        ({"steps": [2000.0, 0.0, 2000.0]}, 1),  # restarted
        ({"preempted": [0.0, 1.0, 1.0]}, 1),
        ({"felt": [0.0, 40.0, 40.0], "steps": [0.0, 2000.0, 2000.0]}, 1),  # nobody decoded
        ({"running": [4.0, 7.0, 4.0]}, 2),
        ({"running": [4.0, 7.5, 4.0]}, 0),  # a burst
        ({"used": [0.2, float("nan"), 0.2]}, 1),  # one interval over both
        ({"found": []}, 0),
    ],
)
def test_intervals_that_mix_unlike_steps_or_are_not_known_are_left_out(
    changed: dict[str, list[float]], left: int
) -> None:
    assert len(ranks(page(**changed))[0].intervals) == left


def test_a_time_in_which_nobody_looked_is_no_interval() -> None:
    late = [replace_last(one) for one in page()]
    assert len(ranks(late)[0].intervals) == 1


def replace_last(one: Series) -> Series:
    *first, (at, value) = one.samples
    return Series(one.name, one.labels, [*first, (at + 120, value)])


def test_a_fit_that_holds_no_more_is_seen_by_its_error() -> None:
    found = fitted(an_hour())
    error = found.error_on(an_hour(slowness=2.0))
    assert error == pytest.approx(0.5, abs=0.1)
    assert found.error_on(page()) is None
