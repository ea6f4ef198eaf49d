"""PromQL that shows the requests of an SLO's slots at the data source, so that a person can check what was counted."""

from typing import NamedTuple

from plimsoll.slo.sli.evidence import BOUNDS, LOWER_BOUND, Near, Way, countings
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Objective, Pool

SLOT_RANGE = "5m"


class CheckQuery(NamedTuple):
    """The queries of one kind of evidence: good and total requests of the 5 minutes before a moment.

    `good` of a threshold between bucket boundaries is every bucket by `le`, because the boundaries are known at the source only.
    """

    sources: tuple[str, ...]
    good: str
    total: str


def check_queries(objective: Objective, pool: Pool) -> list[CheckQuery]:
    """Return the queries of each way in which an SLO can be counted, best first.

    `increase()` extrapolates to the ends of its range, which the ledger doesn't: the two differ by up to a scrape interval's requests.
    """
    return [_queries(way) for way in countings(objective, pool)]


def _queries(way: Way) -> CheckQuery:
    if isinstance(way, Near):
        buckets = f"sum by (le) (increase({way.buckets.promql(over=SLOT_RANGE)}))"
        return CheckQuery((way.exact.source, LOWER_BOUND, BOUNDS), buckets, _sum(way.total, way.without))
    good = _sum(way.good, (*way.without, *way.bad))
    return CheckQuery((way.source,), good, _sum(way.total, way.without))


def _sum(first: tuple[Selector, ...], less: tuple[Selector, ...]) -> str:
    """Add and subtract counters. Only the first has to exist: a counter that was never incremented may be absent."""
    parts = [f"sum(increase({one.promql(over=SLOT_RANGE)}))" for one in (*first, *less)]
    signs = ["+"] * (len(first) - 1) + ["-"] * len(less)
    return parts[0] + "".join(f" {sign} ({part} or vector(0))" for sign, part in zip(signs, parts[1:], strict=True))
