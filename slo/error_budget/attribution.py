"""Attributes bad requests to causes by the state of the pool. Shows on-call whether more nodes would help. Pure functions.

Each bad request of a slot is counted once, under the first cause that applies:

0. indeterminate: it may have been good; the threshold lies between two bucket bounds (plimsoll.slo.sli.bucket_bounds);
1. errors: it finished with an error (SLOs that count errors: availability and goodput);
2. replica loss: a replica was lost in the slot, or the pool has had fewer replicas since (for at most LOSS_WINDOW_SECONDS);
3. preemption: a request was preempted because the KV cache was full;
4. KV cache: the highest KV cache usage of a replica was above the pool's limit;
5. queueing: at least one request waited, on average over the slot (a queue between two steps is not one);
6. errors: it was rejected and none of 2 to 5 applies (availability);
7. no data: the slot has no row, or the row lacks a value: none of 1 to 6 can be ruled out;
8. other: all values are known and none of 1 to 6 applies: long prompts, a slow node, a threshold that is too tight.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from plimsoll.slo.spec.objectives import Objective, Pool
from plimsoll.slo.usage.slots import PoolSlot

Cause = Literal["errors", "replica_loss", "preemption", "kv_cache", "queueing", "other", "no_data", "indeterminate"]
CAUSES: tuple[Cause, ...] = get_args(Cause)
CAUSE_TEXTS: dict[Cause, str] = {
    "errors": "Errors or rejections",
    "replica_loss": "Replica lost",
    "preemption": "Preemption (KV cache full)",
    "kv_cache": "KV cache nearly full",
    "queueing": "Queueing",
    "other": "Normal load",
    "no_data": "No pool data",
    "indeterminate": "Indeterminate",
}
# More nodes take load off the others or replace a lost one. They do not fix errors.
PREVENTABLE: frozenset[Cause] = frozenset({"replica_loss", "preemption", "kv_cache", "queueing"})
UNKNOWN: frozenset[Cause] = frozenset({"no_data", "indeterminate"})
INDETERMINATE: frozenset[Cause] = frozenset({"indeterminate"})
WAITING = 1.0  # requests that waited on average
LOSS_WINDOW_SECONDS = 3600  # seconds after which a smaller pool counts as intended
FEWER = 0.05  # replicas: a smaller drop of the mean does not count as a lost replica


class BadRequests(NamedTuple):
    """Requests of a slot that are not confirmed good; `indeterminate` of them may be good."""

    bad: int
    indeterminate: int = 0


@dataclass(frozen=True, slots=True)
class CauseShare:
    """Bad requests of one cause: count, ratio of all bad requests, and number of slots."""

    cause: Cause
    bad: int
    ratio: float
    slots: int


@dataclass(frozen=True, slots=True)
class Attribution:
    """All bad requests of a window by cause, in the order of CAUSES; the causes add up to `bad`."""

    bad: int
    causes: tuple[CauseShare, ...]

    @property
    def preventable_by_scaling_ratio(self) -> float | None:
        """Ratio of the bad requests with a known cause that more nodes would likely have prevented; None without any."""
        known = self.bad - self._sum(UNKNOWN)
        return self._sum(PREVENTABLE) / known if known else None

    @property
    def summary(self) -> str:
        """Whether more nodes would have helped, in a sentence or two."""
        if not self.bad:
            return "No bad requests."
        unknown, ratio = self._sum(UNKNOWN) / self.bad, self.preventable_by_scaling_ratio
        if ratio is None or unknown > 0.5:
            why = f"Inconclusive: the cause of {unknown:.0%} of bad requests is unknown."
            return (
                f"{why} {self._sum(INDETERMINATE) / self.bad:.0%} are indeterminate."
                if self._sum(INDETERMINATE)
                else why
            )
        helped = "likely have helped" if ratio > 0.5 else "have helped little" if ratio else "not have helped"
        known = "bad requests with a known cause" if unknown else "bad requests"
        return f"Adding nodes would {helped}: {ratio:.0%} of {known} occurred with queueing, a saturated KV cache, preemption, or a lost replica."

    def _sum(self, causes: frozenset[Cause]) -> int:
        return sum(one.bad for one in self.causes if one.cause in causes)


def attribute(
    objective: Objective, pool: Pool, bad: Mapping[int, BadRequests], rows: Sequence[PoolSlot]
) -> Attribution:
    """Attribute the bad requests of slots (by start time). `rows` are in time order and should start LOSS_WINDOW_SECONDS before them."""
    requests: Counter[Cause] = Counter()
    slots: Counter[Cause] = Counter()
    for _, cause, part in split(objective, pool, bad, rows):
        requests[cause] += part
        slots[cause] += 1
    total = sum(item.bad for item in bad.values())
    found = [cause for cause in CAUSES if requests[cause]]
    return Attribution(
        total, tuple(CauseShare(cause, requests[cause], requests[cause] / total, slots[cause]) for cause in found)
    )


def split(
    objective: Objective, pool: Pool, bad: Mapping[int, BadRequests], rows: Sequence[PoolSlot]
) -> Iterator[tuple[int, Cause, int]]:
    """Yield (slot, cause, bad requests). A slot repeats if some of its requests were errors or are indeterminate."""
    by_slot, lost = {row.slot: row for row in rows}, _lost(rows)
    for slot, (number, indeterminate) in bad.items():
        for cause, part in _split(objective, pool, number - indeterminate, by_slot.get(slot), slot in lost):
            yield slot, cause, part
        if indeterminate:
            yield slot, "indeterminate", indeterminate


def _split(objective: Objective, pool: Pool, bad: int, row: PoolSlot | None, lost: bool) -> Iterator[tuple[Cause, int]]:
    """Yield (cause, bad requests) of one slot."""
    outcomes = objective.indicator.bad_outcomes
    failed = min(bad, row.errors or 0) if row and "errors" in outcomes else 0
    cause: Cause = "no_data" if row is None else _load(pool, row, lost) or _rest(outcomes, row)
    if row and cause == "other" and "rejected" in outcomes:
        failed = min(bad, failed + (row.rejected or 0))
    if failed:
        yield "errors", failed
    if bad > failed:
        yield cause, bad - failed


def _load(pool: Pool, row: PoolSlot, lost: bool) -> Cause | None:
    if lost:
        return "replica_loss"
    if row.preemptions:
        return "preemption"
    if row.kv_cache_usage_max is not None and row.kv_cache_usage_max > pool.max_kv_cache_usage:
        return "kv_cache"
    return "queueing" if row.waiting_mean is not None and row.waiting_mean >= WAITING else None


def _rest(outcomes: Sequence[str], row: PoolSlot) -> Cause:
    """Return `other` if all values of the slot are known, else `no_data`."""
    reported: list[float | None] = [row.replica_disruptions, row.preemptions, row.kv_cache_usage_max, row.waiting_mean]
    reported += [getattr(row, name) for name in outcomes]
    return "no_data" if None in reported else "other"


def _lost(rows: Sequence[PoolSlot]) -> set[int]:
    """Return the slots with a lost replica, and those until the pool had as many replicas again."""
    found: set[int] = set()
    since, wanted, before = 0, 0.0, 0.0
    for row in rows:
        replicas = row.replicas or 0.0
        if row.replica_disruptions:
            since, wanted = row.slot, max(before, replicas, wanted if row.slot - since < LOSS_WINDOW_SECONDS else 0.0)
            found.add(row.slot)
        elif wanted and row.slot - since < LOSS_WINDOW_SECONDS and replicas < wanted - FEWER:
            found.add(row.slot)
        else:
            wanted = 0.0
        before = replicas
    return found
