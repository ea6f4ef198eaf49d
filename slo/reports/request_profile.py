"""Recent requests of a pool from the ledger: the default workload of a what-if, and when they came."""

from plimsoll.slo.calendar import SLOT, WEEK
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.usage import pool_rows

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
