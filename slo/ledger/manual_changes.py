"""What people change: exclusions, each with an audit row that says who, when and why."""

from dataclasses import asdict, replace
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import Engine, func, select

from plimsoll.slo.error_budget.exclusions import Exclusion
from plimsoll.slo.ledger.database import writing
from plimsoll.slo.ledger.schema import audit, exclusions, slots
from plimsoll.slo.ledger.slots import note


class AlreadyCanceled(Exception):
    """The exclusion does not count any more."""


def exclude(engine: Engine, exclusion: Exclusion, at: float) -> Exclusion:
    """Keep an exclusion, and return it with its id; whether it concerns the past or the future, there is an audit row."""
    kept = replace(exclusion, id=str(uuid4()), created_at=at)
    with writing(engine) as connection:
        connection.execute(exclusions.insert().values(asdict(kept)))
        note(connection, at, (kept.created_by, kept.reason), ("exclusion added", kept.id or ""), None, asdict(kept))
    return kept


def cancel(engine: Engine, name: str, actor: str, reason: str, at: float) -> Exclusion:
    """Let an exclusion count no more; it stays on record. Raises KeyError (no such id) or AlreadyCanceled."""
    with writing(engine) as connection:
        row = connection.execute(select(exclusions).where(exclusions.c.id == name)).mappings().first()
        if row is None:
            raise KeyError(name)
        before = Exclusion(**row)
        if before.canceled_at is not None:
            raise AlreadyCanceled(name)
        after = replace(before, canceled_at=at)
        connection.execute(exclusions.update().where(exclusions.c.id == name).values(canceled_at=at))
        note(connection, at, (actor, reason), ("exclusion canceled", name), asdict(before), asdict(after))
    return after


def kept_exclusions(engine: Engine) -> list[Exclusion]:
    """Return every exclusion that was ever made through the API, the canceled ones too, newest first."""
    with engine.connect() as connection:
        rows = connection.execute(select(exclusions).order_by(exclusions.c.created_at.desc(), exclusions.c.id))
        return [Exclusion(**row) for row in rows.mappings()]


def audit_rows(engine: Engine, before: int | None, limit: int) -> list[dict[str, Any]]:
    """Return the newest audit rows, newest first; only those with an id below `before`, where it is given."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    with engine.connect() as connection:
        rows = connection.execute(query if before is None else query.where(audit.c.id < before))
        return [dict(row) for row in rows.mappings()]


def audit_within(engine: Engine, start: float, end: float) -> list[dict[str, Any]]:
    """Return the audit rows written in [start, end), oldest first."""
    query = select(audit).where(audit.c.at >= start, audit.c.at < end).order_by(audit.c.id)
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


class Redefined(NamedTuple):
    """An objective that is counted by another definition from a slot on: hashes as plimsoll.slo.spec.objectives.Objective.spec_hash gives them."""

    objective: str
    slot: int
    before: str
    after: str


def redefined(engine: Engine, since: int, start: int, end: int) -> list[Redefined]:
    """Return what was defined again in [start, end), in order of time, as far as slots from `since` on tell what was before."""
    before = func.lag(slots.c.spec_hash).over(partition_by=slots.c.objective, order_by=slots.c.slot)
    # A slot that a person set where none was has no definition of its own.
    each = select(slots.c.objective, slots.c.slot, before.label("before"), slots.c.spec_hash.label("after"))
    steps = each.where(slots.c.slot >= since, slots.c.slot < end, slots.c.spec_hash != "").subquery()
    query = select(steps).where(steps.c.before != steps.c.after, steps.c.slot >= start)
    with engine.connect() as connection:
        return [Redefined(*row) for row in connection.execute(query.order_by(steps.c.slot, steps.c.objective))]
