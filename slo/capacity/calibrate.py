"""The step time of a pool that runs, fitted to its own metrics.

Requests that decode feel all that a step does: what they felt in each interval between two scrapes (slo.capacity.intervals) is
one line of a least-squares fit of relative errors, for the terms of slo.capacity.calibration.
"""

from collections.abc import Mapping, Sequence
from statistics import median, median_low

import numpy as np
from numpy.typing import NDArray

from slo import catalogue
from slo.capacity.calibration import ENOUGH, TERMS, Calibration, Range, parts
from slo.capacity.intervals import Interval, Rank, ranks
from slo.capacity.strength import ALIKE
from slo.sources import Series

Floats = NDArray[np.float64]
SPREAD = 2.0  # times that the largest batches must be larger than the smallest: below, nothing is known of others
EDGE = 5.0  # percent of the intervals beyond either end of the range that counts as seen


def calibrate(series: Sequence[Series]) -> Calibration | str:
    """Fit a pool's steps to the raw series that slo.capacity.intervals.selectors select; or say in words why they tell too little.

    Replicas are fitted together. Where steps of some take more than ALIKE times as long as those of others, those unlike the
    median one are left out and named.
    """
    watched = ranks(series)
    seen = [one for rank in watched for one in rank.intervals]
    why = _too_little(watched, seen)
    if why:
        return why
    factors = _factors(seen)
    left_out: dict[str, float] = {}
    if max(factors.values()) > ALIKE * min(factors.values()):
        middle = median_low(factors.values())
        left_out = {
            name: factor / middle for name, factor in factors.items() if not 1 / ALIKE <= factor / middle <= ALIKE
        }
        seen = [one for one in seen if one.replica not in left_out]
        why = _too_little(watched, seen)
        if why:
            return f"{why}, without replicas unlike the others: {', '.join(left_out)}"
    simulated = any(
        name == catalogue.REPLICA_INFO.name and labels.get("simulated") == "true" for name, labels, _ in series
    )
    used = [rank for rank in watched if rank.intervals and rank.replica not in left_out]
    return _described(seen, used, left_out, simulated)


def _too_little(watched: Sequence[Rank], seen: Sequence[Interval]) -> str | None:
    """Say why a fit would mean nothing, if so."""
    if not watched:
        return "no replica of the pool was seen"
    missing = sorted({name for rank in watched for name in rank.missing})
    if missing and not any(not rank.missing for rank in watched):
        return f"its engines do not publish {', '.join(missing)}"
    if len(seen) < ENOUGH:
        return (
            f"{len(seen)} intervals between two scrapes had a steady batch that decoded; at least {ENOUGH} are needed"
        )
    low, high = _range([one.batch for one in seen])
    if high < SPREAD * low:
        return f"only batches of {low:.1f} to {high:.1f} requests were seen; of others nothing is known"
    return None


def _factors(seen: Sequence[Interval]) -> dict[str, float]:
    """How many times as long as fitted together the steps of each replica take that was seen often enough."""
    steps = np.array([one.step for one in seen])
    terms = _terms(seen)
    ratios = steps / (terms @ _fit(terms, steps))
    by_replica: dict[str, list[float]] = {}
    for one, ratio in zip(seen, ratios, strict=True):
        by_replica.setdefault(one.replica, []).append(float(ratio))
    return {name: median(own) for name, own in by_replica.items() if len(own) >= ENOUGH} or {"": 1.0}


def _described(
    seen: Sequence[Interval], used: Sequence[Rank], left_out: Mapping[str, float], simulated: bool
) -> Calibration:
    terms, steps = _terms(seen), np.array([one.step for one in seen])
    found = _fit(terms, steps)
    predicted = terms @ found
    spread = float(((steps - steps.mean()) ** 2).sum())
    unexplained = float(((steps - predicted) ** 2).sum())
    lengths = [one.prompt_tokens / one.prompts for one in seen if one.prompts and one.prompt_tokens]
    of_units = [rank.unit for rank in used]
    return Calibration(
        **dict(zip(TERMS, map(float, found), strict=True)),
        r_squared=1 - unexplained / spread if spread else 0.0,
        error=float(np.median(np.abs(predicted - steps) / steps)),
        intervals=len(seen),
        since=min(one.start for one in seen),
        until=max(one.end for one in seen),
        batches=_range([one.batch for one in seen]),
        contexts=_range([one.kv_tokens / one.batch for one in seen]),
        prompts=_range(lengths) if lengths else None,
        replicas=tuple(sorted({rank.replica for rank in used})),
        left_out=dict(left_out),
        kv_tokens=round(median_low(rank.kv_capacity or 0.0 for rank in used)),
        most_running=round(max(rank.most_running for rank in used)),
        ranks=max(of_units.count(one) for one in of_units),
        simulated=simulated,
    )


def _terms(seen: Sequence[Interval]) -> Floats:
    return np.array([parts(one) for one in seen])


def _range(values: Sequence[float]) -> Range:
    low, high = np.percentile(values, [EDGE, 100 - EDGE])
    return float(low), float(high)


def _fit(terms: Floats, steps: Floats) -> Floats:
    """Least squares of relative errors. No term may make a step shorter: one that would is dropped, and the rest fitted again.

    Where prompts are of much the same length, what is due to each and what to each of their tokens cannot be told apart: all counts
    for tokens then.
    """
    kept = list(range(terms.shape[1]))
    counts, tokens = terms[:, TERMS.index("per_prompt")], terms[:, TERMS.index("per_prompt_token")]
    lengths = tokens[counts > 0] / counts[counts > 0]
    if not lengths.size or np.percentile(lengths, 100 - EDGE) < ALIKE * np.percentile(lengths, EDGE):
        kept.remove(TERMS.index("per_prompt"))
    while True:
        found, *_ = np.linalg.lstsq(terms[:, kept] / steps[:, None], np.ones_like(steps), rcond=None)
        if found.min() >= 0 or len(kept) == 1:
            break
        del kept[int((found * terms[:, kept].mean(axis=0)).argmin())]
    whole = np.zeros(terms.shape[1])
    whole[kept] = np.maximum(found, 0.0)
    return whole
