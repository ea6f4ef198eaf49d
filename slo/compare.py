"""Two versions side by side: an objective's requests and latencies where a label has one value, and where it has another.

Counted from raw samples by the ledger's own increments, so to the request. Which requests carry a value: slo.parting.
"""

from collections.abc import Sequence
from math import ceil

from slo.ledger.booking import pad
from slo.parting import Side, parting
from slo.sources import Source
from slo.spec import Objective, Pool
from slo.windows import SLOT, first_slot, slot_of

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
