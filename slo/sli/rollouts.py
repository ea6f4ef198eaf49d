"""Rollouts: a pool that serves with two engine versions at once, and whether the new one is worse, read at any time."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from plimsoll.slo import metrics as c
from plimsoll.slo.calendar import DAY, SLOT
from plimsoll.slo.sli.increments import MAX_GAP
from plimsoll.slo.sli.label_split import compare
from plimsoll.slo.sli.sequential import Sequential, Stratum, sequential
from plimsoll.slo.sources import Series, Source
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Objective, Pool

LIVE = 300.0  # seconds without a sample after which a version no longer serves
LONGEST = DAY  # of a rollout: two versions that serve together for longer are no rollout
LATE = 900.0  # seconds: slots this young are counted again, for samples that arrive late
# A candidate is accepted if it burns the budget at most so much faster: a difference of bad ratios of a fifth of what the target allows.
ACCEPTED_BURN_RATE = 0.2


@dataclass(frozen=True, slots=True)
class Rollout:
    """Two versions that serve a pool; the candidate began to serve at `since` (Unix seconds), while the baseline did."""

    pool: str
    baseline: str
    candidate: str
    since: float


@dataclass(frozen=True, slots=True)
class Judged:
    """One SLO in a rollout: from the slots so far in which both versions served. `found` is None without such a slot."""

    objective: str
    found: Sequential | None
    baseline: tuple[int, int]
    candidate: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Standing:
    """A rollout, and its SLOs as they were last judged."""

    rollout: Rollout
    judged: Sequence[Judged]


@dataclass
class RolloutWatch:
    """Follows one pool's rollouts. Complete slots are remembered, so that each reading of the source is short."""

    pool: Pool
    current: Standing | None = None  # replaced as a whole, as other threads read it
    _slots: dict[str, dict[int, Stratum]] = field(default_factory=lambda: defaultdict(dict))
    _read_until: float = 0.0

    def look(self, source: Source, objectives: Sequence[Objective], now: float) -> None:
        """Find the pool's rollout and judge its SLOs, up to the last complete slot. Raises SourceError."""
        known = self.current.rollout if self.current else None
        found = running(source, self.pool, now, known)
        if found != known:
            self._slots, self._read_until = defaultdict(dict), 0.0
        if found is None:
            self.current = None
            return
        end = now // SLOT * SLOT
        start = max(found.since, self._read_until - LATE)
        self.current = Standing(found, [self._judge(source, one, found, (start, end)) for one in objectives])
        self._read_until = end

    def _judge(self, source: Source, objective: Objective, rollout: Rollout, span: tuple[float, float]) -> Judged:
        slots = self._slots[objective.id]
        if span[0] < span[1]:
            values = (rollout.baseline, rollout.candidate)
            (a, b), _ = compare(source, objective, self.pool, "version", values, span)
            if not (a.indeterminate or b.indeterminate):
                both = {slot: Stratum(*a.slots[slot], *b.slots[slot]) for slot in a.slots.keys() & b.slots.keys()}
                slots |= {slot: one for slot, one in both.items() if rollout.since <= slot < span[1]}
        strata = [slots[slot] for slot in sorted(slots)]
        return Judged(
            objective.id,
            sequential(strata, ACCEPTED_BURN_RATE * objective.budget_ratio),
            (sum(one.bad_a for one in strata), sum(one.total_a for one in strata)),
            (sum(one.bad_b for one in strata), sum(one.total_b for one in strata)),
        )


def running(source: Source, pool: Pool, now: float, known: Rollout | None = None) -> Rollout | None:
    """Return the rollout that a pool is in, or None: not two versions serve, or both have for a day. Raises SourceError.

    The past is read only where `known`, the rollout found before, is over.
    """
    info = Selector(c.REPLICA_INFO.name, pool.labels)
    live = _seen(source.series([info], now - LIVE, now))
    if len(live) < 2:
        return None
    if known and {known.baseline, known.candidate} <= live.keys() and known.since > now - LONGEST:
        return known
    first = {version: at for version, at in _seen(source.series([info], now - LONGEST, now)).items() if version in live}
    baseline, candidate = sorted(first, key=lambda version: first[version])[-2:]
    since = first[candidate]
    if since < now - LONGEST + MAX_GAP:  # seen as far back as was read
        return None
    return Rollout(pool.name, baseline, candidate, since)


def _seen(series: Sequence[Series]) -> dict[str, float]:
    """Return the first time at which each version was seen."""
    first: dict[str, float] = {}
    for item in series:
        version = item.labels.get("version")
        if version and item.samples:
            first[version] = min(first.get(version, item.samples[0][0]), item.samples[0][0])
    return first
