"""A pool's traffic and cost over months, summed by the database: a quarter has 26,000 slots."""

from functools import cache
from math import fsum

from sqlalchemy import Engine, Executable, bindparam, func, select

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.capacity.model.prices import SECONDS_PER_HOUR
from plimsoll.slo.ledger.schema import pool_slots
from plimsoll.slo.reports.pool_cost import Used, cost_usd, node_hours
from plimsoll.slo.reports.review_pool import PoolUsage
from plimsoll.slo.spec.objectives import Pool
from plimsoll.slo.usage.slots import PoolSlot

SUMS = ("arrivals", "input_tokens", "output_tokens", "rejected", "preemptions", "replica_disruptions")


def usage(engine: Engine, pool: Pool, start: int, end: int) -> tuple[PoolUsage, bool]:
    """Return the usage of a pool from `start` to `end` (Unix seconds), and whether any of it is simulated."""
    with engine.connect() as connection:
        found = connection.execute(_query(), {"pool": pool.name, "start": start, "end": end}).mappings().all()
    # Slots with the same nodes cost the same per second, so they are priced together, as one long slot.
    rows = [
        PoolSlot(
            0,
            int(one["covered"]) / 1000,
            nodes=one["nodes"],
            simulated=bool(one["simulated"]),
            **{name: None if one[name] is None else int(one[name]) for name in SUMS},
        )
        for one in found
    ]
    watched = [row for row in rows if row.nodes is not None]
    used = Used.of(pool.node, [row for row, one in zip(rows, found, strict=True) if one["complete"]])
    hours = node_hours(watched) if watched else None
    peaks = [one["peak"] for one in found if one["peak"] is not None]
    return PoolUsage(
        coverage=min(1.0, fsum(row.covered_seconds for row in rows) / (end - start)) if end > start else 0.0,
        peak_tokens_per_second=max(peaks) / SLOT if peaks else None,
        nodes=hours and hours * SECONDS_PER_HOUR / fsum(row.covered_seconds for row in watched),
        node_hours=hours,
        cost_usd=cost_usd(pool.node, watched) if hours else None,
        usd_per_million_tokens=used.usd_per_million(used.tokens),
        **{name: _sum(rows, name) for name in SUMS},
    ), any(row.simulated for row in rows)


def _sum(rows: list[PoolSlot], name: str) -> int | None:
    known = [value for row in rows if (value := getattr(row, name)) is not None]
    return sum(known) if known else None


@cache
def _query() -> Executable:
    """Sum slots that have the same nodes, apart by whether both counts of tokens are known (the cost per token needs both)."""
    c = pool_slots.c
    complete = c.input_tokens.is_not(None) & c.output_tokens.is_not(None)
    return (
        select(
            c.nodes,
            complete.label("complete"),
            func.sum(c.covered_ms).label("covered"),
            func.max(c.simulated).label("simulated"),
            func.max(c.input_tokens + c.output_tokens).label("peak"),
            *(func.sum(c[name]).label(name) for name in SUMS),
        )
        .where(c.pool == bindparam("pool"), c.slot >= bindparam("start"), c.slot < bindparam("end"))
        .group_by(c.nodes, complete)
    )
