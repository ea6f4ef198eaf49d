"""Keeping what was last known of a pool's step times: one row per pool."""

from typing import NamedTuple

from sqlalchemy import Engine, select

from slo.ledger.database import writing
from slo.ledger.rollup import insert
from slo.ledger.tables import calibrations


class Look(NamedTuple):
    """The last look at a pool: when (Unix seconds), why it told nothing new (None: it did), and the last good fit, as JSON."""

    pool: str
    looked_at: float
    reason: str | None
    body: str | None


def keep_look(engine: Engine, look: Look) -> None:
    """Keep the last look at a pool."""
    new = insert(engine.dialect.name, calibrations).values(look._asdict())
    values = {name: new.excluded[name] for name in Look._fields if name != "pool"}
    with writing(engine) as connection:
        connection.execute(new.on_conflict_do_update(index_elements=[calibrations.c.pool], set_=values))


def last_look(engine: Engine, pool: str) -> Look | None:
    """Return the last look at a pool; None where nobody looked yet."""
    with engine.connect() as connection:
        row = connection.execute(select(calibrations).where(calibrations.c.pool == pool)).first()
        return None if row is None else Look(*row)
