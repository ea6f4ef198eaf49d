"""The step time of a pool that runs, fitted to its own metrics.

Requests that decode feel all that a step does: what they felt in each interval between two scrapes (plimsoll.slo.capacity.calibration.intervals) is
one line of a least-squares fit of relative errors, for the terms of plimsoll.slo.capacity.calibration.fit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, median_low
from typing import Annotated

import numpy as np
from pydantic import Field

from plimsoll.slo import metrics
from plimsoll.slo.capacity.calibration.intervals import Interval, Rank, ranks
from plimsoll.slo.capacity.model.least_squares import Floats, non_negative
from plimsoll.slo.capacity.model.replica_throughput import ALIKE
from plimsoll.slo.capacity.model.timestamp import Timestamp
from plimsoll.slo.capacity.simulator.step_time import StepModel
from plimsoll.slo.sources import Series

ENOUGH = 20  # intervals: below, a plane through them means little
TERMS = (
    "base_seconds",
    "seconds_per_sequence",
    "seconds_per_kv_token",
    "seconds_per_prompt",
    "seconds_per_prompt_token",
)
Range = tuple[float, float]


def parts(one: Interval) -> tuple[float, ...]:
    """Return what each of TERMS is multiplied by in an interval. A prompt keeps those waiting that decode while it is computed: on
    average `step` times its rate, of each step."""
    return 1.0, one.batch, one.kv_tokens, one.step * one.prompts, one.step * one.prompt_tokens


@dataclass(frozen=True, slots=True)
class Calibration:
    """Step times of one data-parallel rank, fitted to a pool's metrics. A step of b requests with K tokens in the KV cache takes
    base_seconds + seconds_per_sequence b + seconds_per_kv_token K; and seconds_per_prompt, and seconds_per_prompt_token for each of its
    tokens, for prompts that it computes."""

    base_seconds: float
    seconds_per_sequence: float
    seconds_per_kv_token: Annotated[
        float, Field(description="0: not separable from seconds_per_sequence, as contexts differed too little.")
    ]
    seconds_per_prompt: float
    seconds_per_prompt_token: float
    r_squared: Annotated[float, Field(description="Ratio of the variance of step times that the fit explains.")]
    median_relative_error: Annotated[
        float, Field(description="Median relative error of the mean step time of an interval between two scrapes.")
    ]
    intervals: int
    since: Annotated[Timestamp, Field(alias="from")]
    until: Annotated[Timestamp, Field(alias="to")]
    batch_size_range: Annotated[Range, Field(description="Concurrent requests observed; beyond, it is extrapolated.")]
    context_tokens_range: Annotated[Range, Field(description="Tokens of a request in the KV cache, as observed.")]
    input_tokens_range: Annotated[
        Range | None,
        Field(description="Tokens computed of a prompt, means of intervals; null: no prompt was observed."),
    ]
    replicas: tuple[str, ...]
    excluded_replicas: Annotated[
        dict[str, float], Field(description="Replicas that differ, with how many times as long their steps take.")
    ]
    kv_cache_capacity_tokens: Annotated[int, Field(description="Tokens that a rank's KV cache holds.")]
    max_observed_batch: Annotated[int, Field(description="Largest batch of a rank; its limit is not published.")]
    data_parallel_size: Annotated[int, Field(description="Data-parallel ranks of a replica.")]
    simulated: bool = field(default=False)

    @property
    def model(self) -> StepModel:
        """The same as the simulator takes it. What a prompt costs by the square of its length is within per_prompt_token.

        A step of prompts alone has the base, too: no request decodes in it, so nothing shows that, but the weights are read in every step.
        """
        alone = max(self.base_seconds, self.seconds_per_prompt)
        return StepModel(
            alone,
            self.seconds_per_prompt_token,
            0.0,
            self.base_seconds,
            self.seconds_per_sequence,
            self.seconds_per_kv_token,
            alone - self.seconds_per_prompt,
        )

    def tpot(self, batch: float, context: float) -> float:
        """Seconds per token of each of `batch` requests of mean length `context`, while no prompt is computed."""
        return self.base_seconds + batch * (self.seconds_per_sequence + self.seconds_per_kv_token * context)

    def step(self, one: Interval) -> float:
        """Seconds that a step of an interval ought to have taken, as decoding requests felt it."""
        found: float = sum(getattr(self, term) * value for term, value in zip(TERMS, parts(one), strict=True))
        return found

    def error_on(self, series: Sequence[Series]) -> float | None:
        """Return the median relative error on other intervals of the same replicas; None where there are too few."""
        seen = [one for rank in ranks(series) for one in rank.intervals if rank.replica not in self.excluded_replicas]
        return median(abs(self.step(one) / one.step - 1) for one in seen) if len(seen) >= ENOUGH else None


SPREAD = 2.0  # times that the largest batches must be larger than the smallest: below, nothing is known of others
EDGE = 5.0  # percent of the intervals beyond either end of the range that counts as seen


def calibrate(series: Sequence[Series]) -> Calibration | str:
    """Fit a pool's steps to the raw series that plimsoll.slo.capacity.calibration.intervals.selectors select; or return the reason why they are insufficient.

    Replicas are fitted together. Where steps of some take more than ALIKE times as long as those of others, those unlike the
    median one are left out and named.
    """
    watched = ranks(series)
    seen = [one for rank in watched for one in rank.intervals]
    why = _too_little(watched, seen)
    if why:
        return why
    factors = _factors(seen)
    excluded_replicas: dict[str, float] = {}
    if max(factors.values()) > ALIKE * min(factors.values()):
        middle = median_low(factors.values())
        excluded_replicas = {
            name: factor / middle for name, factor in factors.items() if not 1 / ALIKE <= factor / middle <= ALIKE
        }
        seen = [one for one in seen if one.replica not in excluded_replicas]
        why = _too_little(watched, seen)
        if why:
            return f"{why}, without replicas unlike the others: {', '.join(excluded_replicas)}"
    simulated = any(
        name == metrics.REPLICA_INFO.name and labels.get("simulated") == "true" for name, labels, _ in series
    )
    used = [rank for rank in watched if rank.intervals and rank.replica not in excluded_replicas]
    return _described(seen, used, excluded_replicas, simulated)


def _too_little(watched: Sequence[Rank], seen: Sequence[Interval]) -> str | None:
    """Return the reason why no fit is possible; None if one is."""
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
    seen: Sequence[Interval], used: Sequence[Rank], excluded_replicas: Mapping[str, float], simulated: bool
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
        median_relative_error=float(np.median(np.abs(predicted - steps) / steps)),
        intervals=len(seen),
        since=min(one.start for one in seen),
        until=max(one.end for one in seen),
        batch_size_range=_range([one.batch for one in seen]),
        context_tokens_range=_range([one.kv_tokens / one.batch for one in seen]),
        input_tokens_range=_range(lengths) if lengths else None,
        replicas=tuple(sorted({rank.replica for rank in used})),
        excluded_replicas=dict(excluded_replicas),
        kv_cache_capacity_tokens=round(median_low(rank.kv_capacity or 0.0 for rank in used)),
        max_observed_batch=round(max(rank.most_running for rank in used)),
        data_parallel_size=max(of_units.count(one) for one in of_units),
        simulated=simulated,
    )


def _terms(seen: Sequence[Interval]) -> Floats:
    return np.array([parts(one) for one in seen])


def _range(values: Sequence[float]) -> Range:
    low, high = np.percentile(values, [EDGE, 100 - EDGE])
    return float(low), float(high)


def _fit(terms: Floats, steps: Floats) -> Floats:
    """Least squares of relative errors. No term may make a step shorter: one that would is dropped, and the rest fitted again.

    If prompts have similar lengths, time per prompt and time per prompt token can't be separated: all of it counts as time per
    token.
    """
    used = list(range(terms.shape[1]))
    counts, tokens = terms[:, TERMS.index("seconds_per_prompt")], terms[:, TERMS.index("seconds_per_prompt_token")]
    lengths = tokens[counts > 0] / counts[counts > 0]
    if not lengths.size or np.percentile(lengths, 100 - EDGE) < ALIKE * np.percentile(lengths, EDGE):
        used.remove(TERMS.index("seconds_per_prompt"))
    return non_negative(terms, steps, used)
