"""Recent requests of a pool from the ledger: the default workload of a what-if, and when they came."""

from plimsoll.slo.calendar import SLOT, WEEK
from plimsoll.slo.capacity.recommendation.topology.batch import BatchLoad
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.usage import pool_rows, token_sums
from plimsoll.slo.spec.objectives import Pool

RECENT = 3 * SLOT  # seconds over which batch traffic is looked at: the last whole slots
WATCHED = 0.9  # share of a slot that must be observed to count its request rate


def requests_of(ledger: Ledger, pool: str, now: float) -> dict[str, float]:
    """Return `input_tokens` and `output_tokens`, mean tokens of a finished request of the last seven days, and `request_rate`, requests per second of
    their busiest slot; what is not known is left out."""
    found: dict[str, float] = {}
    rows = [row for row in pool_rows(ledger.engine, pool, now - WEEK, now) if row.covered_seconds >= WATCHED * SLOT]
    ended = [row for row in rows if None not in (row.finished, row.input_tokens, row.output_tokens)]
    requests = sum(row.finished or 0 for row in ended)
    if requests:
        found["input_tokens"] = sum(row.input_tokens or 0 for row in ended) / requests
        found["output_tokens"] = sum(row.output_tokens or 0 for row in ended) / requests
    busiest = max((row.arrivals / row.covered_seconds for row in rows if row.arrivals), default=None)
    return found if busiest is None else {**found, "request_rate": busiest}


def arrivals_of(ledger: Ledger, pool: str, now: float) -> list[tuple[int, int | None]]:
    """Return start and arrivals of each slot of the last seven days; None where they are not known or not fully observed."""
    return [
        (row.slot, row.arrivals if row.covered_seconds >= WATCHED * SLOT else None)
        for row in pool_rows(ledger.engine, pool, now - WEEK, now)
    ]


def batch_load(ledger: Ledger, pool: Pool, now: float) -> BatchLoad | None:
    """Return the pool's traffic of its batch tenants in the last whole slots; None where none is named, or gateways counted none."""
    if not pool.batch_tenants:
        return None
    end = now // SLOT * SLOT
    begin = end - RECENT
    rows = [
        row
        for row in pool_rows(ledger.engine, pool.name, begin, end)
        if None not in (row.nodes, row.input_tokens, row.output_tokens)
    ]
    every = sum((row.input_tokens or 0) + (row.output_tokens or 0) for row in rows)
    used = {tenant: 0 for tenant in pool.batch_tenants}
    for (tenant, _), tokens in token_sums(ledger.engine, pool.name, begin, end).items():
        if tenant in used:
            used[tenant] += sum(tokens)
    batch, seconds = sum(used.values()), sum(row.covered_seconds for row in rows)
    if not batch or not every or not seconds:
        return None
    tenants = tuple(tenant for tenant, tokens in used.items() if tokens)
    return BatchLoad(tenants, batch / seconds, min(1.0, batch / every), seconds)
