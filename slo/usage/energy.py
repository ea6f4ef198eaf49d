"""The energy that a pool's GPUs took in each slot: their counters, joined to the replicas that compute on them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import fsum

from plimsoll.slo.calendar import slot_of
from plimsoll.slo.metrics import GPU_ASSIGNMENT, GPU_ENERGY, POD_LABELS
from plimsoll.slo.sli.increments import MAX_GAP, Unit, unit
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.sli.soundness import sound
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Pool

Gpu = tuple[Unit, str]  # where it was read, and its uuid
TOGETHER = 150  # GPUs in one query, of 41 characters each: VictoriaMetrics takes no query above 16 KiB


def assignments(pool: Pool) -> Selector:
    """Select which GPUs the pool's replicas compute on."""
    return Selector(GPU_ASSIGNMENT.name, pool.labels)


def selectors(series: Sequence[Series]) -> list[Selector]:
    """Select energy and tenants of the GPUs that the assignments among `series` name; none where they name none."""
    uuids = sorted({item.labels["uuid"] for item in series if item.name == GPU_ASSIGNMENT.name})
    parts = [tuple(uuids[begin : begin + TOGETHER]) for begin in range(0, len(uuids), TOGETHER)]
    return [Selector(metric.name, (("uuid", part),)) for part in parts for metric in (GPU_ENERGY, GPU_ASSIGNMENT)]


def energy(observed: Observed, gpus: Sequence[Series], watched: Mapping[int, set[Unit]]) -> dict[int, float]:
    """Return joules per slot, of slots in which the GPUs of every observed replica are known, report, and serve no other pool."""
    grown = {_gpu(item): _grown(item.samples) for item in sound(gpus).series if item.name == GPU_ENERGY.name}
    tenants: dict[Gpu, dict[int, set[Unit]]] = defaultdict(lambda: defaultdict(set))
    for item in gpus:
        if item.name == GPU_ASSIGNMENT.name:
            tenant, by_slot = unit(item.labels), tenants[_gpu(item)]
            for slot in {slot_of(at) for at, _ in item.samples}:
                by_slot[slot].add(tenant)
    found = {}
    for slot in observed.slots:
        mine = {gpu for gpu, slots in tenants.items() if slots.get(slot, set()) & watched.get(slot, set())}
        served = {one for gpu in mine for one in tenants[gpu][slot]}
        if mine and served == watched[slot] and all(slot in grown.get(gpu, {}) for gpu in mine):
            found[slot] = round(fsum(grown[gpu][slot] for gpu in mine), 3)
    return found


def _gpu(item: Series) -> Gpu:
    of_replica = ("replica", *POD_LABELS)  # on the assignment alone, or another's there
    return frozenset(pair for pair in unit(item.labels) if pair[0] not in of_replica), item.labels["uuid"]


def _grown(samples: Sequence[tuple[float, float]]) -> dict[int, float]:
    """Growth of an energy counter, by the slot of the later reading; a driver that was loaded again began at 0."""
    found: dict[int, float] = defaultdict(float)
    for (before, base), (at, value) in pairwise(sorted(set(samples))):
        if at - before <= MAX_GAP:
            found[slot_of(at)] += value - base if value >= base else value
    return found
