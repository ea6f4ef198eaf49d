"""The step time of a pool that runs, fitted to its own metrics, with how well it fits.

While a batch of b requests decodes, every step gives each of them one token; so a scrape interval of t seconds in which g
tokens were generated had g / b steps of t b / g seconds. Over intervals of different batches and cache use that is the
line of the step model: base + per_sequence b + per_kv_token K, with K the tokens in the KV cache. Intervals that computed
more than a few prompts are left out: their steps are longer for another reason.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from slo.capacity.signals import ReplicaSignals

Floats = NDArray[np.float64]
PROMPT_SHARE = 0.1  # of an interval's tokens that may be prompt
STEADY = 0.2  # by which the batch may differ between an interval's ends
ENOUGH = 8  # intervals, of three different batches at least: below, a line through them means nothing


@dataclass(frozen=True, slots=True)
class Interval:
    """A scrape interval of pure decoding: mean batch, mean tokens in the KV cache, seconds of a step."""

    batch: float
    kv_tokens: float
    step: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Seconds: a step of a batch b with K tokens in the KV cache takes base + per_sequence b + per_kv_token K.

    `r_squared` is the share of the variance of `intervals` steps that this explains, `error` the median relative error.
    """

    base: float
    per_sequence: float
    per_kv_token: float
    r_squared: float
    error: float
    intervals: int

    def tpot(self, batch: float, context: float) -> float:
        """Seconds per token of each of `batch` requests of mean length `context`."""
        return self.base + batch * (self.per_sequence + self.per_kv_token * context)


def calibrate(replicas: Sequence[ReplicaSignals], kv_capacity: float) -> Calibration | None:
    """Fit the replicas' decode steps; `kv_capacity` is the tokens that one's KV cache holds. None where too little was seen.

    No term may make a step shorter: one that the fit would have below zero is dropped, and the rest fitted again.
    """
    seen = [interval for replica in replicas for interval in intervals(replica, kv_capacity)]
    if len(seen) < ENOUGH or len({round(interval.batch) for interval in seen}) < 3:
        return None
    terms = np.array([[1.0, interval.batch, interval.kv_tokens] for interval in seen])
    steps = np.array([interval.step for interval in seen])
    found = _fit(terms, steps)
    predicted = terms @ found
    spread = float(((steps - steps.mean()) ** 2).sum())
    unexplained = float(((steps - predicted) ** 2).sum())
    base, per_sequence, per_kv_token = (float(value) for value in found)
    return Calibration(
        *(base, per_sequence, per_kv_token),
        r_squared=1 - unexplained / spread if spread else 0.0,
        error=float(np.median(np.abs(predicted - steps) / steps)),
        intervals=len(seen),
    )


def intervals(replica: ReplicaSignals, kv_capacity: float) -> Iterator[Interval]:
    """Yield the intervals of a replica in which a steady batch did little but decode."""
    running, used = dict(replica.running), dict(replica.kv_usage)
    prompt, generated = dict(replica.prompt_tokens), dict(replica.generation_tokens)
    for before, at in pairwise(sorted(running.keys() & used.keys() & prompt.keys() & generated.keys())):
        batch = (running[before] + running[at]) / 2
        tokens, prompts = generated[at] - generated[before], prompt[at] - prompt[before]
        if min(running[before], running[at]) <= 0 or tokens <= 0 or prompts < 0:
            continue
        if prompts > PROMPT_SHARE * tokens or abs(running[at] - running[before]) > STEADY * batch:
            continue
        yield Interval(batch, kv_capacity * (used[before] + used[at]) / 2, batch * (at - before) / tokens)


def _fit(terms: Floats, steps: Floats) -> Floats:
    """Least squares of relative errors, with no term below zero."""
    kept = list(range(terms.shape[1]))
    while True:
        found, *_ = np.linalg.lstsq(terms[:, kept] / steps[:, None], np.ones_like(steps), rcond=None)
        if found.min() >= 0 or len(kept) == 1:
            break
        del kept[int((found * terms[:, kept].mean(axis=0)).argmin())]
    whole = np.zeros(terms.shape[1])
    whole[kept] = np.maximum(found, 0.0)
    return whole
