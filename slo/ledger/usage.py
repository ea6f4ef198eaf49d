"""Reading and writing pool usage: one row per pool and slot. A slot that is recorded twice counts once."""

from collections.abc import Sequence
from functools import cache

from sqlalchemy import Connection, Engine, Executable, and_, delete, func, select

from plimsoll.slo.ledger.invariants import pool_knows_more, pool_problem
from plimsoll.slo.ledger.rollup import insert
from plimsoll.slo.ledger.schema import POOL_MEASURED, pool_progress, pool_slots, token_slots
from plimsoll.slo.sli.data_problem import DataProblem
from plimsoll.slo.usage.slots import PoolSlot
from plimsoll.slo.usage.tokens import Part, TokenSlot

# The columns before and after `simulated`, in the order of PoolSlot's fields.
_FIELDS = list(PoolSlot.__struct_fields__)
_MEASURED_FIRST = [name for name in _FIELDS[: _FIELDS.index("simulated")] if name in POOL_MEASURED]
_MEASURED_LAST = [name for name in _FIELDS[_FIELDS.index("simulated") :] if name in POOL_MEASURED]


def record_pool(connection: Connection, pool: str, rows: Sequence[PoolSlot], recorded_until: int) -> list[DataProblem]:
    """Store a pool's slots and how far they are final; return the rows that can't be, which aren't stored. A stored slot is replaced
    only by one that knows more (plimsoll.slo.ledger.invariants).
    """
    dialect, problems = connection.dialect.name, [pool_problem(pool, row) for row in rows]
    values = [
        {name: getattr(row, name) for name in ("slot", *POOL_MEASURED)}
        | {"pool": pool, "covered_ms": round(row.covered_seconds * 1000), "simulated": int(row.simulated)}
        for row, problem in zip(rows, problems, strict=True)
        if problem is None
    ]
    if values:
        connection.execute(_upsert(dialect), values)
    connection.execute(_move(dialect), {"pool": pool, "recorded_until": recorded_until})
    return [problem for problem in problems if problem is not None]


def pools_recorded_until(engine: Engine) -> dict[str, int]:
    """Return per pool the time before which every slot is final."""
    with engine.connect() as connection:
        return {row.pool: row.recorded_until for row in connection.execute(select(pool_progress))}


def pool_rows(engine: Engine, pool: str, start: float, end: float, limit: int | None = None) -> list[PoolSlot]:
    """Return a pool's slots that begin within [start, end), in order; the first `limit` of them.

    A slot that is not there was not observed: unknown, not idle.
    """
    # By position: a month has 8,000 rows of 22 columns, and a page waits for them.
    columns = [pool_slots.c[name] for name in _MEASURED_FIRST + _MEASURED_LAST]
    query = select(pool_slots.c.slot, pool_slots.c.covered_ms, pool_slots.c.simulated, *columns)
    query = query.where(pool_slots.c.pool == pool, pool_slots.c.slot >= start, pool_slots.c.slot < end)
    with engine.connect() as connection:
        rows = connection.execute(query.order_by(pool_slots.c.slot).limit(limit)).all()
    until = 3 + len(_MEASURED_FIRST)
    ordered = ((row[0], row[1] / 1000, *row[3:until], bool(row[2]), *row[until:]) for row in map(tuple, rows))
    return [PoolSlot(*values) for values in ordered]


def record_tokens(connection: Connection, pool: str, rows: Sequence[TokenSlot]) -> None:
    """Replace a pool's tokens in the slots of `rows`, except in slots that were read more often before."""
    new = {row.slot: row.scrapes for row in rows}
    mine = and_(token_slots.c.pool == pool, token_slots.c.slot.in_(new))
    stored = select(token_slots.c.slot, func.max(token_slots.c.scrapes)).where(mine).group_by(token_slots.c.slot)
    known = {slot: scrapes for slot, scrapes in connection.execute(stored).all()}
    better = [slot for slot, scrapes in new.items() if scrapes >= known.get(slot, 0)]
    connection.execute(delete(token_slots).where(mine, token_slots.c.slot.in_(better)))
    values = [{"pool": pool, **row._asdict()} for row in rows if row.slot in better]
    if values:
        connection.execute(token_slots.insert(), values)


def token_sums(engine: Engine, pool: str, start: float, end: float) -> dict[Part, tuple[int, int]]:
    """Return the input and output tokens of each tenant and adapter over the slots within [start, end) whose nodes and tokens are known of
    the pool: those that its cost is made from."""
    tokens, usage = token_slots.c, pool_slots.c
    same = and_(tokens.pool == usage.pool, tokens.slot == usage.slot)
    sums = [func.sum(column) for column in (tokens.input_tokens, tokens.output_tokens)]
    known = [column.is_not(None) for column in (usage.nodes, usage.input_tokens, usage.output_tokens)]
    query = select(tokens.tenant, tokens.adapter, *sums).join_from(token_slots, pool_slots, same)
    query = query.where(tokens.pool == pool, tokens.slot >= start, tokens.slot < end, *known)
    with engine.connect() as connection:
        rows = connection.execute(query.group_by(tokens.tenant, tokens.adapter)).all()
    return {(tenant, adapter): (int(given), int(made)) for tenant, adapter, given, made in rows}


@cache
def _upsert(dialect: str) -> Executable:
    row = insert(dialect, pool_slots)
    new, fields = row.excluded, ("covered_ms", *POOL_MEASURED, "simulated")
    return row.on_conflict_do_update(
        index_elements=[pool_slots.c.pool, pool_slots.c.slot],
        set_={name: new[name] for name in fields},
        where=pool_knows_more(new, pool_slots.c),
    )


@cache
def _move(dialect: str) -> Executable:
    mark = insert(dialect, pool_progress)
    return mark.on_conflict_do_update(
        index_elements=[pool_progress.c.pool],
        set_={"recorded_until": mark.excluded.recorded_until},
        where=mark.excluded.recorded_until > pool_progress.c.recorded_until,
    )
