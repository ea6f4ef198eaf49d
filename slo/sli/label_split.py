"""Which of an objective's requests carry a label's value: those of replicas, those marked themselves, or a tenant's at a gateway.

A label of the replica (its engine's `version`, its target's `node` or whatever Prometheus adds) splits the fleet at each observation,
so that a replica that is upgraded in place counts for one value and then for the other.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

from msgspec import structs

from plimsoll.slo import metrics as c
from plimsoll.slo.calendar import SLOT, first_slot, slot_of
from plimsoll.slo.sli import gateway_counts
from plimsoll.slo.sli.evidence import EXACT_BUCKET, PER_REQUEST, Counting, countings, of_objective
from plimsoll.slo.sli.gateway_counts import TENANT
from plimsoll.slo.sli.increments import SlotCount, Unit, pad, unit
from plimsoll.slo.sli.indicators.latency import GATEWAY_HISTOGRAMS, HISTOGRAMS
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.sources import Series, Source
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Objective, Pool

OF_REQUESTS = ("deployment", "adapter")
Labels = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass
class Side:
    """What carried one value: good and total requests (and how many more may be good), bad and total by slot, replicas, and requests
    by latency and upper bound in seconds."""

    value: str
    good: int = 0
    total: int = 0
    indeterminate: int = 0
    slots: dict[int, tuple[int, int]] = field(default_factory=dict)
    replicas: set[Unit] = field(default_factory=set)
    buckets: dict[str, dict[float, int]] = field(default_factory=dict)

    @property
    def bad(self) -> int:
        """Requests that aren't certainly good."""
        return self.total - self.good

    def count(self, slots: Iterable[SlotCount]) -> None:
        """Add the requests of some slots."""
        for slot in slots:
            self.good += slot.good
            self.total += slot.total
            self.indeterminate += slot.indeterminate
            bad, total = self.slots.get(slot.slot, (0, 0))
            self.slots[slot.slot] = bad + slot.total - slot.good, total + slot.total


class LabelSplit(Protocol):
    """A way to split requests: what it reads, which sample names carry the label, and how a side is counted."""

    selectors: list[Selector]
    carriers: tuple[str, ...]

    def add(self, side: Side, series: Sequence[Series], slots: Sequence[int]) -> None:
        """Add to a side what it did in some slots; `series` reach beyond them as Observed asks."""


def parting(objective: Objective, pool: Pool, label: str) -> LabelSplit:
    """Return how a label parts an objective's requests; raises ValueError where it cannot."""
    indicator = objective.indicator
    # Sides whose histograms have different bounds would be compared at two thresholds.
    if objective.bucket_mismatch == "lower_bound":
        objective = structs.replace(objective, bucket_mismatch="bounds")
    if label in OF_REQUESTS and not indicator.per_request:
        raise ValueError(f"{indicator.kind} isn't counted by {label}. Use a label of the replicas.")
    if objective.count_at == "gateway" and label != TENANT:
        raise ValueError("an SLO that gateways count is split by tenant only.")
    if label == TENANT and not indicator.at_gateways:
        raise ValueError(f"gateways don't evaluate {indicator.kind}. Use an SLO on a latency or on availability.")
    if label in OF_REQUESTS:
        return ByRequest(objective, pool, label)
    return ByTenant(objective, pool) if label == TENANT else ByReplica(objective, pool, label)


class ByReplica:
    """Requests of the replicas that carry the label at the time."""

    carriers: tuple[str, ...] = (c.REPLICA_START.name, c.REPLICA_INFO.name)

    def __init__(self, objective: Objective, pool: Pool, label: str) -> None:
        """`label` is one of llm_replica_info or of the targets."""
        model: Labels = pool.labels
        self._label, self._latencies = label, tuple(objective.indicator.thresholds)
        self._ways = countings(objective, pool)
        self._model: Labels = model
        self._single = Selector(c.GENERATION_LENGTH.bucket, (*model, ("le", (c.bucket_bound(1),))))
        found = [Selector(name, model) for name in self.carriers]
        found += [selector for way in self._ways for selector in way.selectors]
        found += [Selector(HISTOGRAMS[latency].bucket, model) for latency in self._latencies]
        self.selectors = list(dict.fromkeys([*found, self._single]))

    def add(self, side: Side, series: Sequence[Series], slots: Sequence[int]) -> None:
        """Add requests, replicas and buckets."""
        mine = _carrying(series, self.carriers, self._label, side.value)
        observed = Observed(mine, slots)
        side.count(observed.count(self._ways))
        side.replicas |= observed.fleet.keys()
        for latency in self._latencies:
            # Engines record a time per output token of 0 for requests of one token, which have none.
            without = (self._single,) if latency == "time_per_output_token" else ()
            _buckets(side, latency, observed, mine, Selector(HISTOGRAMS[latency].bucket, self._model), without)


class ByRequest:
    """Requests that were evaluated with the label on them: by LoRA adapter or by deployment."""

    carriers: tuple[str, ...] = (c.ADAPTER_REQUESTS.name,)

    def __init__(self, objective: Objective, pool: Pool, label: str) -> None:
        """`label` is one of OF_REQUESTS."""
        self._label, self._mine = label, of_objective(objective, pool)
        start = Selector(c.REPLICA_START.name, pool.labels)
        self.selectors = [start, Selector(c.ADAPTER_REQUESTS.name, self._mine)]

    def add(self, side: Side, series: Sequence[Series], slots: Sequence[int]) -> None:
        """Add requests; latencies aren't available by these labels."""
        mine = (*self._mine, (self._label, (side.value,)))
        good, bad = (Selector(c.ADAPTER_REQUESTS.name, (*mine, ("outcome", (outcome,)))) for outcome in ("good", "bad"))
        side.count(Observed(series, slots).count([Counting(PER_REQUEST, (good,), (good, bad))]))


class ByTenant:
    """A tenant's requests as the gateway counts them, from its first scrape on: it doesn't report its start."""

    carriers: tuple[str, ...] = (c.GATEWAY_REQUESTS.name,)

    def __init__(self, objective: Objective, pool: Pool) -> None:
        self._objective, self._pool = objective, pool
        buckets = [GATEWAY_HISTOGRAMS[latency].bucket for latency in objective.indicator.thresholds]
        model: Labels = pool.labels
        self.selectors = list(
            dict.fromkeys([*gateway_counts.selectors(objective, pool), *(Selector(name, model) for name in buckets)])
        )

    def add(self, side: Side, series: Sequence[Series], slots: Sequence[int]) -> None:
        """Add requests and buckets."""
        observed = Observed([*series, *gateway_counts.observations(series)], slots)
        side.count(observed.count(gateway_counts.ways(self._objective, self._pool, side.value)))
        mine: Labels = (*self._pool.labels, (TENANT, (side.value,)))
        for latency in self._objective.indicator.thresholds:
            _buckets(side, latency, observed, series, Selector(GATEWAY_HISTOGRAMS[latency].bucket, mine))


def _carrying(series: Sequence[Series], carriers: Sequence[str], label: str, value: str) -> list[Series]:
    """Leave of the replicas' observations those at which a replica carried the value, and of everything else all."""
    times: dict[Unit, set[float]] = defaultdict(set)
    for item in series:
        if item.name in carriers and item.labels.get(label) == value:
            times[unit(item.labels)] |= {at for at, _ in item.samples}
    found = []
    for item in series:
        mine = times.get(unit(item.labels))
        if item.name == c.REPLICA_START.name and mine:
            found.append(Series(item.name, item.labels, [sample for sample in item.samples if sample[0] in mine]))
        elif item.name != c.REPLICA_START.name and mine:
            found.append(item)
    return found


def _buckets(
    side: Side,
    latency: str,
    observed: Observed,
    series: Sequence[Series],
    buckets: Selector,
    without: tuple[Selector, ...] = (),
) -> None:
    """Add up a latency's buckets, at the bounds that everything on the side has had so far."""
    bounds: dict[Unit, set[str]] = defaultdict(set)
    for item in series:
        if buckets.matches(item.name, item.labels):
            bounds[unit(item.labels)].add(item.labels["le"])
    if not bounds:
        return
    new = {}
    for bound in set.intersection(*bounds.values()):
        below = Selector(buckets.name, (*buckets.labels, ("le", (bound,))))
        new[float(bound)] = sum(
            slot.good for slot in observed.count([Counting(EXACT_BUCKET, (below,), (below,), without)])
        )
    before = side.buckets.get(latency)
    side.buckets[latency] = (
        new if before is None else {bound: count + new[bound] for bound, count in before.items() if bound in new}
    )


CHUNK_SLOTS = 12  # an hour at a time
QUANTILES = (0.5, 0.9, 0.95, 0.99)


def compare(
    source: Source, objective: Objective, pool: Pool, label: str, values: Sequence[str], span: tuple[float, float]
) -> tuple[list[Side], set[str]]:
    """Count each value's side in the slots of a span of time; return them, and every value of the label that was seen.

    Raises SourceError, and ValueError where the label cannot part the objective's requests.
    """
    start, end = span
    sides, seen = [Side(value) for value in values], set[str]()
    way = parting(objective, pool, label)
    slots = list(range(first_slot(start), slot_of(end) + SLOT, SLOT))
    for begin in range(0, len(slots), CHUNK_SLOTS):
        chunk = slots[begin : begin + CHUNK_SLOTS]
        low, high = pad(chunk)
        series = source.series(way.selectors, low, min(high, end))
        seen |= {item.labels[label] for item in series if item.name in way.carriers and label in item.labels}
        for side in sides:
            way.add(side, series, chunk)
    return sides, seen


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
