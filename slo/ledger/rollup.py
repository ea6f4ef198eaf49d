"""Sums over hours and days beside the slots: exact, because they are whole numbers, and renewed with every slot of theirs."""

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Executable, Table, bindparam, case, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.ledger.schema import rollups, slots
from plimsoll.slo.sli.increments import SIMULATED

HOUR = 3600
DAY = 86400
SIZES = (DAY, HOUR)


class Sums(NamedTuple):
    """Sums over some slots of one objective: requests, milliseconds observed, whether any of them is the demo fleet's, and how
    many requests more than `good` may be good."""

    good: int
    total: int
    covered_ms: int
    simulated: bool
    indeterminate: int = 0

    def plus(self, other: "Sums") -> "Sums":
        """Add up both."""
        return Sums(
            self.good + other.good,
            self.total + other.total,
            self.covered_ms + other.covered_ms,
            self.simulated or other.simulated,
            self.indeterminate + other.indeterminate,
        )


NONE = Sums(0, 0, 0, False)


def insert(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that knows the database's ON CONFLICT."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


def parts(start: int, end: int, sizes: Sequence[int] = SIZES) -> Iterator[tuple[int, int, int]]:
    """Cut [start, end) into (size, from, to): whole days, then the whole hours around them, then the slots at the rims."""
    if not sizes or start >= end:
        if start < end:
            yield SLOT, start, end
        return
    size, smaller = sizes[0], sizes[1:]
    low, high = -(-start // size) * size, end // size * size
    if low >= high:
        yield from parts(start, end, smaller)
        return
    yield size, low, high
    yield from parts(start, low, smaller)
    yield from parts(high, end, smaller)


def add_up(connection: Connection, edges: Sequence[int], objectives: Collection[str]) -> dict[str, list[Sums]]:
    """Sum the slots between each edge and the next, per objective, from the largest sums that fit."""
    found: dict[str, list[Sums]] = {objective: [NONE] * (len(edges) - 1) for objective in objectives}
    for index, (start, end) in enumerate(pairwise(edges)):
        for size, low, high in parts(start, end):
            values = {"objectives": list(objectives), "low": low, "high": high}
            for name, good, total, covered, simulated, indeterminate in connection.execute(_sum(size), values):
                new = Sums(int(good), int(total), int(covered), bool(simulated), int(indeterminate))
                found[name][index] = found[name][index].plus(new)
    return found


@cache
def _sum(size: int) -> Executable:
    table, at, kind = (
        (slots, slots.c.slot, _simulated()) if size == SLOT else (rollups, rollups.c.start, rollups.c.simulated)
    )
    good, total, covered, indeterminate = (
        func.sum(table.c[name]) for name in ("good", "total", "covered_ms", "indeterminate")
    )
    query = (
        select(table.c.objective, good, total, covered, func.max(kind), indeterminate)
        .group_by(table.c.objective)
        .where(
            table.c.objective.in_(bindparam("objectives", expanding=True)),
            at >= bindparam("low"),
            at < bindparam("high"),
        )
    )
    return query if size == SLOT else query.where(rollups.c.size == size)


def renew(connection: Connection, objectives: Collection[str], first: int, last: int) -> None:
    """Sum again the hours and days that hold the slots from `first` to `last`."""
    for size in (HOUR, DAY):
        span = {"low": first - first % size, "high": last - last % size + size}
        connection.execute(_renew(connection.dialect.name, size), {"objectives": list(objectives), **span})


@cache
def _renew(dialect: str, size: int) -> Executable:
    """Hours are summed from slots, days from hours."""
    table, at, kind = (
        (slots, slots.c.slot, _simulated()) if size == HOUR else (rollups, rollups.c.start, rollups.c.simulated)
    )
    begin = (at - at % size).label("begin")
    names = ("good", "total", "covered_ms", "indeterminate")
    sums = [func.sum(table.c[name]).label(name) for name in names]
    query = select(table.c.objective, literal(size), begin, *sums, func.max(kind)).group_by(table.c.objective, begin)
    query = query.where(
        table.c.objective.in_(bindparam("objectives", expanding=True)), at >= bindparam("low"), at < bindparam("high")
    )
    if size == DAY:
        query = query.where(rollups.c.size == HOUR)
    columns = ["objective", "size", "start", *names, "simulated"]
    new = insert(dialect, rollups).from_select(columns, query)
    return new.on_conflict_do_update(
        index_elements=["objective", "size", "start"], set_={name: new.excluded[name] for name in columns[3:]}
    )


def _simulated() -> ColumnElement[int]:
    return case((slots.c.source.contains(SIMULATED), 1), else_=0)
