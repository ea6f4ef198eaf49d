"""Time to exhaustion of an error budget at the bad ratio of the last day, with an interval. A pure function of request counts.

The requests that leave a rolling window are known: the budget that they free is exact. Only future requests are uncertain. They
are assumed to repeat the last day's rate by time of day, with its bad ratio. Bad requests come in bursts, so they carry less
information than independent ones, by the design effect (Rao and Scott, "A simple method for the analysis of clustered
binary data", Biometrics 48, 1992): here the dispersion of 4 h blocks around each day's bad ratio, pooled over a week.
Counts are divided by it. Future bad requests up to a time t have the quantiles of a Poisson prediction from these counts: a gamma
distribution with mean t times the rate and the variance of both the past and the future count. Its shapes are those of Garwood's
interval (the count for the lower bound, the count plus one for the upper; Biometrika 28, 1936), its quantile that of Wilson and
Hilferty (1931).
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plimsoll.slo.error_budget.budget import RequestCounts
from plimsoll.slo.spec.objectives import Objective

State = Literal["exhausted", "will_exhaust", "will_not_exhaust", "unknown"]
Numbers = NDArray[np.float64]

CONFIDENCE = 0.9
LOOKBACK = 86400.0  # seconds: a whole day, so that the time of day does not look like a change
BLOCK = 4 * 3600  # seconds: longer than most bursts
PER_DAY = 6  # blocks
SPREAD_DAYS = 7  # days from which the burstiness is estimated
LEAST_COVERAGE = 0.75  # observed share of the look-back below which the result is unknown
METHOD = "Poisson prediction of the last day's bad share, by Rao and Scott's design effect of 4 h blocks over 7 d"
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True, slots=True)
class Exhaustion:
    """Time to exhaustion in seconds from now, at the bad ratio of the last LOOKBACK seconds.

    The moment lies between `earliest` and `latest` with CONFIDENCE. None: not before the end of the window (for a rolling window, its
    length from now). `seconds` is None if the budget is not projected to exhaust, 0 if it is exhausted. `coverage` is the observed
    share of the look-back, 0 to 1.
    """

    state: State
    coverage: float
    seconds: float | None = None
    earliest: float | None = None
    latest: float | None = None


def exhaustion(
    objective: Objective, counted: RequestCounts, leaving: Numbers, blocks: Numbers, ends_in: float | None
) -> Exhaustion:
    """Return the time to exhaustion of an objective's budget; `counted` is its window so far.

    Indeterminate requests (plimsoll.slo.sli.bucket_bounds) count as bad, so the real time may be later. The state is unknown if they
    decide whether the budget is exhausted already.

    `leaving` has a row (seconds from now until it has left the window, bad, total) for each piece of a rolling window, in order of
    time. For a calendar window, `ends_in` is the seconds to its end instead. `blocks` has a row (bad, total, observed
    seconds, seconds that count) for each BLOCK of the last SPREAD_DAYS days, the newest last.
    """
    today = blocks[-PER_DAY:]
    countable = today[:, 3].sum()
    coverage = min(1.0, float(today[:, 2].sum() / countable)) if countable > 0 else 0.0
    slack = objective.budget_ratio * counted.total - counted.bad
    if counted.total and objective.budget_ratio * counted.total <= counted.upper_bound.bad:
        return Exhaustion("exhausted", coverage, 0.0, 0.0, 0.0)
    if slack <= 0 or coverage < LEAST_COVERAGE:
        return Exhaustion("unknown", coverage)
    if ends_in is not None:
        leaving = np.zeros((max(1, int(ends_in // 3600) + 1), 3))
        leaving[:, 0] = np.minimum(np.arange(1, len(leaving) + 1) * 3600.0, ends_in)
    arriving = _arriving(leaving[:, 0], today)
    given_back = np.cumsum(leaving[:, 1] - objective.budget_ratio * leaving[:, 2])
    room = slack + given_back + objective.budget_ratio * arriving
    room[counted.total - np.cumsum(leaving[:, 2]) + arriving <= 0] = (
        np.inf
    )  # a window without requests consumes no budget
    comes = _bad(arriving, today, _design_effect(blocks))
    likely, most, least = (_first(leaving[:, 0], slack, room - bad) for bad in comes)
    return Exhaustion("will_not_exhaust" if likely is None else "will_exhaust", coverage, likely, most, least)


def _arriving(at: Numbers, today: Numbers) -> Numbers:
    """Return the requests that arrive until each moment if every day repeats the last one. Unobserved time takes its mean rate."""
    rate = today[:, 1].sum() / today[:, 2].sum()
    seen = today[:, 2] > BLOCK / 2
    each = np.where(seen, today[:, 1] / np.where(seen, today[:, 2], 1.0), rate) * BLOCK
    days, rest = np.divmod(at, LOOKBACK)
    so_far = np.concatenate([[0.0], np.cumsum(each)])
    return np.asarray(days * so_far[-1] + np.interp(rest, np.arange(PER_DAY + 1) * float(BLOCK), so_far))


def _design_effect(blocks: Numbers) -> float:
    """Return the variance of the blocks' bad requests relative to independent ones, at least 1: Pearson's statistic by its degrees of
    freedom, each day around its own bad ratio, weighted by its bad requests."""
    days = blocks.reshape(SPREAD_DAYS, PER_DAY, 4)
    bad, total = days[..., 0], days[..., 1]
    sums = total.sum(axis=1)
    share = np.divide(bad.sum(axis=1), sums, out=np.zeros(SPREAD_DAYS), where=sums > 0)[:, None]
    variance = share * (1 - share) * total
    pearson = np.divide((bad - share * total) ** 2, variance, out=np.zeros_like(variance), where=variance > 0).sum(
        axis=1
    )
    free = np.maximum(0, (variance > 0).sum(axis=1) - 1)
    weight = bad.sum(axis=1)
    return max(1.0, float((weight * pearson).sum() / (weight * free).sum())) if (weight * free).any() else 1.0


def _bad(arriving: Numbers, today: Numbers, effect: float) -> tuple[Numbers, Numbers, Numbers]:
    """Return the bad requests until each moment: expected, upper quantile, and lower quantile."""
    count, total = float(today[:, 0].sum()), max(float(today[:, 1].sum()), 1.0)
    times = arriving / total
    likely = count * times
    most, least = (_quantile(count / effect + more, times, z) * effect for more, z in ((1, _Z), (0, -_Z)))
    return likely, np.clip(most, likely, arriving), np.minimum(least, likely)


def _quantile(seen: float, times: Numbers, z: float) -> Numbers:
    """Return the gamma quantile, at the normal quantile `z`, of a future count in `times` times the time in which `seen` came."""
    shape = np.maximum(seen * times / (1 + times), 1e-9)
    cube = 1 - 1 / (9 * shape) + z / (3 * np.sqrt(shape))  # Wilson and Hilferty, Proceedings of the NAS 17, 1931
    return np.asarray(seen * times * np.maximum(0.0, cube) ** 3)


def _first(at: Numbers, now: float, left: Numbers) -> float | None:
    """Return the first moment with no budget remaining, interpolated linearly; `now` is the budget remaining now. None: never."""
    hit = int(np.argmax(left <= 0))
    if left[hit] > 0:
        return None
    begin, before = (at[hit - 1], left[hit - 1]) if hit else (0.0, now)
    return float(at[hit] if np.isinf(before) else begin + (at[hit] - begin) * before / (before - left[hit]))
