"""Rollouts with known truth: the verdict may be read after every slot."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from plimsoll.slo.sli.sequential import MIN_SLOTS, Sequential, Stratum, sequential

HOUR, DAY = 12, 288  # slots
MARGIN = 0.01  # a fifth of what a target of 95% allows
Chance = np.random.Generator


def served(chance: Chance, bad: tuple[float, float], rates: tuple[float, float] = (2.5, 2.5)) -> Stratum:
    """A slot of two versions: Poisson traffic, and each request bad with its version's probability."""
    totals = [int(chance.poisson(rate * 300)) for rate in rates]
    bads = [int(chance.binomial(total, ratio)) for total, ratio in zip(totals, bad, strict=True)]
    return Stratum(bads[0], totals[0], bads[1], totals[1])


def readings(slots: int, slot: Callable[[], Stratum]) -> Iterator[tuple[int, Sequential]]:
    """The comparison after each slot."""
    strata = []
    for number in range(1, slots + 1):
        strata.append(slot())
        found = sequential(strata, MARGIN)
        if found is not None:
            yield number, found


def first(slots: int, verdict: str, slot: Callable[[], Stratum]) -> int | None:
    """The number of slots after which a verdict is read for the first time."""
    return next((number for number, found in readings(slots, slot) if found.verdict == verdict), None)


@pytest.mark.parametrize(
    ("bad", "rates", "burst"),
    [(0.05, (2.5, 2.5), 0.0), (0.05, (4.75, 0.25), 0.0), (0.001, (2.5, 2.5), 0.0), (0.05, (2.5, 2.5), 0.15)],
    ids=["equal shares", "a canary of 5%", "0.1% bad", "bursts that hit both"],
)
def test_no_difference_is_called_worse_at_most_5_percent_of_the_time_however_often_it_is_read(
    bad: float, rates: tuple[float, float], burst: float
) -> None:
    chance = np.random.default_rng(1)

    def slot() -> Stratum:
        now = bad + (burst if chance.random() < 0.1 else 0)
        return served(chance, (now, now), rates)

    assert sum(first(DAY // 2, "worse", slot) is not None for _ in range(200)) <= 10


def test_bursts_that_hit_one_version_alone_are_no_difference() -> None:
    chance = np.random.default_rng(2)

    def slot() -> Stratum:
        own = [0.05 + (0.1 if chance.random() < 0.1 else 0) for _ in range(2)]
        return served(chance, (own[0], own[1]))

    assert sum(first(DAY // 2, "worse", slot) is not None for _ in range(200)) <= 10


def test_two_points_worse_is_told_within_an_hour_and_is_never_promoted() -> None:
    chance = np.random.default_rng(3)
    found = [first(HOUR, "worse", lambda: served(chance, (0.05, 0.07))) for _ in range(200)]
    assert sum(number is not None for number in found) >= 190
    promoted = [first(DAY // 2, "not_worse", lambda: served(chance, (0.05, 0.07))) for _ in range(100)]
    assert promoted == [None] * 100


def test_a_version_as_good_as_the_old_one_is_promoted_within_three_hours() -> None:
    chance = np.random.default_rng(4)
    found = [first(3 * HOUR, "not_worse", lambda: served(chance, (0.05, 0.05))) for _ in range(100)]
    assert sum(number is not None for number in found) >= 95


def test_the_interval_covers_the_true_difference_at_all_readings_together() -> None:
    chance, missed = np.random.default_rng(5), 0
    for _ in range(200):
        every = readings(DAY // 4, lambda: served(chance, (0.05, 0.06)))
        missed += any(not found.low <= 0.01 <= found.high for _, found in every)
    assert missed <= 10


def test_without_enough_it_is_undecided() -> None:
    alike, worst = Stratum(0, 750, 0, 750), Stratum(0, 750, 750, 750)
    assert sequential([], MARGIN) is None
    assert sequential([Stratum(3, 5, 0, 0)], MARGIN) is None
    few = sequential([worst] * (MIN_SLOTS - 1), MARGIN)
    enough = sequential([worst] * MIN_SLOTS, MARGIN)
    early, nothing_bad = sequential([Stratum(0, 20, 0, 20)] * MIN_SLOTS, MARGIN), sequential([alike] * HOUR, MARGIN)
    assert few is not None and (few.verdict, few.low, few.high) == ("undecided", -1.0, 1.0)
    assert enough is not None and enough.verdict == "worse" and enough.difference == 1.0
    assert early is not None and early.verdict == "undecided"
    assert nothing_bad is not None and nothing_bad.verdict == "not_worse"
