"""How warm each replica's prefix cache is: prompt tokens that it held in the last quarter of an hour. Unknown warmth is None, never cold."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum

from plimsoll.slo import metrics as c
from plimsoll.slo.sli.duplicates import counted_once
from plimsoll.slo.sli.increments import MAX_GAP, Unit, unit
from plimsoll.slo.sli.soundness import sound
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Pool

WINDOW = 900.0  # seconds
ENOUGH = 0.8  # of the window that must have been observed
STALE = 60.0  # seconds without a sample after which a replica isn't reporting
OF_POD = frozenset({"pod", "container", "node", "workload_kind", "group"})  # what only its pod's series has
MOST_COST = 2**31 - 1  # the annotation is a 32-bit integer


@dataclass(frozen=True, slots=True)
class Warmth:
    """A replica, its pod (None: not in one that is known), and the tokens that its prefix cache held (None: not known)."""

    replica: str
    namespace: str | None
    pod: str | None
    cached_tokens: float | None

    @property
    def deletion_cost(self) -> int | None:
        """Return the value of controller.kubernetes.io/pod-deletion-cost: pods with lower ones are removed first; None without one."""
        return None if self.cached_tokens is None else min(MOST_COST, round(self.cached_tokens))


def selectors(pool: Pool) -> list[Selector]:
    """Return the series to read for a pool."""
    of_replicas = [Selector(metric.name, pool.labels) for metric in (c.PREFIX_HIT, c.REPLICA_INFO, c.REPLICA_START)]
    return [*of_replicas, Selector(c.REPLICA_POD.name, pool.match.labels)]


def cache_warmth(series: Sequence[Series], now: float) -> list[Warmth]:
    """Return every replica that reports, coldest first, then those whose warmth isn't known. `series` reach WINDOW seconds back."""
    hits: dict[Unit, list[Sequence[tuple[float, float]]]] = defaultdict(list)
    names: dict[Unit, str] = {}
    pods: dict[Unit, set[tuple[str, str]]] = defaultdict(set)
    for name, labels, samples in sound(counted_once(series).series).series:
        recent = [sample for sample in samples if sample[0] >= now - WINDOW]
        if "replica" not in labels or not recent or now - recent[-1][0] > STALE:
            continue
        if name == c.REPLICA_POD.name:
            key = unit({label: value for label, value in labels.items() if label not in OF_POD})
            pods[key].add((labels.get("namespace", ""), labels.get("pod", "")))
            continue
        names[unit(labels)] = labels["replica"]
        if name == c.PREFIX_HIT.name:
            hits[unit(labels)].append(recent)
    found = [Warmth(name, *_pod(pods[key]), _held(hits[key])) for key, name in names.items()]
    return sorted(found, key=lambda one: (one.cached_tokens is None, one.cached_tokens, one.replica))


def _pod(found: Iterable[tuple[str, str]]) -> tuple[str | None, str | None]:
    """Return the namespace and name of the only pod; of several, none is the one."""
    known = list(found)
    return known[0] if len(known) == 1 else (None, None)


def _held(ranks: Sequence[Sequence[tuple[float, float]]]) -> float | None:
    """Return the growth of the counters of all ranks; what was held before a restart is lost. None where too little was observed."""
    observed = [sum(after - at for (at, _), (after, _) in pairwise(one) if after - at <= MAX_GAP) for one in ranks]
    if not ranks or min(observed) < ENOUGH * WINDOW:
        return None
    return fsum(_growth([value for _, value in one]) for one in ranks)


def _growth(values: Sequence[float]) -> float:
    grown = 0.0
    for before, after in pairwise(values):
        grown = grown + after - before if after >= before else after
    return grown
