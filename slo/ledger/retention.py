"""Pruning old slots, and setting back marks that ran ahead of time.

Sums over hours and days of pruned slots stay, so every window that begins with a whole hour is unchanged.
"""

import json

from sqlalchemy import Connection, Engine, case, delete, func, select

from plimsoll.slo.ledger.database import writing
from plimsoll.slo.ledger.rollup import DAY
from plimsoll.slo.ledger.schema import audit, pool_progress, pool_slots, progress, slots, token_slots
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
            connection.execute(delete(token_slots).where(token_slots.c.pool == name, token_slots.c.slot < limit))


def pruned_until(engine: Engine) -> float:
    """Return the Unix time before which slots may have been pruned; 0 where none were."""
    with engine.connect() as connection:
        return pruned_until_in(connection)


def pruned_until_in(connection: Connection) -> float:
    """Return the same from within a transaction."""
    query = select(audit.c.after).where(audit.c.action.in_((ACTION, ACTION_0_1))).order_by(audit.c.id.desc()).limit(1)
    text = connection.execute(query).scalar()
    return float(json.loads(text)["until"]) if text else 0.0


def pull_back_marks(engine: Engine, now: float, final: float) -> None:
    """Set each mark that a clock moved ahead of `now` back to the last slot before it, and at most to `final` (Unix seconds): from
    there on, slots are recorded again."""
    for marks, name, stored, owner in (
        (progress, progress.c.objective, slots, slots.c.objective),
        (pool_progress, pool_progress.c.pool, pool_slots, pool_slots.c.pool),
    ):
        ahead = marks.c.recorded_until > now
        with engine.connect() as connection:
            if connection.execute(select(name).where(ahead).limit(1)).first() is None:
                continue
        last = select(func.max(stored.c.slot)).where(owner == name, stored.c.slot < now).scalar_subquery()
        until = case((last < int(final), last), (last.is_(None), 0), else_=int(final))
        with writing(engine) as connection:
            connection.execute(marks.update().where(ahead).values(recorded_until=until))
