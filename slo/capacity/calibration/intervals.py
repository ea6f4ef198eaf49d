"""What the steps of a running engine were like between two scrapes of its page: how long its running requests waited for a token.

The gaps between tokens (inter-token latency) of an interval add up to the seconds that requests spent decoding, one per
request and step. So sum over count is a step as requests felt it, whatever time the engine was idle; and the sum over the
interval's seconds is how many were decoding at a time (Little's law), which is also how many a prompt that arrives at any
time finds and keeps waiting (Wolff: Poisson arrivals see time averages).
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

STEADY = 0.5  # share, besides one request, by which the ends' batches may differ from the mean: bursts in between mix unlike steps
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
OPTIONAL = {"found_behind"}  # not told by an engine that has no tier behind its prefix cache
Moments = Mapping[float, float]


@dataclass(frozen=True, slots=True)
class Interval:
    """Between two scrapes of one rank: `step` seconds as decoding requests felt it, of a batch of so many with so many tokens in
    the KV cache (means), while `prompts` and `prompt_tokens` were computed a second."""

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
    """One data-parallel engine core of a replica, as it was watched: `missing` names what its page does not tell."""

    replica: str
    unit: Unit
    intervals: tuple[Interval, ...]
    kv_capacity: float | None
    most_running: float
    missing: tuple[str, ...]


def selectors(pool: Pool) -> list[Selector]:
    """Return what has to be read to calibrate a pool."""
    names = (*NAMES.values(), metrics.REPLICA_INFO.name)
    return [Selector(name, (("model", (pool.model,)),)) for name in names]


def ranks(series: Sequence[Series]) -> list[Rank]:
    """Order raw series by rank, those of several reads after each other; a value that is no finite number is as good as none."""
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
    told = [moments.keys() for signal, moments in read.items() if signal not in OPTIONAL]
    for start, end in pairwise(sorted(set.intersection(*map(set, told)))):
        interval = _interval(replica, start, end, read)
        if interval is not None:
            yield interval


def _interval(replica: str, start: float, end: float, read: Mapping[str, Moments]) -> Interval | None:
    """None where nobody decoded, the engine restarted, requests were pushed out and waited between two tokens, or the batch
    changed so much that its mean says little."""
    seconds = end - start
    grown = {name: _grown(read.get(name, {}), start, end) for name in COUNTERS}
    if seconds > GAP or min(grown.values()) < 0 or not grown["steps"] or not grown["felt"] or grown["preempted"]:
        return None
    step, decoding = grown["felt"] / grown["steps"], grown["felt"] / seconds
    ends = [read["running"][at] for at in (start, end)]
    if max(abs(running - decoding) for running in ends) > STEADY * decoding + 1:
        return None
    held = sum(read["used"][at] * read["capacity"][at] for at in (start, end))
    # What the cache holds for each running request changes less between scrapes than how many there are.
    context = held / sum(ends) if sum(ends) else 0.0
    computed = max(0.0, grown["prompt_tokens"] - grown["found"] - grown["found_behind"])
    # A step that gives a token has one request at least, however long the engine idled between such steps.
    batch = max(1.0, decoding)
    return Interval(replica, start, end, step, batch, batch * context, grown["prompts"] / seconds, computed / seconds)


def _grown(moments: Moments, start: float, end: float) -> float:
    return moments[end] - moments[start] if start in moments and end in moments else 0.0
