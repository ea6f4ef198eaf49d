"""Since when each objective is counted as it is: a slot keeps the hash of the definition that it was counted under."""

from typing import NamedTuple

from sqlalchemy import Engine, func, select

from slo.ledger.tables import slots


class Redefined(NamedTuple):
    """An objective that is counted by another definition from a slot on: hashes as slo.spec.Objective.spec_hash gives them."""

    objective: str
    slot: int
    before: str
    after: str


def redefined(engine: Engine, since: int, start: int, end: int) -> list[Redefined]:
    """Return what was defined anew in [start, end), in order of time, as far as slots from `since` on tell what was before."""
    before = func.lag(slots.c.spec_hash).over(partition_by=slots.c.objective, order_by=slots.c.slot)
    # A slot that a person set where none was has no definition of its own.
    each = select(slots.c.objective, slots.c.slot, before.label("before"), slots.c.spec_hash.label("after"))
    steps = each.where(slots.c.slot >= since, slots.c.slot < end, slots.c.spec_hash != "").subquery()
    query = select(steps).where(steps.c.before != steps.c.after, steps.c.slot >= start)
    with engine.connect() as connection:
        return [Redefined(*row) for row in connection.execute(query.order_by(steps.c.slot, steps.c.objective))]
