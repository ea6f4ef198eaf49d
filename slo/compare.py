"""Two versions side by side: an objective's requests and latencies on the replicas that carry one label's value, and another's.

Counted from raw samples by the ledger's own increments, so to the request. A label of the replica (its engine's `version`, its
target's `node` or whatever Prometheus adds) parts the fleet at each observation, so that a replica that is upgraded in place
counts for the one and then for the other; a label of the requests (`deployment`, `adapter`) parts those.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil

from slo.catalogue import ADAPTER_REQUESTS, GENERATION_LENGTH, REPLICA_INFO, REPLICA_START, bucket_bound
from slo.indicators import HISTOGRAMS, Counting, Selector, countings
from slo.ledger.booking import Observed, Unit, pad, unit
from slo.sources import Series, Source
from slo.spec import Objective, Pool
from slo.windows import SLOT, first_slot, slot_of

CHUNK_SLOTS = 12  # an hour at a time
OF_REQUESTS = ("deployment", "adapter")
QUANTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass
class Side:
    """What carried one value: good and total requests, replicas, and requests by latency and upper bound in seconds."""

    value: str
    good: int = 0
    total: int = 0
    replicas: set[Unit] = field(default_factory=set)
    buckets: dict[str, dict[float, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))

    @property
    def bad(self) -> int:
        """Requests that were not good."""
        return self.total - self.good


def compare(
    source: Source, objective: Objective, pool: Pool, label: str, values: Sequence[str], span: tuple[float, float]
) -> tuple[list[Side], set[str]]:
    """Count each value's side in the slots of a span of time; return them, and every value of the label that was seen.

    Raises SourceError.
    """
    start, end = span
    sides, seen = [Side(value) for value in values], set[str]()
    slots = list(range(first_slot(start), slot_of(end) + SLOT, SLOT))
    selectors = _selectors(objective, pool, label)
    for begin in range(0, len(slots), CHUNK_SLOTS):
        chunk = slots[begin : begin + CHUNK_SLOTS]
        low, high = pad(chunk)
        series = source.series(selectors, low, min(high, end))
        seen |= {item.labels[label] for item in series if label in item.labels}
        for side in sides:
            if label in OF_REQUESTS:
                _count(side, Observed(series, chunk), [_of_requests(objective, label, side.value)])
            else:
                mine = _carrying(series, label, side.value)
                observed = Observed(mine, chunk)
                _count(side, observed, countings(objective, pool))
                _latencies(side, observed, mine, objective, pool)
                side.replicas |= observed.fleet.keys()
    return sides, seen


def _selectors(objective: Objective, pool: Pool, label: str) -> list[Selector]:
    model = (("model", (pool.model,)),)
    found = [Selector(metric.name, model) for metric in (REPLICA_START, REPLICA_INFO)]
    if label in OF_REQUESTS:
        return [*found, Selector(ADAPTER_REQUESTS.name, (("objective", (objective.id,)),))]
    found += [selector for counting in countings(objective, pool) for selector in counting.selectors]
    found += [Selector(HISTOGRAMS[latency].bucket, model) for latency in objective.indicator.limits]
    return list(dict.fromkeys([*found, _single(pool)]))


def _single(pool: Pool) -> Selector:
    """Requests of one token, which have no time per output token and for which engines record 0."""
    return Selector(GENERATION_LENGTH.bucket, (("model", (pool.model,)), ("le", (bucket_bound(1),))))


def _of_requests(objective: Objective, label: str, value: str) -> Counting:
    good, bad = (
        Selector(ADAPTER_REQUESTS.name, (("objective", (objective.id,)), ("outcome", (outcome,)), (label, (value,))))
        for outcome in ("good", "bad")
    )
    return Counting("request", (good,), (good, bad))


def _carrying(series: Iterable[Series], label: str, value: str) -> list[Series]:
    """Leave of the replicas' observations those at which a replica carried the value, and of everything else all."""
    series = list(series)
    times: dict[Unit, set[float]] = defaultdict(set)
    for item in series:
        if item.name in (REPLICA_START.name, REPLICA_INFO.name) and item.labels.get(label) == value:
            times[unit(item.labels)] |= {at for at, _ in item.samples}
    found = []
    for item in series:
        mine = times.get(unit(item.labels))
        if item.name == REPLICA_START.name and mine:
            found.append(Series(item.name, item.labels, [sample for sample in item.samples if sample[0] in mine]))
        elif item.name != REPLICA_START.name and mine:
            found.append(item)
    return found


def _count(side: Side, observed: Observed, ways: Sequence[Counting]) -> None:
    for slot in observed.count(ways):
        side.good += slot.good
        side.total += slot.total


def _latencies(side: Side, observed: Observed, series: Iterable[Series], objective: Objective, pool: Pool) -> None:
    """Add up the buckets of each limited latency at the bounds that every replica of the side has."""
    for latency in objective.indicator.limits:
        histogram = HISTOGRAMS[latency]
        bounds: dict[Unit, set[str]] = defaultdict(set)
        for item in series:
            if item.name == histogram.bucket:
                bounds[unit(item.labels)].add(item.labels["le"])
        for bound in set.intersection(*bounds.values()) if bounds else ():
            bucket = Selector(histogram.bucket, (("model", (pool.model,)), ("le", (bound,))))
            without = (_single(pool),) if latency == "time_per_output_token" else ()
            way = Counting("bucket", (bucket,), (bucket,), without)
            side.buckets[latency][float(bound)] += sum(slot.good for slot in observed.count([way]))


def bracket(buckets: dict[float, int], quantile: float) -> tuple[float, float] | None:
    """Return the bounds between which a quantile of all requests lies; the upper is infinite beyond the last, None without any."""
    if not buckets or not (total := max(buckets.values())):
        return None
    rank, lower = ceil(round(quantile * total, 9)), 0.0
    for bound, below in sorted(buckets.items()):
        if below >= rank:
            return lower, bound
        lower = bound
    return None
