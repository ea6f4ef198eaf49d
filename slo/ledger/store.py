"""Reading and writing the ledger. Writes are idempotent: booking a slot twice is booking it once."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Engine, case, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from slo.ledger.booking import SIMULATED, SlotCount
from slo.ledger.tables import progress, recommendations, slots


class Sums(NamedTuple):
    """Sums over some slots of one objective: requests, seconds observed, and whether any of them is the demo fleet's."""

    good: int
    total: int
    covered_seconds: float
    simulated: bool


class Ledger:
    """The slots of all objectives, in one database."""

    def __init__(self, engine: Engine) -> None:
        """`engine` comes from slo.ledger.tables.open_database."""
        self._engine = engine
        self._insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert

    def book(self, objective: str, spec_hash: str, counts: Sequence[SlotCount], booked_until: int) -> None:
        """Store slots and progress in one transaction.

        A slot that is there already gives way only to one that saw at least as much of the same time, or more requests: a
        source that has begun to forget, or that is half back after an outage, never overwrites better knowledge.
        """
        rows = [
            {"objective": objective, "spec_hash": spec_hash, **{name: getattr(c, name) for name in SlotCount.__slots__}}
            for c in counts
            if c.covered_seconds > 0 or c.total > 0
        ]
        with self._engine.begin() as connection:
            if rows:
                insert = self._insert(slots)
                new = insert.excluded
                update = insert.on_conflict_do_update(
                    index_elements=[slots.c.objective, slots.c.slot],
                    set_={name: new[name] for name in ("good", "total", "covered_seconds", "spec_hash", "source")},
                    where=or_(new.covered_seconds >= slots.c.covered_seconds - 0.001, new.total > slots.c.total),
                )
                connection.execute(update, rows)
            mark = self._insert(progress).values(objective=objective, booked_until=booked_until)
            connection.execute(
                mark.on_conflict_do_update(
                    index_elements=[progress.c.objective],
                    set_={"booked_until": mark.excluded.booked_until},
                    where=mark.excluded.booked_until > progress.c.booked_until,
                )
            )

    def booked_until(self) -> dict[str, int]:
        """Return per objective the time before which every slot is final."""
        with self._engine.connect() as connection:
            return {row.objective: row.booked_until for row in connection.execute(select(progress))}

    def slots(self, objective: str, start: float, end: float) -> list[Any]:
        """Return the rows of slots that begin within [start, end), in order."""
        query = select(slots).where(slots.c.objective == objective, slots.c.slot >= start, slots.c.slot < end)
        with self._engine.connect() as connection:
            return list(connection.execute(query.order_by(slots.c.slot)))

    def sums(self, start: float, end: float, objective: str | None = None) -> dict[str, Sums]:
        """Sum the slots that begin within [start, end), per objective (or of one); an objective without slots is left out."""
        query = select(
            slots.c.objective,
            func.sum(slots.c.good),
            func.sum(slots.c.total),
            func.sum(slots.c.covered_seconds),
            func.max(case((slots.c.source.contains(SIMULATED), 1), else_=0)),
        ).where(slots.c.slot >= start, slots.c.slot < end)
        if objective is not None:
            query = query.where(slots.c.objective == objective)
        with self._engine.connect() as connection:
            rows = connection.execute(query.group_by(slots.c.objective))
            return {row[0]: Sums(int(row[1]), int(row[2]), float(row[3]), bool(row[4])) for row in rows}

    def remember(self, pool: str, at: float, body: dict[str, Any]) -> None:
        """Keep a recommendation."""
        insert = self._insert(recommendations).values(pool=pool, at=round(at), body=json.dumps(body))
        with self._engine.begin() as connection:
            connection.execute(insert.on_conflict_do_nothing())

    def recommendations(self, pool: str, limit: int) -> list[dict[str, Any]]:
        """Return the newest recommendations of a pool, newest first."""
        query = select(recommendations.c.body).where(recommendations.c.pool == pool)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(recommendations.c.at.desc()).limit(limit))
            return [json.loads(row.body) for row in rows]
