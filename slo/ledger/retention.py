"""Pruning old slots. Their sums over hours and days stay, so every window that begins with a whole hour is unchanged."""

import json

from sqlalchemy import Connection, Engine, delete, select

from plimsoll.slo.ledger.database import writing
from plimsoll.slo.ledger.rollup import DAY
from plimsoll.slo.ledger.schema import audit, pool_progress, pool_slots, progress, slots
from plimsoll.slo.ledger.slots import write_audit_event

ACTION, ACTION_0_1 = "slots pruned", "slots thinned"  # audit rows of 0.1 keep their own word


def prune(engine: Engine, before: float, now: float) -> None:
    """Delete the slots of the whole days before a time, one SLO or pool at a time; an audit event records that time."""
    limit = before // DAY * DAY
    if limit <= pruned_until(engine):
        return
    with writing(engine) as connection:
        author = ("plimsoll", "outside every SLO window; hourly and daily sums stay")
        write_audit_event(connection, now, author, (ACTION, "all objectives"), None, {"until": limit})
        names = list(connection.execute(select(progress.c.objective)).scalars())
        pools = list(connection.execute(select(pool_progress.c.pool)).scalars())
    for name in names:
        with writing(engine) as connection:
            connection.execute(delete(slots).where(slots.c.objective == name, slots.c.slot < limit))
    for name in pools:
        with writing(engine) as connection:
            connection.execute(delete(pool_slots).where(pool_slots.c.pool == name, pool_slots.c.slot < limit))


def pruned_until(engine: Engine) -> float:
    """Return the Unix time before which slots may have been pruned; 0 where none were."""
    with engine.connect() as connection:
        return pruned_until_in(connection)


def pruned_until_in(connection: Connection) -> float:
    """Return the same from within a transaction."""
    query = select(audit.c.after).where(audit.c.action.in_((ACTION, ACTION_0_1))).order_by(audit.c.id.desc()).limit(1)
    text = connection.execute(query).scalar()
    return float(json.loads(text)["until"]) if text else 0.0
