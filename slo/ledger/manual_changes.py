"""Manual changes: exclusions, announced rollouts and events, and answers to recommendations; each has an audit event that states actor, time and reason."""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple
from uuid import NAMESPACE_URL, uuid4, uuid5

from sqlalchemy import Engine, func, or_, select

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.error_budget.exclusions import Exclusion
from plimsoll.slo.ledger.database import writing
from plimsoll.slo.ledger.schema import audit, exclusions, recommendations, slots
from plimsoll.slo.ledger.slots import write_audit_event
from plimsoll.slo.spec.event import AnnouncedEvent
from plimsoll.slo.spec.exclusion import Exclusion as QueriedExclusion

ANNOUNCED = "rollout announced"  # action of the audit
EVENT_ANNOUNCED, EVENT_CANCELED = "event announced", "event canceled"
Answer = Literal["done", "later", "no"]
ACKNOWLEDGED = "recommendation acknowledged"


class Acknowledgement(NamedTuple):
    """The answer to the recommendation that a pool was given at a moment (the ledger's, in whole Unix seconds): by whose decision, why, and when."""

    pool: str
    recommended_at: int
    answer: Answer
    actor: str
    reason: str
    at: float


class AlreadyCanceledError(Exception):
    """The exclusion or event is already canceled."""


@dataclass(frozen=True, slots=True)
class AnnouncedRollout:
    """A rollout of a pool's replicas to another version from `start` to `end` (Unix seconds), of at most `max_unavailable` at once."""

    pool: str
    version: str
    start: float
    end: float
    max_unavailable: int
    created_by: str
    reason: str


def exclude_slots(engine: Engine, wanted: QueriedExclusion, slots: Iterable[int], at: float) -> None:
    """Store the slots in which an exclusion's query had a result, each once, also where it was canceled since."""
    prefix = f"{wanted.query}|{wanted.objective or ''}|{wanted.pool or ''}|"
    named = {str(uuid5(NAMESPACE_URL, f"{prefix}{slot}")): slot for slot in slots}
    with engine.connect() as connection:
        known = set(connection.scalars(select(exclusions.c.id).where(exclusions.c.id.in_(named))))
    for name, slot in named.items():
        if name not in known:
            one = Exclusion(slot, slot + SLOT, wanted.created_by, wanted.reason, wanted.objective, wanted.pool)
            exclude(engine, one, at, name)


def exclude(engine: Engine, exclusion: Exclusion, at: float, name: str | None = None) -> Exclusion:
    """Store an exclusion of the past or the future, with an audit event; return it with its ID, by default a new one."""
    stored = replace(exclusion, id=name or str(uuid4()), created_at=at)
    with writing(engine) as connection:
        connection.execute(exclusions.insert().values(asdict(stored)))
        write_audit_event(
            connection,
            at,
            (stored.created_by, stored.reason),
            ("exclusion added", stored.id or ""),
            None,
            asdict(stored),
        )
    return stored


def cancel(engine: Engine, name: str, actor: str, reason: str, at: float) -> Exclusion:
    """Cancel an exclusion; it stays on record. Raises KeyError (no such ID) or AlreadyCanceledError."""
    with writing(engine) as connection:
        row = connection.execute(select(exclusions).where(exclusions.c.id == name)).mappings().first()
        if row is None:
            raise KeyError(name)
        before = Exclusion(**row)
        if before.canceled_at is not None:
            raise AlreadyCanceledError(name)
        after = replace(before, canceled_at=at)
        connection.execute(exclusions.update().where(exclusions.c.id == name).values(canceled_at=at))
        write_audit_event(connection, at, (actor, reason), ("exclusion canceled", name), asdict(before), asdict(after))
    return after


def stored_exclusions(engine: Engine) -> list[Exclusion]:
    """Return every exclusion created through the API, canceled ones included, newest first."""
    with engine.connect() as connection:
        rows = connection.execute(select(exclusions).order_by(exclusions.c.created_at.desc(), exclusions.c.id))
        return [Exclusion(**row) for row in rows.mappings()]


def announce(engine: Engine, rollout: AnnouncedRollout) -> None:
    """Record a rollout, in place of the one that its pool has; the audit is its only record."""
    author, change = (rollout.created_by, rollout.reason), (ANNOUNCED, rollout.pool)
    with writing(engine) as connection:
        write_audit_event(connection, rollout.start, author, change, None, asdict(rollout))


def announced_rollouts(engine: Engine, now: float) -> dict[str, AnnouncedRollout]:
    """Return the announced rollout of each pool that is in one: the newest announcement, until its end."""
    newest = select(func.max(audit.c.id)).where(audit.c.action == ANNOUNCED).group_by(audit.c.subject)
    with engine.connect() as connection:
        found = [
            AnnouncedRollout(**json.loads(row))
            for row in connection.scalars(select(audit.c.after).where(audit.c.id.in_(newest)))
        ]
    return {one.pool: one for one in found if one.start <= now < one.end}


def announce_event(engine: Engine, event: AnnouncedEvent, actor: str, reason: str, at: float) -> AnnouncedEvent:
    """Record an event and return it with its ID; the audit is its only record."""
    stored = replace(event, created_by=actor, reason=reason, id=str(uuid4()), created_at=at)
    with writing(engine) as connection:
        change = (EVENT_ANNOUNCED, stored.id or "")
        write_audit_event(connection, at, (actor, reason), change, None, asdict(stored))
    return stored


def cancel_event(engine: Engine, name: str, actor: str, reason: str, at: float) -> AnnouncedEvent:
    """Cancel an event; it stays on record. Raises KeyError (no such ID) or AlreadyCanceledError."""
    with writing(engine) as connection:
        before = {one.id: one for one in announced_events(engine)}[name]
        if before.canceled_at is not None:
            raise AlreadyCanceledError(name)
        after = replace(before, canceled_at=at)
        change = (EVENT_CANCELED, name)
        write_audit_event(connection, at, (actor, reason), change, asdict(before), asdict(after))
    return after


def announced_events(engine: Engine) -> list[AnnouncedEvent]:
    """Return every event announced through the API, canceled ones included, newest first."""
    query = select(audit.c.after).where(audit.c.action.in_((EVENT_ANNOUNCED, EVENT_CANCELED))).order_by(audit.c.id)
    with engine.connect() as connection:
        found = [AnnouncedEvent(**json.loads(row)) for row in connection.scalars(query)]
    return list(reversed({one.id: one for one in found}.values()))


def acknowledge(engine: Engine, given: Acknowledgement) -> None:
    """Record an answer as an audit event; the newest one of a recommendation holds. Raises KeyError where it was never made."""
    key = (given.pool, given.recommended_at)
    made = select(recommendations.c.at).where(recommendations.c.pool == key[0], recommendations.c.at == key[1])
    before = acknowledgements(engine, given.pool).get(given.recommended_at)
    with writing(engine) as connection:
        if connection.execute(made).first() is None:
            raise KeyError(key)
        change = (ACKNOWLEDGED, f"{given.pool} {given.recommended_at}")
        was = before._asdict() if before else None
        write_audit_event(connection, given.at, (given.actor, given.reason), change, was, given._asdict())


def acknowledgements(engine: Engine, pool: str) -> dict[int, Acknowledgement]:
    """Return the newest answer to each recommendation of a pool that has one, by the recommendation's time."""
    mine = (audit.c.action == ACKNOWLEDGED, audit.c.subject.startswith(f"{pool} ", autoescape=True))
    with engine.connect() as connection:
        rows = connection.execute(select(audit.c.after).where(*mine).order_by(audit.c.id))
        found = [Acknowledgement(**json.loads(row.after)) for row in rows]
    return {one.recommended_at: one for one in found}


def audit_events(engine: Engine, before: int | None, limit: int) -> list[dict[str, Any]]:
    """Return the newest audit events, newest first; only those with an ID below `before`, where it is given."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    with engine.connect() as connection:
        rows = connection.execute(query if before is None else query.where(audit.c.id < before))
        return [dict(row) for row in rows.mappings()]


def audit_events_within(engine: Engine, start: float, end: float) -> list[dict[str, Any]]:
    """Return the audit events written in [start, end), oldest first."""
    query = select(audit).where(audit.c.at >= start, audit.c.at < end).order_by(audit.c.id)
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


class Redefined(NamedTuple):
    """An SLO that is counted by another definition from a slot on: hashes as plimsoll.slo.spec.objectives.Objective.spec_hash gives them."""

    objective: str
    slot: int
    before: str
    after: str


def redefined(engine: Engine, objectives: Collection[str], since: int, start: int, end: int) -> list[Redefined]:
    """Return which of some SLOs were redefined in [start, end), in order of time. Slots from `since` on show the definition before."""
    # A slot that a person set where none was has no definition of its own.
    mine = slots.c.objective.in_(objectives), slots.c.slot >= since, slots.c.slot < end, slots.c.spec_hash != ""
    # Nearly always none: sorting every slot to compare neighbors takes ten times as long as this.
    last = slots.alias()
    past = last.c.objective == slots.c.objective, last.c.slot >= since, last.c.slot < start, last.c.spec_hash != ""
    earlier = select(last.c.spec_hash).where(*past).order_by(last.c.slot.desc()).limit(1).scalar_subquery()
    lowest, highest = func.min(slots.c.spec_hash), func.max(slots.c.spec_hash)
    several = select(slots.c.objective).where(*mine, slots.c.slot >= start).group_by(slots.c.objective)
    several = several.having(or_(lowest != highest, lowest != earlier))
    before = func.lag(slots.c.spec_hash).over(partition_by=slots.c.objective, order_by=slots.c.slot)
    each = select(slots.c.objective, slots.c.slot, before.label("before"), slots.c.spec_hash.label("after"))
    steps = each.where(*mine, slots.c.objective.in_(several)).subquery()
    query = select(steps).where(steps.c.before != steps.c.after, steps.c.slot >= start)
    with engine.connect() as connection:
        return [Redefined(*row) for row in connection.execute(query.order_by(steps.c.slot, steps.c.objective))]
