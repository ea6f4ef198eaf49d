"""Keeping what was last known of a pool's step times: one row per pool."""

from typing import NamedTuple

import msgspec
from sqlalchemy import Engine, select

from slo.capacity.own import OwnReplica
from slo.ledger.database import writing
from slo.ledger.rollup import insert
from slo.ledger.tables import calibrations
from slo.spec import Pool


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


def kept_fit(engine: Engine, pool: Pool) -> OwnReplica | None:
    """Return the last good fit of what the pool runs today; None where there is none."""
    look = last_look(engine, pool.name)
    return None if look is None else fit_of(look, pool)


def fit_of(look: Look, pool: Pool) -> OwnReplica | None:
    """Return the fit that a look has kept, if it is of what the pool runs today."""
    if look.body is None:
        return None
    try:
        kept = msgspec.json.decode(look.body, type=OwnReplica)
    except msgspec.ValidationError:  # of a version that told less: the next look tells it anew
        return None
    return kept if kept.runs_as(pool) else None
