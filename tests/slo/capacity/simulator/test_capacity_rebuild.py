"""Requests rebuilt from counts: as many as were counted, with the mean and the buckets that were measured, the same each time."""

import os
from bisect import bisect_left
from collections import Counter
from math import fsum
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.replay import replay
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.synthetic_traffic import Lengths, requests, unevenness
from plimsoll.slo.capacity.simulator.traces import load

MODEL = step_time.load("70b-fp8-h100-tp4")
BOUNDS = tuple(float(digit * 10**power) for power in range(5) for digit in (1, 2, 5))  # vLLM's, up to 50,000


def told(values: list[int]) -> Lengths:
    """What a histogram keeps of lengths."""
    counts = Counter(bisect_left(BOUNDS, value) for value in values)
    return Lengths(fmean(values), BOUNDS, tuple(float(counts[index]) for index in range(len(BOUNDS) + 1)))


lengths = st.lists(st.integers(1, 120_000), min_size=1, max_size=60)


@given(st.lists(st.floats(0, 40), max_size=40), st.floats(0.5, 600))
def test_there_are_as_many_as_were_counted_each_in_its_slot(counts: list[float], slot: float) -> None:
    found = requests(counts, slot, Lengths(800), Lengths(100))
    assert abs(len(found) - fsum(counts)) <= 0.5 + 1e-6
    assert found == sorted(found, key=lambda row: row.time)
    before = 0.0
    for index, count in enumerate(counts):
        inside = sum(index * slot <= row.time < (index + 1) * slot for row in found)
        before += count - inside
        assert abs(before) <= 0.5 + 1e-6, "what is beyond a whole number goes to the next slot, and no further"


@given(lengths, lengths)
@settings(max_examples=20)
def test_every_bucket_has_its_share_and_the_mean_is_the_measured_one(prompts: list[int], outputs: list[int]) -> None:
    found = requests([3000.0], 15.0, told(prompts), told(outputs))
    for drawn, given_lengths in (([row.prompt for row in found], prompts), ([row.output for row in found], outputs)):
        before = told(given_lengths)
        after = told(drawn)
        assert fmean(drawn) == pytest.approx(fmean(given_lengths), rel=0.03, abs=1.0)
        for was, now in zip(before.counts, after.counts, strict=True):
            assert abs(was * len(drawn) / len(given_lengths) - now) <= 1


def test_the_same_counts_make_the_same_requests_and_another_seed_others() -> None:
    made = [requests([20.0, 3.0], 15.0, told([10, 700, 800]), Lengths(90), seed) for seed in (0, 0, 1)]
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_where_only_the_mean_is_known_it_is_kept_and_lengths_spread_as_far_as_it() -> None:
    found = [float(row.prompt) for row in requests([20_000.0], 15.0, Lengths(1000), Lengths(1))]
    assert fmean(found) == pytest.approx(1000, rel=0.002)
    assert fmean((value - 1000) ** 2 for value in found) ** 0.5 == pytest.approx(1000, rel=0.02)
    assert all(row.output >= 1 for row in requests([50.0], 15.0, Lengths(0.5), Lengths(0.5)))


def test_a_mean_that_the_buckets_cannot_have_is_met_as_far_as_they_can() -> None:
    found = requests([100.0], 15.0, Lengths(9000, (100.0, 200.0), (0.0, 5.0, 0.0)), Lengths(1))
    assert {row.prompt for row in found} <= set(range(198, 201))
    above = requests([100.0], 15.0, Lengths(9000, (100.0, 200.0), (0.0, 0.0, 5.0)), Lengths(1))
    assert max(row.prompt for row in above) <= 500, "vLLM's bounds end at most 2.5 times below the longest"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ((0.0,), "mean 0"),
        ((float("nan"),), "mean nan"),
        ((5.0, (1.0, 2.0), (1.0, 2.0)), "2 bounds need 3 counts, not 2"),
        ((5.0, (2.0, 1.0), (1.0, 2.0, 3.0)), "in order"),
        ((5.0, (1.0,), (1.0, -2.0)), "0 or more"),
    ],
)
def test_what_is_no_histogram_is_refused(wrong: tuple[float, tuple[float, ...], tuple[float, ...]], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Lengths(*wrong)


def test_a_count_below_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        requests([3.0, -1.0], 15.0, Lengths(5), Lengths(5))


def test_bursts_are_made_where_slots_differ_by_more_than_chance_and_only_there() -> None:
    for counts, uneven in (([100.0] * 60, False), ([200.0, 0.0, 0.0, 200.0] * 15, True)):
        made = requests(counts, 15.0, Lengths(5), Lengths(5))
        seconds = Counter(int(row.time) for row in made)
        spread = fmean((seconds[second] - len(made) / 900) ** 2 for second in range(900)) / (len(made) / 900)
        assert (unevenness(counts) > 0.1) is uneven
        assert spread > 10 if uneven else spread == pytest.approx(1, abs=0.3), "a Poisson process has variance / mean 1"
    assert unevenness([]) == unevenness([7.0]) == unevenness([0.0, 0.0]) == 0


@pytest.mark.slow
@pytest.mark.skipif("PLIMSOLL_DATA" not in os.environ, reason="needs the recorded traces: set PLIMSOLL_DATA")
@pytest.mark.parametrize(("name", "within"), [("code", 0.15), ("conv", 0.03)])
@pytest.mark.parametrize("scale", [1, 2])
def test_recorded_traffic_rebuilt_from_counts_is_served_about_as_well_as_the_recorded(
    name: str, within: float, scale: int
) -> None:
    path = Path(os.environ["PLIMSOLL_DATA"]) / "traces" / f"AzureLLMInferenceTrace_{name}.csv.gz"
    recorded = load(path, scale)
    counts = Counter(int(row.time // 15) for row in recorded)
    slots = [float(counts[index]) for index in range(max(counts) + 1)]
    rebuilt = requests(slots, 15.0, told([row.prompt for row in recorded]), told([row.output for row in recorded]))
    for replicas in (2, 3, 6):
        good = [replay(rows, replicas, MODEL, Limits()).goodput(2.0, 0.2) for rows in (recorded, rebuilt)]
        assert good[1] == pytest.approx(good[0], abs=within), (scale, replicas)
