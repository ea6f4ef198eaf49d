"""What is counted as good and as total for an objective: one definition, read by the ledger and by the rules.

An objective can be counted from several kinds of evidence. They are listed best first, and the choice is made per life of
a replica: the first kind of which it has any series. `request` is exact by construction (the plugin evaluated each
request); `bucket` is exact because the limit is a bound of the histogram; `counter` needs no limit. A limit that is no bound
is counted as the objective's `bucket_mismatch` says: not at all (refuse); at the next lower bound, `lower_bound` (conservative); or at
both bounds around it, `bounds` (bracket).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric
from plimsoll.slo.sli.bucket_bounds import Edges, edges
from plimsoll.slo.sources.selector import Labels, Selector
from plimsoll.slo.spec.objectives import BucketMismatch, Objective, Pool

HISTOGRAMS = {
    "time_to_first_token": metrics.TTFT,
    "time_per_output_token": metrics.TPOT,
    "request_duration": metrics.DURATION,
}
SERVED = ("stop", "length")
FAILED = ("error",)
BELOW, BETWEEN = "lower_bound", "bounds"


Sample = tuple[str, Mapping[str, str]]  # name and labels of a series


@dataclass(frozen=True, slots=True)
class Counting:
    """Good and total as sums of counters; `without` is taken off both. `source` names the kind of evidence.

    `good` is what is surely good. `most` is what may be good at most, where that is more than what `good` tells: None where it is
    the same. `without` is a part of `good` and `most`, unless they select nothing.
    """

    source: str
    good: tuple[Selector, ...]
    total: tuple[Selector, ...]
    without: tuple[Selector, ...] = ()
    most: tuple[Selector, ...] | None = None

    @property
    def bucket_mismatch(self) -> bool:
        """Whether it is counted next to the limit and not at it."""
        return self.source in (BELOW, BETWEEN)

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """Every selector that is read, once each."""
        return tuple(dict.fromkeys((*self.good, *self.total, *self.without, *(self.most or ()))))

    def offered(self, series: Sequence[Sample]) -> "Counting | None":
        """Return itself where the series have every part of `good`: a missing bucket bound offers nothing."""
        return self if all(any(s.matches(*one) for one in series) for s in self.good) else None


@dataclass(frozen=True, slots=True)
class Near:
    """A histogram whose bounds are not known beforehand, counted at `limit` (seconds) or at the bounds next to it.

    `buckets` selects every bucket. With `bracket` both bounds are used, without it the lower one alone.
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
        """How it is counted where the limit is a bound."""
        return Counting("bucket", (self.at(self.limit),), self.total, self.without)

    def at(self, bound: float) -> Selector:
        """Select one bucket."""
        return Selector(self.buckets.name, (*self.buckets.labels, ("le", (metrics.bucket_bound(bound),))))

    def edges(self, series: Sequence[Sample]) -> Edges | None:
        """Return the bounds next to the limit among those that the series have."""
        mine = (labels["le"] for name, labels in series if self.buckets.matches(name, labels))
        return edges({float(bound) for bound in mine}, self.limit)

    def offered(self, series: Sequence[Sample]) -> Counting | None:
        """Return how it is counted by the bounds that the series have; None where these tell too little."""
        found = self.edges(series)
        if found is None or (found.lower is None and not self.bracket):
            return None
        if found.exact:
            return self.exact
        sure = () if found.lower is None else (self.at(found.lower),)
        if not self.bracket:
            return Counting(BELOW, sure, self.total, self.without)
        most = self.total if found.upper == inf else (self.at(found.upper),)
        return Counting(BETWEEN, sure, self.total, self.without, most)


Way = Counting | Near


def best(ways: Sequence[Way], series: Sequence[Sample]) -> Counting | None:
    """Return the first way to count that the series of a replica offer; None where they offer none."""
    return next((found for way in ways if (found := way.offered(series)) is not None), None)


def countings(objective: Objective, pool: Pool) -> tuple[Way, ...]:
    """List the ways in which an objective can be counted, best first."""
    if objective.indicator.kind == "availability":
        return (_availability(pool),)
    by_request = _by_request(objective)
    return (by_request,) if objective.indicator.kind == "goodput" else (by_request, _by_bucket(objective, pool))


def _select(name: str, **labels: str | tuple[str, ...]) -> Selector:
    return Selector(
        name, tuple((label, (value,) if isinstance(value, str) else value) for label, value in labels.items())
    )


def _by_request(objective: Objective) -> Counting:
    """RequestCounts by objective id alone, so that two objectives on one pool never mix."""
    name = metrics.OBJECTIVE_REQUESTS.name
    good = _select(name, objective=objective.id, outcome="good")
    return Counting("request", (good,), (good, _select(name, objective=objective.id, outcome="bad")))


def _by_bucket(objective: Objective, pool: Pool) -> Way:
    """Engines record a time per output token of 0 for requests with a single token, which have none: those are taken off."""
    kind = objective.indicator.kind
    single = _select(metrics.GENERATION_LENGTH.bucket, model=pool.model, le="1.0")
    without = (single,) if kind == "time_per_output_token" else ()
    labels = (("model", (pool.model,)),)
    return by_bucket(HISTOGRAMS[kind], labels, objective.indicator.limits[kind], objective.bucket_mismatch, without)


def by_bucket(
    histogram: Metric, labels: Labels, limit: float, bucket_mismatch: BucketMismatch, without: tuple[Selector, ...] = ()
) -> Way:
    """Count a latency by its histogram. With `refuse` the very bucket is asked for, and where there is none nothing is counted."""
    buckets, total = Selector(histogram.bucket, labels), Selector(histogram.count, labels)
    near = Near(float(limit), bucket_mismatch == "bounds", buckets, (total,), without)
    return near.exact if bucket_mismatch == "unknown" else near


def _availability(pool: Pool) -> Counting:
    """Served requests over served, failed, refused and given up while queued. A user's stop mid-stream is left out."""
    finished = metrics.FINISHED.name
    served = _select(finished, model=pool.model, reason=SERVED)
    bad = (
        _select(finished, model=pool.model, reason=FAILED),
        _select(metrics.REJECTED.name, model=pool.model),
        _select(metrics.ABANDONED.name, model=pool.model, stage="queued"),
    )
    return Counting("counter", (served,), (served, *bad))
