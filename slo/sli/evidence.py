"""What is counted as good and as total for an SLO: one definition, read by the ledger, the rules and the exports.

An SLO can be counted from several kinds of evidence. Its indicator lists them best first, and the choice is made per life of
a replica: the first kind with any series. PER_REQUEST is exact by construction (the vLLM plugin evaluated each
request); EXACT_BUCKET is exact because the threshold is a bound of the histogram; COUNTER needs no threshold. A threshold that
isn't a bound is counted by the SLO's `bucket_mismatch`: not at all (unknown), at the next lower bound (LOWER_BOUND), or at
both bounds around it (BOUNDS).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric
from plimsoll.slo.sli.bucket_bounds import Edges, edges
from plimsoll.slo.sources.selector import Labels, Selector
from plimsoll.slo.spec.objectives import BucketMismatch, Objective, Pool

PER_REQUEST, COUNTER, EXACT_BUCKET, LOWER_BOUND, BOUNDS = (
    "per_request",
    "counter",
    "exact_bucket",
    "lower_bound",
    "bounds",
)
SERVED = ("stop", "length")
FAILED = ("error",)
Sample = tuple[str, Mapping[str, str]]  # name and labels of a series


@dataclass(frozen=True, slots=True)
class Counting:
    """Good and total as sums of counters; `without` is taken off both, `bad` off good. `source` names the kind of evidence.

    `good` without `bad` is what is certainly good. `most` is the upper bound of what may be good: None where it equals `good`. `without` is a
    part of `good` and `most`, unless they select nothing.
    """

    source: str
    good: tuple[Selector, ...]
    total: tuple[Selector, ...]
    without: tuple[Selector, ...] = ()
    most: tuple[Selector, ...] | None = None
    bad: tuple[Selector, ...] = ()

    @property
    def bucket_mismatch(self) -> bool:
        """Whether it is counted next to the threshold and not at it."""
        return self.source in (LOWER_BOUND, BOUNDS)

    @property
    def by_histogram(self) -> bool:
        """Whether good and total are parts of one histogram."""
        return self.source in (EXACT_BUCKET, LOWER_BOUND, BOUNDS)

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """Every selector that is read, once each."""
        return tuple(dict.fromkeys((*self.good, *self.total, *self.without, *self.bad, *(self.most or ()))))

    def offered(self, series: Sequence[Sample]) -> "Counting | None":
        """Return itself where the series have every part of `good`: a missing bucket bound offers nothing."""
        return self if all(any(s.matches(*one) for one in series) for s in self.good) else None


@dataclass(frozen=True, slots=True)
class Near:
    """A histogram whose bounds aren't known in advance, counted at `limit` (the threshold, seconds) or at the bounds next to it.

    `buckets` selects every bucket. With `bracket` both bounds count, without it only the lower one.
    """

    limit: float
    bracket: bool
    buckets: Selector
    total: tuple[Selector, ...]
    without: tuple[Selector, ...] = ()

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """Every selector that is read."""
        return (self.buckets, *self.total, *self.without)

    @property
    def exact(self) -> Counting:
        """The count at the threshold itself, which must be a bound."""
        return Counting(EXACT_BUCKET, (self.at(self.limit),), self.total, self.without)

    def at(self, bound: float) -> Selector:
        """Select one bucket."""
        return Selector(self.buckets.name, (*self.buckets.labels, ("le", (metrics.bucket_bound(bound),))))

    def edges(self, series: Sequence[Sample]) -> Edges | None:
        """Return the bounds next to the limit among those that the series have."""
        mine = (labels["le"] for name, labels in series if self.buckets.matches(name, labels))
        return edges({float(bound) for bound in mine}, self.limit)

    def offered(self, series: Sequence[Sample]) -> Counting | None:
        """Return how it is counted by the bounds that the series have; None where these are too few."""
        found = self.edges(series)
        if found is None or (found.lower is None and not self.bracket):
            return None
        if found.exact:
            return self.exact
        sure = () if found.lower is None else (self.at(found.lower),)
        if not self.bracket:
            return Counting(LOWER_BOUND, sure, self.total, self.without)
        most = self.total if found.upper == inf else (self.at(found.upper),)
        return Counting(BOUNDS, sure, self.total, self.without, most)


Way = Counting | Near


def best(ways: Sequence[Way], series: Sequence[Sample]) -> Counting | None:
    """Return the first way to count that the series of a replica offer; None where they offer none."""
    return next((found for way in ways if (found := way.offered(series)) is not None), None)


def countings(objective: Objective, pool: Pool) -> tuple[Way, ...]:
    """List the ways in which an SLO can be counted, best first."""
    if objective.count_at == "gateway":
        return objective.indicator.gateway_evidence(objective, pool.labels)
    return objective.indicator.evidence(objective, pool)


def select(name: str, **labels: str | tuple[str, ...]) -> Selector:
    """Select series of a sample name by one or more values of each label."""
    return Selector(
        name, tuple((label, (value,) if isinstance(value, str) else value) for label, value in labels.items())
    )


def per_request(objective: Objective, pool: Pool) -> Counting:
    """Count what the vLLM plugin evaluated, by objective ID, so that two SLOs of one pool never mix.

    A plugin doesn't know its target's labels, so it evaluates the SLOs of every pool of its model: the pool's match selects among them.
    """
    mine = of_objective(objective, pool)
    name = metrics.OBJECTIVE_REQUESTS.name
    good, bad = (Selector(name, (*mine, ("outcome", (outcome,)))) for outcome in ("good", "bad"))
    return Counting(PER_REQUEST, (good,), (good, bad))


def of_objective(objective: Objective, pool: Pool) -> Labels:
    """Return the labels of what the vLLM plugin evaluated for an SLO on the pool's replicas."""
    return (("objective", (objective.id,)), *pool.labels[1:])


def by_histogram(
    histogram: Metric, labels: Labels, threshold: float, mismatch: BucketMismatch, without: tuple[Selector, ...] = ()
) -> Way:
    """Count a latency (threshold in seconds) by its histogram. With `unknown` only the exact bucket counts."""
    buckets, total = Selector(histogram.bucket, labels), Selector(histogram.count, labels)
    near = Near(float(threshold), mismatch == "bounds", buckets, (total,), without)
    return near.exact if mismatch == "unknown" else near
