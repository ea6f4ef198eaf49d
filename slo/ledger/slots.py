"""Reading and writing the ledger. Writes are idempotent: a slot that is recorded twice counts once."""

import json
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from math import ceil
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Engine, Executable, and_, bindparam, func, select

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.ledger.database import writing
from plimsoll.slo.ledger.invariants import knows_more, slot_problem
from plimsoll.slo.ledger.rollup import Sums, add_up, insert, renew
from plimsoll.slo.ledger.schema import audit, progress, recommendations, rollups, slots
from plimsoll.slo.ledger.usage import record_pool, record_tokens
from plimsoll.slo.sli.data_problem import DataProblem
from plimsoll.slo.sli.increments import SIMULATED, SlotCount
from plimsoll.slo.usage.slots import PoolSlot
from plimsoll.slo.usage.tokens import TokenSlot

MANUAL = "manual"  # source of a slot that a person set: no other source overwrites it


class Slot(NamedTuple):
    """A stored slot: its start, requests, seconds observed, the spec it was counted under, its kinds of evidence, and how many
    indeterminate requests (they may be good) it has beside the good ones."""

    slot: int
    good: int
    total: int
    covered_seconds: float
    spec_hash: str
    source: str
    indeterminate: int = 0


class Ledger:
    """The slots of all objectives, in one database."""

    def __init__(self, engine: Engine) -> None:
        """`engine` comes from plimsoll.slo.ledger.database.open_database."""
        self.engine = engine

    def record(
        self,
        counts: Mapping[tuple[str, str], Sequence[SlotCount]],
        recorded_until: int,
        pools: Mapping[str, Sequence[PoolSlot]] | None = None,
        tokens: Mapping[str, Sequence[TokenSlot]] | None = None,
    ) -> list[DataProblem]:
        """Store the slots of (objective, spec hash), of pools, and of their tokens by tenant, and how far they are final, in one transaction.

        Returns the rows that can't be: they aren't stored. A stored slot is replaced only by one that knows more, and a manual one
        by none (plimsoll.slo.ledger.invariants).
        """
        rows, problems = [], []
        for (objective, spec_hash), found in counts.items():
            for count in found:
                if (problem := slot_problem(objective, count)) is not None:
                    problems.append(problem)
                elif count.covered_seconds > 0 or count.total > 0:
                    rows.append(_row(objective, spec_hash, count))
        objectives = [objective for objective, _ in counts]
        with writing(self.engine) as connection:
            if rows:
                self._upsert(connection, rows, only_if_better=True)
            if objectives:
                self._mark(connection, objectives, recorded_until)
            for pool, usage in (pools or {}).items():
                problems += record_pool(connection, pool, usage, recorded_until)
            for pool, parts in (tokens or {}).items():
                record_tokens(connection, pool, parts)
        return problems

    def _upsert(self, connection: Connection, rows: list[dict[str, Any]], only_if_better: bool) -> None:
        connection.execute(_upsert_slots(self.engine.dialect.name, only_if_better), rows)
        starts = [row["slot"] for row in rows]
        renew(connection, {row["objective"] for row in rows}, min(starts), max(starts))

    def _mark(self, connection: Connection, objectives: Collection[str], recorded_until: int) -> None:
        rows = [{"objective": name, "recorded_until": recorded_until} for name in objectives]
        connection.execute(_move_progress(self.engine.dialect.name), rows)

    def recorded_until(self) -> dict[str, int]:
        """Return per objective the time before which every slot is final."""
        with self.engine.connect() as connection:
            return {row.objective: row.recorded_until for row in connection.execute(select(progress))}

    def slots(self, objective: str, start: float, end: float, limit: int | None = None) -> list[Slot]:
        """Return the slots that begin within [start, end), in order; the first `limit` of them."""
        names = ("slot", "good", "total", "covered_ms", "spec_hash", "source", "indeterminate")
        query = select(*(slots.c[name] for name in names))
        query = query.where(slots.c.objective == objective, slots.c.slot >= start, slots.c.slot < end)
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(slots.c.slot).limit(limit)).all()
        return [Slot(at, good, total, covered / 1000, *rest) for at, good, total, covered, *rest in rows]

    def bad_slots(self, objective: str, start: float, end: float) -> list[tuple[int, int, int, int]]:
        """Return (start, bad requests, indeterminate among them, total) of the slots with bad requests in [start, end), in order."""
        c = slots.c
        query = select(c.slot, c.total - c.good, c.indeterminate, c.total).where(c.total > c.good)
        query = query.where(c.objective == objective, c.slot >= start, c.slot < end).order_by(c.slot)
        with self.engine.connect() as connection:
            return list(map(tuple, connection.execute(query).all()))

    def rows(self, objective: str, size: int, start: int, end: int, stride: int | None = None) -> list[tuple[int, ...]]:
        """Return (start, good, total, milliseconds observed, indeterminate) of slots, hours or days (`size` in seconds) in [start, end), or the
        sums of those within each `stride` seconds from `start` on.
        """
        values = {"objective": objective, "size": size, "low": start, "high": end, "stride": stride or size}
        with self.engine.connect() as connection:
            found = connection.execute(_rows(size == SLOT, stride in (None, size)), values)
            return list(map(tuple, found.all()))

    def first(self, objective: str, since: float) -> int | None:
        """Return the first slot of an objective that does not begin before `since`; None where there is none."""
        query = select(func.min(slots.c.slot)).where(slots.c.objective == objective, slots.c.slot >= since)
        with self.engine.connect() as connection:
            return connection.execute(query).scalar()

    def last(self, objectives: Collection[str], before: float) -> int | None:
        """Return the last slot that begins before a moment and that is stored for some of the objectives."""
        query = select(func.max(slots.c.slot)).where(slots.c.objective.in_(objectives), slots.c.slot < before)
        with self.engine.connect() as connection:
            return connection.execute(query).scalar()

    def segments(self, edges: Sequence[int], objectives: Collection[str]) -> dict[str, list[Sums]]:
        """Sum the slots between each edge and the next, per objective; edges are slots in order of time."""
        with self.engine.connect() as connection:
            return add_up(connection, edges, objectives)

    def correct(self, objective: str, count: SlotCount, actor: str, reason: str, at: float) -> None:
        """Set a slot manually, with an audit event that keeps what it held. A simulated slot stays labeled; a manual one is exact."""
        same = and_(slots.c.objective == objective, slots.c.slot == count.slot)
        with writing(self.engine) as connection:
            before = connection.execute(select(slots).where(same)).mappings().first()
            simulated = SIMULATED in (before["source"] if before else count.source)
            source = f"{MANUAL}+{SIMULATED}" if simulated else MANUAL
            row = _row(objective, before["spec_hash"] if before else "", count) | {"source": source}
            self._upsert(connection, [row], only_if_better=False)
            write_audit_event(
                connection,
                at,
                (actor, reason),
                ("slot corrected", f"{objective} {count.slot}"),
                dict(before or {}),
                row,
            )

    def save_recommendation(
        self, pool: str, at: float, body: dict[str, Any], measured_state: str | None = None
    ) -> None:
        """Store a recommendation, and the state after it as JSON text."""
        values = {"pool": pool, "at": round(at), "body": json.dumps(body), "measured_state": measured_state}
        new = insert(self.engine.dialect.name, recommendations).values(values)
        with writing(self.engine) as connection:
            connection.execute(new.on_conflict_do_nothing())

    def recommendations(self, pool: str, limit: int, before: float | None = None) -> list[dict[str, Any]]:
        """Return the newest recommendations of a pool, newest first; only those made before a moment, where it is given."""
        query = select(recommendations.c.body).where(recommendations.c.pool == pool)
        query = query if before is None else query.where(recommendations.c.at < ceil(before))
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(recommendations.c.at.desc()).limit(limit))
            return [json.loads(row.body) for row in rows]


@cache
def _upsert_slots(dialect: str, only_if_better: bool) -> Executable:
    row = insert(dialect, slots)
    new = row.excluded
    fields = ("good", "total", "covered_ms", "spec_hash", "source", "indeterminate", "scrapes", "samples")
    better = and_(knows_more(new, slots.c), slots.c.source.not_like(f"{MANUAL}%"))
    return row.on_conflict_do_update(
        index_elements=[slots.c.objective, slots.c.slot],
        set_={name: new[name] for name in fields},
        where=better if only_if_better else None,
    )


@cache
def _rows(of_slots: bool, each: bool) -> Executable:
    at, table = (slots.c.slot, slots) if of_slots else (rollups.c.start, rollups)
    numbers = [table.c.good, table.c.total, table.c.covered_ms, table.c.indeterminate]
    low, high = bindparam("low", type_=BigInteger), bindparam("high", type_=BigInteger)
    begin = at - (at - low) % bindparam("stride", type_=BigInteger)
    query = select(at, *numbers) if each else select(begin, *(func.sum(number) for number in numbers)).group_by(begin)
    query = query.where(table.c.objective == bindparam("objective"), at >= low, at < high)
    return query if of_slots else query.where(rollups.c.size == bindparam("size"))


@cache
def _move_progress(dialect: str) -> Executable:
    mark = insert(dialect, progress)
    return mark.on_conflict_do_update(
        index_elements=[progress.c.objective],
        set_={"recorded_until": mark.excluded.recorded_until},
        where=mark.excluded.recorded_until > progress.c.recorded_until,
    )


def write_audit_event(
    connection: Connection,
    at: float,
    author: tuple[str, str],
    change: tuple[str, str],
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> None:
    """Write an audit event: (actor, reason), (action, subject), and the state before and after."""
    row = dict(zip(("actor", "reason", "action", "subject"), (*author, *change), strict=True))
    texts = {name: json.dumps(body) if body else None for name, body in (("before", before), ("after", after))}
    connection.execute(audit.insert().values(at=at, **row, **texts))


def _row(objective: str, spec_hash: str, count: SlotCount) -> dict[str, Any]:
    return {
        "objective": objective,
        "slot": count.slot,
        "good": count.good,
        "total": count.total,
        "covered_ms": round(count.covered_seconds * 1000),
        "spec_hash": spec_hash,
        "source": count.source,
        "indeterminate": count.indeterminate,
        "scrapes": count.scrapes,
        "samples": count.samples,
    }
