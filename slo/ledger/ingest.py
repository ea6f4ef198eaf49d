"""Ingesting from a source into the ledger, up to now. Safe to interrupt and to repeat at any point.

What is wrong with the data of one replica, SLO or pool costs that alone: it is returned as a problem, and everything else is recorded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from traceback import extract_tb
from typing import TypeVar

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from plimsoll.slo.calendar import DAY, SLOT, slot_of
from plimsoll.slo.ledger.database import writing
from plimsoll.slo.ledger.manual_changes import exclude_slots
from plimsoll.slo.ledger.retention import pull_back_marks
from plimsoll.slo.ledger.rollup import insert
from plimsoll.slo.ledger.schema import definitions
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.tenants import count_new_tenants, key
from plimsoll.slo.ledger.usage import pools_recorded_until
from plimsoll.slo.metrics import REPLICA_INFO, REPLICA_START
from plimsoll.slo.sli import gateway_counts, roles
from plimsoll.slo.sli.data_problem import DataProblem, distinct
from plimsoll.slo.sli.evidence import countings
from plimsoll.slo.sli.increments import MAX_GAP, SlotCount, pad
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.sources import QueryableSource, Series, Source, SourceError
from plimsoll.slo.sources.recent import RECENT, RecentSource
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.exclusion import Exclusion
from plimsoll.slo.spec.objectives import Objective, Pool, Spec
from plimsoll.slo.usage import energy
from plimsoll.slo.usage import slots as pool_usage
from plimsoll.slo.usage import tokens as token_usage

CHUNK_SLOTS = 12  # an hour at a time, so that a long backfill holds little memory and each step of it is stored
LATE = 900  # seconds: slots this young are recorded again each time, for samples that arrive late
LONGEST = 28 * 86400.0  # seconds that are caught up with for a pool without SLOs
FINAL_AFTER = LATE + MAX_GAP + SLOT  # seconds after which a slot has been recorded for the last time
NOT_COUNTED = ("pool_not_counted", "slo_not_counted")  # codes of what failed as a whole

Counts = Mapping[tuple[str, str], Sequence[SlotCount]]
T = TypeVar("T")


@dataclass
class Recorded:
    """What the last ingest of a pool recorded: the source's readings until then, the selectors that it read, from when on its slots weren't
    final, and what was wrong with the data in them. A new one knows of none."""

    reading: int = -1
    selectors: tuple[Selector, ...] = ()
    since: float = -inf
    problems: list[DataProblem] = field(default_factory=list)


def ingest(
    spec: Spec, source: Source, ledger: Ledger, now: float, last: dict[str, Recorded] | None = None
) -> list[DataProblem]:
    """Record every slot from where each SLO and pool stopped until `now`, and return what was wrong with the data.

    `last` has what the calls before recorded, by pool, for the next one: slots that no sample bears on since then are left as they are.
    Raises SourceError when the source fails, and SQLAlchemyError when the database does.
    """
    pull_back_marks(ledger.engine, now, now - LATE - MAX_GAP)
    done, pools_done = ledger.recorded_until(), pools_recorded_until(ledger.engine)
    remember_definitions(ledger.engine, spec.objectives)
    problems = _exclude_by_queries(spec, source, ledger, done, now)
    if last and isinstance(source, RecentSource):  # of all pools together; each pool's own reading then finds it there
        for begin in {one.since for one in last.values() if _is_recent(one.since, now)}:
            source.renew([one.selectors for one in last.values() if one.since == begin], slot_of(begin) - MAX_GAP, now)
    for pool in spec.pools:
        objectives = [objective for objective in spec.objectives if objective.pool == pool.name]
        names = [objective.id for objective in objectives]
        names += [key(objective.id, None) for objective in objectives if objective.group_by]
        since: float = min([pools_done.get(pool.name, 0), *(done.get(name, 0) for name in names)])
        oldest = max((objective.window.seconds for objective in objectives), default=LONGEST)
        if since < now - 2 * LATE - MAX_GAP:  # more than the usual look back: find out where the source begins
            since = source.earliest(max(since, now - oldest), now)
        work = _PoolIngest(pool, objectives, source, ledger)
        before = Recorded() if last is None else last.pop(pool.name, Recorded())
        found = work.attempt("pool_not_counted", f"pool {pool.name}", partial(work.run, since, now, before))
        if found is not None and last is not None:
            last[pool.name] = found
        problems += [problem._replace(pool=pool.name) for problem in work.problems]
    return distinct(problems)


def _is_recent(since: float, now: float) -> bool:
    """Return whether a RecentSource holds all samples that the slots since a moment need."""
    return now - since < RECENT - MAX_GAP


def _exclude_by_queries(
    spec: Spec, source: Source, ledger: Ledger, done: Mapping[str, int], now: float
) -> list[DataProblem]:
    """Store the slots that the file's queries exclude, before they are final: what the source forgets later changes nothing.

    A slot is asked for until it is final. What can't be asked is a problem, and isn't excluded.
    """
    problems = []
    for item in (one for one in spec.exclusions if one.query is not None):
        covered = [one for one in spec.objectives if item.covers(one.id, one.pool)]
        first = min((max(done.get(one.id, 0), now - one.window.seconds) for one in covered), default=now)
        try:
            _exclude_by_query(item, source, ledger, slot_of(first), now)
        except SourceError as error:
            fix = (
                "Correct the query, or the source: a Prometheus API evaluates queries, the service's own scrapes don't."
            )
            problem = DataProblem("exclusion_not_read", f"exclusion {item.query}", f"Not excluded: {error}", fix)
            problems += [problem._replace(pool=name) for name in dict.fromkeys(one.pool for one in covered)]
    return problems


def _exclude_by_query(item: Exclusion, source: Source, ledger: Ledger, first: int, now: float) -> None:
    if not isinstance(source, QueryableSource):
        raise SourceError(f"{source.name}: evaluates no queries.")
    end = slot_of(now)  # the current slot isn't over
    for begin in range(first, end, int(DAY)):
        slots = source.slots_with_result(item.query or "", begin, min(begin + int(DAY), end))
        exclude_slots(ledger.engine, item, slots, now)


class _PoolIngest:
    """One pool's slots, from a source into the ledger; `problems` is what was wrong."""

    def __init__(self, pool: Pool, objectives: list[Objective], source: Source, ledger: Ledger) -> None:
        self._pool, self._objectives, self._source, self._ledger = pool, objectives, source, ledger
        self._ways = {objective.id: countings(objective, pool) for objective in objectives}
        self._gpus: list[Selector] = []
        self.problems: list[DataProblem] = []
        # By SLO: why engines or gateways, whichever count it, couldn't in the last slots.
        self._unread: dict[str, roles.NotCounted | None] = {}

    def run(self, since: float, now: float, last: Recorded) -> Recorded:
        """Record the slots from `since` to `now`, but for those that nothing bears on that the last ingest didn't know."""
        reading, changed = -1, -inf
        if isinstance(self._source, RecentSource) and _is_recent(since, now):
            known = last.reading if since >= last.since else -1  # it goes back where the ledger's progress was set back
            wanted = last.selectors or tuple(self._selectors())
            changed, reading = self._source.changed_since(known, wanted, slot_of(since) - MAX_GAP, now)
        first = max(slot_of(since), slot_of(min(changed, now) - MAX_GAP) if changed > -inf else 0)
        self.problems += [one for one in last.problems if one.slot is not None and since < one.slot < first]
        starts = list(range(first, slot_of(now) + SLOT, SLOT))
        for begin in range(0, len(starts), CHUNK_SLOTS):
            self._chunk(starts[begin : begin + CHUNK_SLOTS], now)
        for objective, why in self._unread.items():
            if why is not None:
                problem = DataProblem("not_counted_here", f"SLO {objective}", f"Unknown: {why.message}", why.fix)
                self.problems.append(problem._replace(objective=objective))
        return Recorded(reading, tuple(dict.fromkeys([*self._selectors(), *self._gpus])), since, list(self.problems))

    def attempt(self, code: str, where: str, work: Callable[[], T], objective: str = "") -> T | None:
        """Do some work. A failure that is neither the source's nor the database's is a problem of this one pool or SLO."""
        try:
            return work()
        except (SourceError, SQLAlchemyError):
            raise
        except Exception as error:  # whatever came in, the others are counted
            text, place = " ".join(str(error).split()), extract_tb(error.__traceback__)[-1]
            message = f"Not counted: {type(error).__name__}: {text} ({Path(place.filename).name}:{place.lineno})."
            fix = "Report it, with the metrics page of the exporter."
            self.problems.append(DataProblem(code, where, message, fix, objective=objective))
            return None

    def _selectors(self) -> list[Selector]:
        model = self._pool.labels
        found = [Selector(metric.name, model) for metric in (REPLICA_START, REPLICA_INFO)]
        found += [*pool_usage.selectors(self._pool), energy.assignments(self._pool), *token_usage.selectors(self._pool)]
        for objective in self._objectives:
            found += gateway_counts.selectors(objective, self._pool) if gateway_counts.are_read(objective) else []
            found += [selector for way in self._ways[objective.id] for selector in way.selectors]
        return list(dict.fromkeys(found))

    def _chunk(self, chunk: list[int], now: float) -> None:
        start, end = pad(chunk)
        series = self._source.series(self._selectors(), start, min(end, now))
        self._gpus = energy.selectors(series)
        joules = self._source.series(self._gpus, start, min(end, now)) if self._gpus else []
        observed = Observed(series, chunk)
        counts: dict[tuple[str, str], Sequence[SlotCount]] = {}
        for item in self._objectives:
            counts |= self._slo(item, item.id, partial(self._count, item, observed, series))
            if item.group_by:
                tenants = partial(count_new_tenants, self._ledger.engine, item, self._pool, series, chunk)
                counts |= self._slo(item, key(item.id, None), tenants)
        usage = self.attempt(
            "pool_not_counted",
            f"usage of pool {self._pool.name}",
            partial(pool_usage.count_pool, observed, self._pool, joules),
        )
        tokens = self.attempt(
            "pool_not_counted",
            f"tokens by tenant of pool {self._pool.name}",
            partial(token_usage.count_tokens, self._pool, series, chunk),
        )
        final = min(chunk[-1] + SLOT, slot_of(now - LATE - MAX_GAP))
        self.problems += observed.problems
        self.problems += self._ledger.record(
            counts, final, {self._pool.name: usage or []}, {self._pool.name: tokens or []}
        )

    def _count(self, objective: Objective, observed: Observed, series: Sequence[Series]) -> Counts:
        ways = self._ways[objective.id]
        if objective.count_at == "engine":
            found = (replica.role for replica in observed.fleet.values())
            self._unread[objective.id] = roles.why_not(objective, found)
            return {(objective.id, objective.spec_hash): observed.count(ways)}
        gateways = gateway_counts.observed(self._pool, series, observed.slots)
        counts = gateways.count(ways)
        self.problems += gateways.problems
        self._unread[objective.id] = gateway_counts.why_not(objective, self._pool, series)
        return {(objective.id, objective.spec_hash): counts}

    def _slo(self, objective: Objective, name: str, work: Callable[[], Counts]) -> Counts:
        """Return the counts of an SLO. Where counting fails the slots stay unknown: none, and its progress moves on."""
        found = self.attempt("slo_not_counted", f"SLO {objective.id}", work, objective.id)
        return {(name, objective.spec_hash): []} if found is None else found


def remember_definitions(engine: Engine, objectives: Sequence[Objective]) -> None:
    """Store in words what each SLO counts, by the hash that its slots carry."""
    wanted = {objective.spec_hash: objective.counts for objective in objectives}
    with engine.connect() as connection:
        known = set(connection.execute(select(definitions.c.spec_hash)).scalars())
    rows = [{"spec_hash": name, "counts": text} for name, text in wanted.items() if name not in known]
    if rows:
        with writing(engine) as connection:
            connection.execute(insert(engine.dialect.name, definitions).on_conflict_do_nothing(), rows)
