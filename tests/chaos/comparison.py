"""The services' ledgers beside the truth, slot by slot."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

import chaos_config as config
import observed
from chaos_stack import PROMETHEUS, VICTORIA, World, sources
from truth_slots import SLOT, Expected, Seen, Slots, expected

AFTER_LOSS = 30.0  # seconds until the next observation surely came
SKEW = (
    60.0  # seconds between the clocks of two stores, as docs/explanation/counting.md allows for one replica read twice
)
AGAIN = "again"
MILLISECONDS = 0.0021  # seconds: stored as whole milliseconds


class Difference(NamedTuple):
    """A slot that does not hold what it should."""

    service: str
    objective: str
    slot: int
    expected: str
    found: str


@dataclass
class Compared:
    """The result for one service: objectives' slots compared exactly and between bounds, and what differs."""

    exact: int = 0
    bounded: int = 0
    covered: float = 0.0
    requests: int = 0
    differences: list[Difference] = field(default_factory=list)


def seen_by(world: World, store: str) -> list[Seen]:
    """Return every page that a store holds now."""
    if store == PROMETHEUS:
        return observed.in_prometheus(world.urls[store], world.started)
    if store == VICTORIA:
        return observed.in_victoria(world.urls[store], world.started)
    return observed.in_sqlite(world.folder / "sqlite" / "ledger.db")


def compare(world: World) -> dict[str, Compared]:
    """Compare every service's ledger with the truth."""
    found = {}
    for service, store in sources(world).items():
        now = seen_by(world, store)
        held = observed.in_ledger(world.services[service], config.POOLS)
        known = {*now, *world.remembered.get(store, [])}
        once = [one for one in now if one.job != AGAIN]
        views = [expected(world.fleet.engines, pages) for pages in (now, once, _by_the_other(now), known)]
        lost = _slots(mark[2:] for mark in world.marks if (mark.source, mark.what) == (store, "loss"))
        found[service] = _compare(service, held, views, lost)
    return found


def _by_the_other(seen: Iterable[Seen]) -> list[Seen]:
    """Return the pages of the second job, and those of the first before and after them."""
    spans: dict[tuple[str, float], tuple[float, float]] = {}
    pages = list(seen)
    for one in pages:
        if one.job == AGAIN:
            low, high = spans.get((one.replica, one.start), (one.at, one.at))
            spans[one.replica, one.start] = min(low, one.at), max(high, one.at)
    never = (inf, -inf)
    alone = [spans.get((one.replica, one.start), never) for one in pages]
    return [one for one, (low, high) in zip(pages, alone, strict=True) if one.job == AGAIN or not low <= one.at <= high]


def _slots(times: Iterable[tuple[float, float]]) -> set[int]:
    return {slot for begin, end in times for slot in range(int(begin // SLOT) * SLOT, int(end + AFTER_LOSS) + 1, SLOT)}


def _compare(service: str, held: Slots, views: list[Slots], lost: set[int]) -> Compared:
    """`views`: what the source's pages say now, by both jobs, by either of them, and at last with what the store lost. In a slot with a
    loss the ledger may have seen any part of that: it must hold something between the views; elsewhere exactly one of the others."""
    done = Compared()
    for key in sorted({*held, *(key for view in views for key in view)}):
        pool, kind, slot = key
        row, wanted = held.get(key), [view.get(key) for view in views]
        if slot in lost:
            done.bounded += 1
            fine = row is not None and _between(row, [one for one in wanted if one is not None])
        else:
            done.exact += 1
            fine = any(_same(row, one) for one in wanted[:-1])
        if not fine:
            done.differences.append(Difference(service, f"{pool}-{kind}", slot, str(wanted[0]), str(row)))
        if row is not None:
            done.covered += row.covered
            done.requests += row.total
    done.differences += _counted_twice(service, held, views[-1])
    return done


def _same(row: Expected | None, wanted: Expected | None) -> bool:
    if row is None or wanted is None:
        return row is wanted
    return (row.good, row.total) == (wanted.good, wanted.total) and abs(row.covered - wanted.covered) < MILLISECONDS


def _between(row: Expected, wanted: list[Expected]) -> bool:
    def inside(value: float, values: list[float]) -> bool:
        return min(values) - MILLISECONDS <= value <= max(values) + MILLISECONDS

    return (
        bool(wanted)
        and row.good <= row.total
        and inside(row.total, [one.total for one in wanted])
        and inside(row.good, [one.good for one in wanted])
        and inside(row.covered, [one.covered for one in wanted])
    )


def _counted_twice(service: str, held: Slots, known: Slots) -> list[Difference]:
    """No objective has more requests, good or bad, than all pages together tell of."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for side, slots in ((0, held), (2, known)):
        for (pool, kind, _), one in slots.items():
            sums[f"{pool}-{kind}"][side] += one.good
            sums[f"{pool}-{kind}"][side + 1] += one.total - one.good
    return [
        Difference(service, name, 0, f"at most {most_good} good, {most_bad} bad", f"{good} good, {bad} bad")
        for name, (good, bad, most_good, most_bad) in sums.items()
        if good > most_good or bad > most_bad
    ]
