"""Step times of a running engine between two scrapes, from its inter-token latency.

The inter-token latencies of an interval add up to the seconds that requests spent decoding, one per request and step. Sum over
count is therefore the step time that requests observe, without idle time. Sum over the interval's seconds is the mean number of
decoding requests (Little's law). An arriving prompt delays the same number (Wolff: Poisson arrivals see time averages).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

from plimsoll.slo import metrics
from plimsoll.slo.capacity.model.signals import GAP
from plimsoll.slo.sli.increments import Unit, unit
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Pool

STEADY = 0.5  # share, plus one request, by which the batches at both scrapes may differ from the mean; bursts in between mix unlike steps
COUNTERS = {
    "felt": metrics.ITL.sum,
    "steps": metrics.ITL.count,
    "prompts": metrics.TTFT.count,
    "prompt_tokens": metrics.PROMPT_TOKENS.name,
    "found": metrics.PREFIX_HIT.name,
    "found_behind": metrics.EXTERNAL_PREFIX_HIT.name,
    "preempted": metrics.PREEMPTIONS.name,
}
GAUGES = {
    "running": metrics.REQUESTS_RUNNING.name,
    "used": metrics.KV_CACHE_USAGE.name,
    "capacity": metrics.KV_CACHE_CAPACITY.name,
}
NAMES = COUNTERS | GAUGES
OPTIONAL = {"found_behind"}  # reported only by engines with a tier behind the prefix cache
Moments = Mapping[float, float]


@dataclass(frozen=True, slots=True)
class Interval:
    """Means between two scrapes of one rank: `step` in seconds, requests in the `batch`, and tokens in the KV cache.
    `prompts` and `prompt_tokens` are computed per second."""

    replica: str
    start: float
    end: float
    step: float
    batch: float
    kv_tokens: float
    prompts: float
    prompt_tokens: float


@dataclass(frozen=True, slots=True)
class Rank:
    """One data-parallel engine core of a replica; `missing` names the metrics that it does not report."""

    replica: str
    unit: Unit
    intervals: tuple[Interval, ...]
    kv_capacity: float | None
    most_running: float
    missing: tuple[str, ...]


def selectors(pool: Pool) -> list[Selector]:
    """Return the series to read for calibrating a pool."""
    names = (*NAMES.values(), metrics.REPLICA_INFO.name)
    return [Selector(name, pool.labels) for name in names]


def ranks(series: Sequence[Series]) -> list[Rank]:
    """Group raw series by rank and join those of several reads; values that are not finite count as missing."""
    signals = {name: signal for signal, name in NAMES.items()}
    watched: dict[tuple[str, Unit, str], dict[str, dict[float, float]]] = defaultdict(dict)
    for name, labels, samples in series:
        if name in signals:
            key = (labels["replica"], unit(labels), labels.get("rank", ""))
            moments = watched[key].setdefault(signals[name], {})
            moments.update((at, value) for at, value in samples if isfinite(value))
    return [_rank(key[0], key[1], watched[key]) for key in sorted(watched, key=lambda key: (key[0], key[2]))]


def _rank(replica: str, key: Unit, read: Mapping[str, Moments]) -> Rank:
    missing = tuple(name for signal, name in NAMES.items() if signal not in OPTIONAL and not read.get(signal))
    capacities = read.get("capacity") or {}
    return Rank(
        replica,
        key,
        () if missing else tuple(_intervals(replica, read)),
        capacities[max(capacities)] if capacities else None,
        max(read.get("running", {}).values(), default=0.0),
        missing,
    )


def _intervals(replica: str, read: Mapping[str, Moments]) -> Iterator[Interval]:
    reported = [moments.keys() for signal, moments in read.items() if signal not in OPTIONAL]
    for start, end in pairwise(sorted(set.intersection(*map(set, reported)))):
        interval = _interval(replica, start, end, read)
        if interval is not None:
            yield interval


def _interval(replica: str, start: float, end: float, read: Mapping[str, Moments]) -> Interval | None:
    """Return the interval; None without decoding, with a restart or a preemption, or if the batch changed too much for a mean."""
    seconds = end - start
    grown = {name: _grown(read.get(name, {}), start, end) for name in COUNTERS}
    if seconds > GAP or min(grown.values()) < 0 or not grown["steps"] or not grown["felt"] or grown["preempted"]:
        return None
    step, decoding = grown["felt"] / grown["steps"], grown["felt"] / seconds
    ends = [read["running"][at] for at in (start, end)]
    if max(abs(running - decoding) for running in ends) > STEADY * decoding + 1:
        return None
    held = sum(read["used"][at] * read["capacity"][at] for at in (start, end))
    # Tokens per running request change less between scrapes than the number of requests.
    context = held / sum(ends) if sum(ends) else 0.0
    computed = max(0.0, grown["prompt_tokens"] - grown["found"] - grown["found_behind"])
    # A step that emits a token has at least one request, even if the engine idles between steps.
    batch = max(1.0, decoding)
    return Interval(replica, start, end, step, batch, batch * context, grown["prompts"] / seconds, computed / seconds)


def _grown(moments: Moments, start: float, end: float) -> float:
    return moments[end] - moments[start] if start in moments and end in moments else 0.0
