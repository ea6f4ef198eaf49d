"""A pool's demand in tokens by slot, from the ledger. Unknown slots stay unknown."""

from collections.abc import Sequence
from operator import attrgetter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from plimsoll.slo.calendar import DAY, SLOT
from plimsoll.slo.usage.slots import PoolSlot

Floats = NDArray[np.float64]
WATCHED = 0.9  # share of a slot that must have been observed: below, what arrived in it is a lower bound
_FIELDS = attrgetter("slot", "arrivals", "finished", "input_tokens", "output_tokens", "covered_seconds")


def tokens(rows: Sequence[PoolSlot]) -> "pd.Series[float]":
    """Return the same as `tokens_by_slot` by time (UTC), with NaN in the slots between that have no row."""
    found = tokens_by_slot(rows)
    index = pd.to_datetime(np.array([row.slot for row in rows], np.int64), unit="s", utc=True)
    series = pd.Series(found, index=index, dtype=float)
    return series.asfreq(f"{SLOT}s") if rows else series


def tokens_by_slot(rows: Sequence[PoolSlot]) -> Floats:
    """Return the tokens, prompt and generated, of the requests that arrived in each row's slot (NaN: unknown).

    Arrivals times what a request took, in the mean of its day (UTC; ratio of sums): tokens alone would show no more than the
    pool could serve.
    """
    if not rows:
        return np.array([])
    slots, arrivals, finished, prompt, generated, covered = np.array([_FIELDS(row) for row in rows], float).T
    both = prompt + generated
    known = ~np.isnan(both) & ~np.isnan(finished)
    _, day = np.unique(slots // DAY, return_inverse=True)
    sums = (np.bincount(day, np.where(known, values, 0.0)) for values in (both, finished))
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.divide(*sums)[day]  # a day without finished requests has none
        demand = np.where(arrivals == 0, 0.0, arrivals * size)  # without arrivals no size is needed
    return np.where((covered >= WATCHED * SLOT) & np.isfinite(demand), demand, np.nan)
