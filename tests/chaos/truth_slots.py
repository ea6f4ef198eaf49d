"""What the ledger must hold: worked out from the pages that the engines served and the times at which a source stored them.

Written from docs/explanation/counting.md alone and in the plainest way, so that it shares no code and no thought with the product:
a replica is known between two observations at most GAP apart, and a young one since its process began; what it counted in
between belongs to the slot of the later one; after a restart only the new process was observed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from truth_fleet import KINDS, Counts, Engine

SLOT, GAP = 300, 300.0  # seconds


class Seen(NamedTuple):
    """A page of a replica as a source stored it: by which job, when, the start of the process, requests finished."""

    replica: str
    job: str
    at: float
    start: float
    finished: int


@dataclass(frozen=True)
class Expected:
    """One objective's slot."""

    good: int
    total: int
    covered: float


Slots = dict[tuple[str, str, int], Expected]  # by (pool, kind, slot)


class Stretch(NamedTuple):
    """A time of which a replica was known, since when in it its counters were observed, and what they gained."""

    begin: float
    watched: float
    end: float
    gained: Counts


def stretches(engine: Engine, seen: Iterable[Seen]) -> list[Stretch]:
    """Part the time of one replica by its observations. Raises ValueError for a page that it never served."""
    found: list[Stretch] = []
    zero: Counts = dict.fromkeys(KINDS, (0, 0))
    before: tuple[float, float, Counts] | None = None
    for one in sorted(seen, key=lambda page: page.at):
        start = min(engine.starts, key=lambda began: abs(began - one.start))
        if (start, one.finished) not in engine.pages:
            raise ValueError(f"{engine.name} never served {one}")
        now = engine.pages[start, one.finished]
        if before is not None and one.at - before[0] <= GAP:
            same = start == before[1]
            watched = before[0] if same else min(max(start, before[0]), one.at)
            found.append(Stretch(before[0], watched, one.at, _less(now, before[2] if same else zero)))
        elif one.at - start <= GAP:
            found.append(Stretch(start, start, one.at, now))
        before = (one.at, start, now)
    return found


def _less(now: Counts, then: Counts) -> Counts:
    return {kind: (now[kind][0] - then[kind][0], now[kind][1] - then[kind][1]) for kind in KINDS}


def expected(engines: Mapping[str, Engine], seen: Iterable[Seen]) -> Slots:
    """Return every slot that should have data, by the pages that were seen."""
    by_replica: dict[str, dict[float, Seen]] = defaultdict(dict)
    for one in seen:
        by_replica[one.replica][one.at] = one
    found: Slots = {}
    for pool in sorted({engine.pool for engine in engines.values()}):
        parts = [
            stretches(engines[name], pages.values()) for name, pages in by_replica.items() if engines[name].pool == pool
        ]
        covered = _covered(parts)
        for kind in KINDS:
            sums: dict[int, list[int]] = defaultdict(lambda: [0, 0])
            for part in (one for replica in parts for one in replica):
                slot = int(part.end // SLOT) * SLOT
                sums[slot][0] += part.gained[kind][0]
                sums[slot][1] += part.gained[kind][1]
            for slot in sorted({*covered, *(slot for slot, (_, total) in sums.items() if total)}):
                found[pool, kind, slot] = Expected(sums[slot][0], sums[slot][1], covered.get(slot, 0.0))
    return found


def _covered(replicas: list[list[Stretch]]) -> dict[int, float]:
    """Return per slot the integral of replicas observed over replicas known."""
    edges = {edge for parts in replicas for part in parts for edge in (part.begin, part.watched, part.end)}
    if not edges:
        return {}
    edges |= {float(slot) for slot in range(int(min(edges) // SLOT) * SLOT, int(max(edges)) + SLOT, SLOT)}
    ordered = sorted(edges)
    found: dict[int, float] = defaultdict(float)
    places = [0] * len(replicas)
    for low, high in pairwise(ordered):
        middle, known, watched = (low + high) / 2, 0, 0
        for index, parts in enumerate(replicas):
            while places[index] < len(parts) and parts[places[index]].end < middle:
                places[index] += 1
            if places[index] < len(parts) and parts[places[index]].begin < middle:
                known += 1
                watched += parts[places[index]].watched < middle
        if watched:
            found[int(low // SLOT) * SLOT] += (high - low) * watched / known
    return dict(found)
