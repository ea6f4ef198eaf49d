"""A pool's demand in tokens by slot, from the ledger. Unknown slots stay unknown."""

from collections.abc import Sequence
from operator import attrgetter

import numpy as np
import pandas as pd

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.usage.slots import PoolSlot

WATCHED = 0.9  # share of a slot that must have been observed: below, what arrived in it is a lower bound


def tokens(rows: Sequence[PoolSlot]) -> "pd.Series[float]":
    """Tokens, prompt and generated, of the requests that arrived in each slot (UTC; NaN: unknown).

    Arrivals times what a request took, in the mean of its day (ratio of sums): tokens alone would show no more than the
    pool could serve.
    """
    index = pd.to_datetime(np.array([row.slot for row in rows], np.int64), unit="s", utc=True)
    if not rows:
        return pd.Series(dtype=float, index=index)
    names = ("arrivals", "finished", "input_tokens", "output_tokens", "covered_seconds")
    columns = zip(*map(attrgetter(*names), rows), strict=True)
    values = {name: np.array(column, float) for name, column in zip(names, columns, strict=True)}
    table = pd.DataFrame(values, index=index).asfreq(f"{SLOT}s")
    both = table["input_tokens"] + table["output_tokens"]
    known = both.notna() & table["finished"].notna()
    day = pd.DatetimeIndex(table.index).normalize()
    size = both.where(known).groupby(day).transform("sum") / table["finished"].where(known).groupby(day).transform(
        "sum"
    )
    whole = table["arrivals"].where(table["covered_seconds"] >= WATCHED * SLOT)
    # Without arrivals no size is needed; a day without finished requests has none.
    return (whole * size).where((whole != 0) | whole.isna(), 0.0).replace(float("inf"), float("nan"))
