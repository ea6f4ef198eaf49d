"""Budgets by tenant in the ledger: the slots of an objective's tenants stand beside its own, under names that no objective can have.

At most MAX_TENANTS tenants of an SLO have their own budget, in the order of their first request; the rest share OTHER. So
names made up by clients can neither fill the ledger nor displace a tenant.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from hashlib import sha256

from sqlalchemy import Engine, select

from plimsoll.slo.ledger.database import writing
from plimsoll.slo.ledger.rollup import insert
from plimsoll.slo.ledger.schema import tenants
from plimsoll.slo.sli.gateway_counts import count_tenants
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import Objective, Pool
from plimsoll.slo.usage.tokens import OTHER, is_name

MAX_TENANTS = 100


def key(objective: str, tenant: str | None) -> str:
    """Return the name under which the slots of a tenant are stored, or (None) those of all tenants at the gateways.

    A hash, so that a tenant may be called anything; it begins with a character that no objective's id has.
    """
    return "@" + sha256(json.dumps([objective, tenant]).encode()).hexdigest()[:40]


def known_tenants(engine: Engine, objective: str) -> dict[str, str]:
    """Return the key of each tenant of an objective that has a place."""
    with engine.connect() as connection:
        rows = connection.execute(select(tenants.c.tenant, tenants.c.key).where(tenants.c.objective == objective))
        return {row.tenant: row.key for row in rows}


def count_new_tenants(
    engine: Engine, objective: Objective, pool: Pool, series: Sequence[Series], slots: Sequence[int]
) -> dict[tuple[str, str], list[SlotCount]]:
    """Count an objective's tenants in some slots, give places to new ones, and return what to record (Ledger.record)."""
    whole, found = count_tenants(objective, pool, series, slots)
    placed = _placed(engine, objective.id, found)
    sums: dict[str, dict[int, SlotCount]] = defaultdict(dict)
    for tenant, counts in found.items():
        mine = sums[tenant if tenant in placed else OTHER]
        for one in counts:
            mine[one.slot] = _plus(mine[one.slot], one) if one.slot in mine else one
    recorded = {(key(objective.id, tenant), objective.spec_hash): list(mine.values()) for tenant, mine in sums.items()}
    return {(key(objective.id, None), objective.spec_hash): whole} | recorded


def _placed(engine: Engine, objective: str, found: Mapping[str, Sequence[SlotCount]]) -> set[str]:
    """Give places to tenants that have none, as long as there are some; return those that have one."""
    placed = set(known_tenants(engine, objective))
    if not _next(placed, found):
        return placed
    with writing(engine) as connection:  # no other writer gives places meanwhile
        rows = connection.execute(select(tenants.c.tenant).where(tenants.c.objective == objective))
        placed = {row.tenant for row in rows}
        chosen = _next(placed, found)
        for name in chosen:
            row = {"key": key(objective, name), "objective": objective, "tenant": name}
            connection.execute(insert(engine.dialect.name, tenants).values(row))
    return placed | set(chosen)


def _next(placed: Set[str], found: Mapping[str, Sequence[SlotCount]]) -> list[str]:
    """Who gets a place: as long as there are some in the order of their first requests, and OTHER where anybody is left over."""
    named = [(counts[0].slot, name) for name, counts in found.items() if is_name(name) and name not in placed | {OTHER}]
    chosen = [name for _, name in sorted(named)][: max(0, MAX_TENANTS - len(placed - {OTHER}))]
    rest = found.keys() - placed - set(chosen)
    return [*chosen, OTHER] if rest and OTHER not in placed else chosen


def _plus(one: SlotCount, other: SlotCount) -> SlotCount:
    return replace(
        one,
        good=one.good + other.good,
        total=one.total + other.total,
        indeterminate=one.indeterminate + other.indeterminate,
        source="+".join(sorted({*one.source.split("+"), *other.source.split("+")})),
    )
