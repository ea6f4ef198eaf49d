"""Ingesting from a source into the ledger, up to now. Safe to interrupt and to repeat at any point."""

from sqlalchemy import Engine, case, func, select

from plimsoll.slo.calendar import SLOT, slot_of
from plimsoll.slo.ledger.database import writing
from plimsoll.slo.ledger.schema import pool_progress, pool_slots, progress, slots
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.tenants import count_new_tenants, key
from plimsoll.slo.ledger.usage import pools_recorded_until
from plimsoll.slo.metrics import REPLICA_INFO, REPLICA_START
from plimsoll.slo.sli import gateway_counts
from plimsoll.slo.sli.evidence import countings
from plimsoll.slo.sli.increments import MAX_GAP
from plimsoll.slo.sli.observed import Observed, pad
from plimsoll.slo.sources import Source
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Objective, Pool, Spec
from plimsoll.slo.usage import energy
from plimsoll.slo.usage import slots as pool_usage

CHUNK_SLOTS = 12  # an hour at a time, so that a long backfill holds little memory and each step of it is stored
LATE = 900  # seconds: slots this young are recorded again each time, for samples that arrive late
LONGEST = 28 * 86400.0  # seconds that are caught up with for a pool without SLOs
FINAL_AFTER = LATE + MAX_GAP + SLOT  # seconds after which a slot has been recorded for the last time


def ingest(spec: Spec, source: Source, ledger: Ledger, now: float) -> None:
    """Record every slot from where each SLO and pool stopped until `now`; raises SourceError when the source fails."""
    pull_back_marks(ledger.engine, now)
    done, pools_done = ledger.recorded_until(), pools_recorded_until(ledger.engine)
    for pool in spec.pools:
        objectives = [objective for objective in spec.objectives if objective.pool == pool.name]
        names = [objective.id for objective in objectives]
        names += [key(objective.id, None) for objective in objectives if objective.group_by]
        since: float = min([pools_done.get(pool.name, 0), *(done.get(name, 0) for name in names)])
        oldest = max((objective.window.seconds for objective in objectives), default=LONGEST)
        if since < now - 2 * LATE - MAX_GAP:  # more than the usual look back: find out where the source begins
            since = source.earliest(max(since, now - oldest), now)
        _ingest_pool(pool, objectives, source, ledger, since, now)


def pull_back_marks(engine: Engine, now: float) -> None:
    """Set each mark that a clock moved ahead of `now` back to the last slot before it: the slots from there on are not final."""
    tables = (
        (progress, progress.c.objective, slots, slots.c.objective),
        (pool_progress, pool_progress.c.pool, pool_slots, pool_slots.c.pool),
    )
    for marks, name, stored, owner in tables:
        ahead = marks.c.recorded_until > now
        with engine.connect() as connection:
            if connection.execute(select(name).where(ahead).limit(1)).first() is None:
                continue
        last = select(func.max(stored.c.slot)).where(owner == name, stored.c.slot < now).scalar_subquery()
        final = int(now - LATE - MAX_GAP)
        with writing(engine) as connection:
            until = case((last < final, last), (last.is_(None), 0), else_=final)
            connection.execute(marks.update().where(ahead).values(recorded_until=until))


def _ingest_pool(
    pool: Pool, objectives: list[Objective], source: Source, ledger: Ledger, since: float, now: float
) -> None:
    first, last = slot_of(since), slot_of(now)
    starts = list(range(first, last + SLOT, SLOT))
    ways = {objective.id: countings(objective, pool) for objective in objectives}
    watch = [Selector(metric.name, (("model", (pool.model,)),)) for metric in (REPLICA_START, REPLICA_INFO)]
    of_pool = [*pool_usage.selectors(pool), energy.assignments(pool)]
    by_tenant = [objective for objective in objectives if objective.group_by]
    of_pool += [selector for objective in by_tenant for selector in gateway_counts.selectors(objective, pool)]
    selectors = dict.fromkeys([*watch, *of_pool, *(s for way in ways.values() for c in way for s in c.selectors)])
    for begin in range(0, len(starts), CHUNK_SLOTS):
        chunk = starts[begin : begin + CHUNK_SLOTS]
        start, end = pad(chunk)
        series = source.series(list(selectors), start, min(end, now))
        gpus = energy.selectors(series)
        joules = source.series(gpus, start, min(end, now)) if gpus else []
        observed = Observed(series, chunk)
        counts = {(item.id, item.spec_hash): observed.count(ways[item.id]) for item in objectives}
        for item in by_tenant:
            counts |= count_new_tenants(ledger.engine, item, pool, series, chunk)
        final = min(chunk[-1] + SLOT, slot_of(now - LATE - MAX_GAP))
        ledger.record(counts, final, {pool.name: pool_usage.count_pool(observed, pool, joules)})
