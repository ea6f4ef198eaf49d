"""Whether one variant is worse than another, at any time and however often it is asked: a time-uniform confidence sequence.

A test with a fixed level that is read again and again errs far more often than its level. Here the level holds for all readings
together: Robbins' normal mixture boundary (Robbins 1970; Howard et al. 2021, "Time-uniform, nonparametric, nonasymptotic confidence
sequences", equation 3.7) for the sum of the slots' differences. Slots are strata: what makes both variants worse at the same time,
such as a burst of traffic, cancels out. Bursts that hit one variant alone widen the interval by the differences' observed dispersion.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import Literal, NamedTuple, get_args

Verdict = Literal["worse", "not_worse", "undecided"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
LEVEL = 0.05  # probability that the interval ever misses the true difference
MIN_VARIANCE = 3.0  # so few bad requests don't show their variance: less counts as this
TUNING = 30.0  # variance at which the boundary is tightest: about an hour of a canary; it must not depend on the data
MIN_SLOTS = 6  # without half an hour, a burst that hit one variant looks like a difference
PRIOR_SLOTS = 3  # slots of dispersion 1 that the observed dispersion is shrunk towards


class Stratum(NamedTuple):
    """Bad and total requests of both variants in one slot."""

    bad_a: int
    total_a: int
    bad_b: int
    total_b: int


@dataclass(frozen=True, slots=True)
class Sequential:
    """Bad ratio of the second variant minus that of the first, its interval at any time, and what follows for a margin."""

    difference: float
    low: float
    high: float
    slots: int
    verdict: Verdict


def sequential(strata: Sequence[Stratum], margin: float) -> Sequential | None:
    """Compare two variants over the slots so far; None until both have served requests in a slot.

    `worse`: the whole interval is above 0. `not_worse`: it is below `margin`, the largest difference of bad ratios that is accepted.
    """
    both = [one for one in strata if one.total_a and one.total_b]
    if not both:
        return None
    weights = [one.total_a * one.total_b / (one.total_a + one.total_b) for one in both]
    differences = [one.bad_b / one.total_b - one.bad_a / one.total_a for one in both]
    pooled = [(one.bad_a + one.bad_b) / (one.total_a + one.total_b) for one in both]
    information = [weight * ratio * (1 - ratio) for weight, ratio in zip(weights, pooled, strict=True)]
    weight, total = sum(weights), sum(w * d for w, d in zip(weights, differences, strict=True))
    mean = total / weight
    variance = max(MIN_VARIANCE, sum(information) * _dispersion(weights, differences, information, mean))
    if len(both) < MIN_SLOTS:
        return Sequential(mean, -1.0, 1.0, len(both), "undecided")
    width = sqrt((variance + TUNING) * log((variance + TUNING) / (TUNING * LEVEL**2))) / weight
    low, high = max(-1.0, mean - width), min(1.0, mean + width)
    verdict: Verdict = "worse" if low > 0 else "not_worse" if high < margin else "undecided"
    return Sequential(mean, low, high, len(both), verdict)


def _dispersion(
    weights: Sequence[float], differences: Sequence[float], information: Sequence[float], mean: float
) -> float:
    """Return how much more the slots' differences vary than independent requests would, at least 1."""
    squares = [
        (weight * (difference - mean)) ** 2 / known
        for weight, difference, known in zip(weights, differences, information, strict=True)
        if known
    ]
    if len(squares) < 2:
        return 1.0
    return max(1.0, (sum(squares) + PRIOR_SLOTS) / (len(squares) - 1 + PRIOR_SLOTS))
