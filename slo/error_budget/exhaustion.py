"""When an error budget runs out at today's pace, with an interval: a pure function of counted requests.

What leaves a rolling window is known, so it gives its part of the budget back exactly. Only what comes is uncertain: as many requests
as in the last day, at the same time of day, of which the last day's share is bad. Bad requests come in bursts, so they say less than
as many independent ones would. By how much is the design effect (Rao and Scott, "A simple method for the analysis of clustered
binary data", Biometrics 48, 1992): here the dispersion of blocks of four hours about each day's own share, pooled over a week.
Counts are divided by it, and the bad requests to come by a time t have the quantiles of a Poisson count's prediction from them:
gamma, its mean t times the pace and its variance that of what comes and of what was seen, with the shapes of Garwood's interval (the count
for the lower bound, the count and one for the upper; Biometrika 28, 1936) and the quantile by Wilson and Hilferty (1931).
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
LOOKBACK = 86400.0  # seconds whose pace is taken: a whole day, or the time of day would be taken for a change
BLOCK = 4 * 3600  # seconds: longer than most bursts, so that one is seldom in two blocks
PER_DAY = 6  # blocks
SPREAD_DAYS = 7  # days that tell how bursty bad requests are
LEAST_COVERAGE = 0.75  # of the look-back; with less of it observed the pace is not known
METHOD = "Poisson prediction of the last day's bad share, by Rao and Scott's design effect of 4 h blocks over 7 d"
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True, slots=True)
class Exhaustion:
    """When the budget is spent, in seconds from now, all at the pace of the last LOOKBACK seconds.

    `earliest` and `latest` hold the moment with CONFIDENCE; None: not before the end of the window (a rolling one's length from now,
    by when all of it is of today's pace). `seconds` is None too where the budget holds, and 0 where it is spent. `coverage` is the
    observed share of the look-back.
    """

    state: State
    coverage: float
    seconds: float | None = None
    earliest: float | None = None
    latest: float | None = None


def exhaustion(
    objective: Objective, counted: RequestCounts, leaving: Numbers, blocks: Numbers, ends_in: float | None
) -> Exhaustion:
    """Tell when an objective's budget runs out; `counted` is its window so far. Unclear requests (plimsoll.slo.sli.bucket_bounds) are taken for bad, so that
    it may run out later; where that decides whether it has run out already, nothing is known.

    `leaving` has a row (seconds from now until it has left the window, bad, total) for each piece of a rolling window, in order of
    time; a calendar window, of which nothing leaves, gives `ends_in` seconds instead. `blocks` has a row (bad, total, observed
    seconds, seconds that count) for each BLOCK of the last SPREAD_DAYS days, the newest last.
    """
    today = blocks[-PER_DAY:]
    countable = today[:, 3].sum()
    coverage = min(1.0, float(today[:, 2].sum() / countable)) if countable > 0 else 0.0
    slack = objective.budget_ratio * counted.total - counted.bad
    if counted.total and objective.budget_ratio * counted.total <= counted.at_best.bad:
        return Exhaustion("exhausted", coverage, 0.0, 0.0, 0.0)
    if slack <= 0 or coverage < LEAST_COVERAGE:
        return Exhaustion("unknown", coverage)
    if ends_in is not None:
        leaving = np.zeros((max(1, int(ends_in // 3600) + 1), 3))
        leaving[:, 0] = np.minimum(np.arange(1, len(leaving) + 1) * 3600.0, ends_in)
    arriving = _arriving(leaving[:, 0], today)
    given_back = np.cumsum(leaving[:, 1] - objective.budget_ratio * leaving[:, 2])
    room = slack + given_back + objective.budget_ratio * arriving
    room[counted.total - np.cumsum(leaving[:, 2]) + arriving <= 0] = np.inf  # a window without a request spends nothing
    comes = _bad(arriving, today, _design_effect(blocks))
    likely, most, least = (_first(leaving[:, 0], slack, room - bad) for bad in comes)
    return Exhaustion("will_not_exhaust" if likely is None else "will_exhaust", coverage, likely, most, least)


def _arriving(at: Numbers, today: Numbers) -> Numbers:
    """Requests that come until each moment, if every day is like today; what was not observed was like the rest of it."""
    rate = today[:, 1].sum() / today[:, 2].sum()
    seen = today[:, 2] > BLOCK / 2
    each = np.where(seen, today[:, 1] / np.where(seen, today[:, 2], 1.0), rate) * BLOCK
    days, rest = np.divmod(at, LOOKBACK)
    so_far = np.concatenate([[0.0], np.cumsum(each)])
    return np.asarray(days * so_far[-1] + np.interp(rest, np.arange(PER_DAY + 1) * float(BLOCK), so_far))


def _design_effect(blocks: Numbers) -> float:
    """How many times as much the blocks' bad requests vary as independent ones would: Pearson's statistic by its degrees of freedom,
    each day about its own share, weighted by its bad requests. At least 1."""
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
    """Bad requests among those that come until each moment: at the pace, and the quantiles above and below it."""
    count, total = float(today[:, 0].sum()), max(float(today[:, 1].sum()), 1.0)
    times = arriving / total
    likely = count * times
    most, least = (_quantile(count / effect + more, times, z) * effect for more, z in ((1, _Z), (0, -_Z)))
    return likely, np.clip(most, likely, arriving), np.minimum(least, likely)


def _quantile(seen: float, times: Numbers, z: float) -> Numbers:
    """Gamma's quantile at a normal quantile `z`, of a count to come in so many times the time in which `seen` came."""
    shape = np.maximum(seen * times / (1 + times), 1e-9)
    cube = 1 - 1 / (9 * shape) + z / (3 * np.sqrt(shape))  # Wilson and Hilferty, Proceedings of the NAS 17, 1931
    return np.asarray(seen * times * np.maximum(0.0, cube) ** 3)


def _first(at: Numbers, now: float, left: Numbers) -> float | None:
    """The first moment at which nothing is left, between two known moments by a straight line; `now` is left now."""
    hit = int(np.argmax(left <= 0))
    if left[hit] > 0:
        return None
    begin, before = (at[hit - 1], left[hit - 1]) if hit else (0.0, now)
    return float(at[hit] if np.isinf(before) else begin + (at[hit] - begin) * before / (before - left[hit]))
