"""By which definitions the slots of an SLO's window were counted, and when that changed. A changed target or window changes no count."""

from typing import NamedTuple

from sqlalchemy import Engine, func, select

from plimsoll.slo.ledger.schema import definitions, slots
from plimsoll.slo.spec.objectives import Objective


class DefinitionChange(NamedTuple):
    """From the slot `at` on, an SLO counts `after`, and until then it counted `before`; None: a definition that was not recorded."""

    at: int
    before: str | None
    after: str | None


class Definitions(NamedTuple):
    """The changes within a window, oldest first; and how many of its `slots` were counted under another definition than today's."""

    changes: list[DefinitionChange]
    earlier_slots: int
    slots: int


def known_definitions(engine: Engine) -> dict[str, str]:
    """Return what each recorded `spec_hash` counts."""
    with engine.connect() as connection:
        return {row.spec_hash: row.counts for row in connection.execute(select(definitions))}


def definitions_of(engine: Engine, objective: Objective, start: int, end: int) -> Definitions:
    """Return by which definitions the slots of an SLO in [start, end) were counted. Slots that a person set where none was have none."""
    texts = known_definitions(engine) | {objective.spec_hash: objective.counts}
    mine = (slots.c.objective == objective.id, slots.c.slot >= start, slots.c.slot < end, slots.c.spec_hash != "")
    before = func.lag(slots.c.spec_hash).over(order_by=slots.c.slot).label("before")
    each = select(slots.c.slot, before, slots.c.spec_hash.label("after")).where(*mine).subquery()
    steps = select(each).where(each.c.before != each.c.after).order_by(each.c.slot)
    with engine.connect() as connection:
        numbers = connection.execute(select(slots.c.spec_hash, func.count()).where(*mine).group_by(slots.c.spec_hash))
        counted = {name: int(number) for name, number in numbers}
        # Mostly there is one definition, and then no step to look for.
        changed = connection.execute(steps) if len(counted) > 1 else ()
        found = [DefinitionChange(at, texts.get(old), texts.get(new)) for at, old, new in changed]
    # Two definitions that were not recorded may differ in what they count.
    changes = [one for one in found if one.before is None or one.before != one.after]
    earlier = sum(number for name, number in counted.items() if texts.get(name) != objective.counts)
    return Definitions(changes, earlier, sum(counted.values()))
