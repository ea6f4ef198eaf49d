"""Activity of a pool per slot, from the same raw samples and increments as the SLOs. Pure functions.

Counters are recorded as plimsoll.slo.sli.increments does. A gauge's reading stands for the time since the reading before it. What one
of the observed replicas doesn't report is unknown of the pool: None, never 0.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from math import fsum
from operator import add

import msgspec

from plimsoll.slo import metrics as c
from plimsoll.slo.calendar import slot_of
from plimsoll.slo.metrics.engine import SAME_START
from plimsoll.slo.sli.increments import MAX_GAP, Unit, covered_seconds
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.sli.roles import PREFILL
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Pool
from plimsoll.slo.usage.energy import energy
from plimsoll.slo.usage.gauges import gauges, readings

MISSED = 60.0  # seconds, the longest common scrape interval: a replica is lost when another was scraped this much later


class PoolSlot(msgspec.Struct, frozen=True, gc=False):
    """Five minutes of a pool; None is unknown. Requests and tokens are whole numbers, as they were counted.

    `arrivals` = `finished` + `rejected` + both `abandoned` (as far as these are reported) + growth of the requests in flight. Exact
    over any observed span; a scrape between two counter updates may move a request to the adjacent slot.
    `finished` by any reason, `errors` those by error. `queue` is all replicas' waiting requests together: the most at one
    time, and the mean over time. `kv` is the used share of the KV cache: the fullest replica's, and the mean over
    replicas and time. `replicas` and `nodes` are the means of those observed, over the time in which any was; a node is as many
    replicas as the pool's `node.replicas`. `replica_disruptions`: replicas that restarted, stopped, or were not to be seen any more while
    others were. `energy_joules`: of the replicas' GPUs, where every one is known and computes for no other pool. `scrapes` and `samples`
    of the replicas that bear on the slot decide which of two rows knows more (plimsoll.slo.ledger.invariants).
    """

    slot: int
    covered_seconds: float
    arrivals: int | None = None
    finished: int | None = None
    errors: int | None = None
    rejected: int | None = None
    abandoned_queued: int | None = None
    abandoned_streaming: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    preemptions: int | None = None
    waiting_max: float | None = None
    waiting_mean: float | None = None
    kv_cache_usage_max: float | None = None
    kv_cache_usage_mean: float | None = None
    replicas: float | None = None
    nodes: float | None = None
    replica_disruptions: int | None = None
    energy_joules: float | None = None
    simulated: bool = False
    scrapes: int | None = None
    samples: int | None = None


FAMILIES = {
    "finished": c.FINISHED,
    "rejected": c.REJECTED,
    "abandoned": c.ABANDONED,
    "input_tokens": c.PROMPT_TOKENS,
    "output_tokens": c.GENERATION_TOKENS,
    "preemptions": c.PREEMPTIONS,
}
GAUGES = (c.REQUESTS_RUNNING, c.REQUESTS_WAITING, c.KV_CACHE_USAGE)
# A counter's field, the family that has it, and which of the family's series it sums.
COUNTED: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "finished": ("finished", ()),
    "errors": ("finished", (("reason", "error"),)),
    "rejected": ("rejected", ()),
    "abandoned_queued": ("abandoned", (("stage", "queued"),)),
    "abandoned_streaming": ("abandoned", (("stage", "streaming"),)),
    "input_tokens": ("input_tokens", ()),
    "output_tokens": ("output_tokens", ()),
    "preemptions": ("preemptions", ()),
}


def selectors(pool: Pool) -> tuple[Selector, ...]:
    """Return the series to read for a pool's slots, without energy (plimsoll.slo.usage.energy)."""
    return tuple(Selector(metric.name, pool.labels) for metric in (*FAMILIES.values(), *GAUGES))


def count_pool(observed: Observed, pool: Pool, gpus: Sequence[Series] = ()) -> list[PoolSlot]:
    """Return the slots in which any replica was observed; `gpus` is what plimsoll.slo.usage.energy selected."""
    watched = _observed_units(observed)
    fleet = observed.fleet.values()
    covered = covered_seconds(((one, (seen for _, seen in one.stretches)) for one in fleet), observed.slots)
    disruptions = _disruptions(observed)
    lived = gauges(observed, pool.node.replicas)
    fields = {name: _reported(_counting(observed, watched, name), _counter(observed, name)) for name in COUNTED}
    inside = _reported(watched, lambda unit: _inside(observed, unit))
    joules = energy(observed, gpus, watched)
    known, found = observed.knowledge(), []
    for slot in observed.slots:
        if not covered[slot] and slot not in watched:
            continue
        sums = {name: _whole(values.get(slot)) for name, values in fields.items()}
        found.append(
            PoolSlot(
                slot,
                covered[slot],
                arrivals=_arrivals(sums, inside.get(slot)),
                **sums,
                **lived.get(slot, {}),
                replica_disruptions=disruptions[slot] if slot in watched else None,
                energy_joules=joules.get(slot),
                simulated=any(observed.fleet[unit].simulated for unit in watched.get(slot, ())),
                scrapes=known[slot][0],
                samples=known[slot][1],
            )
        )
    return found


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _arrivals(sums: dict[str, int | None], inside: float | None) -> int | None:
    """Return the arrived requests: those that left, plus the growth of those in flight."""
    if inside is None or sums["finished"] is None:
        return None
    ends = ("finished", "rejected", "abandoned_queued", "abandoned_streaming")
    return round(inside) + sum(sums[name] or 0 for name in ends)


def _observed_units(observed: Observed) -> dict[int, set[Unit]]:
    """Return the replicas that were scraped in each slot."""
    found: dict[int, set[Unit]] = defaultdict(set)
    for unit, replica in observed.fleet.items():
        for at, _ in replica.observed:
            found[slot_of(at)].add(unit)
    return found


def _counting(observed: Observed, watched: dict[int, set[Unit]], name: str) -> dict[int, set[Unit]]:
    """Return the observed replicas that count something: tokens are those of decode engines, where a request is counted."""
    if name not in ("input_tokens", "output_tokens"):
        return watched
    found = {slot: {unit for unit in units if observed.fleet[unit].role != PREFILL} for slot, units in watched.items()}
    return {slot: units for slot, units in found.items() if units}


def _reported(watched: dict[int, set[Unit]], report: Callable[[Unit], dict[int, float]]) -> dict[int, float]:
    """Sum the values of all replicas per slot; slots that an observed replica doesn't report are left out."""
    by_unit = {unit: report(unit) for unit in set[Unit]().union(*watched.values())}
    return {
        slot: fsum(by_unit[unit][slot] for unit in units)
        for slot, units in watched.items()
        if all(slot in by_unit[unit] for unit in units)
    }


def _counter(observed: Observed, name: str) -> Callable[[Unit], dict[int, float]]:
    family, labels = COUNTED[name]

    def report(unit: Unit) -> dict[int, float]:
        found, odd = dict[int, float](), set[int]()
        for item in observed.series[unit]:
            if item.name == FAMILIES[family].name:
                mine = all(item.labels.get(label) == value for label, value in labels)
                # A counter that was never incremented may have no series: if its family is present, the value is 0.
                if mine or family == "finished":
                    found |= {slot: found.get(slot, 0.0) for slot in observed.slots_read(item)}
                for slot, by in observed.grown(item, observed.fleet[unit]) if mine else ():
                    found[slot] = found.get(slot, 0.0) + by
                odd |= observed.odd_slots(item) if mine else set()
        return {slot: value for slot, value in found.items() if slot not in odd}

    return report


def _inside(observed: Observed, unit: Unit) -> dict[int, float]:
    """Return the growth of a replica's requests in flight, for slots with complete observations."""
    running, waiting = (
        readings(observed.series[unit], metric, add) for metric in (c.REQUESTS_RUNNING, c.REQUESTS_WAITING)
    )
    inside = {at: value + waiting[at] for at, value in running.items() if at in waiting}
    seen = observed.fleet[unit].observed
    found: dict[int, float] = defaultdict(float)
    unknown: set[int] = set()
    for before, (at, start) in zip([None, *seen], seen, strict=False):
        near = before is not None and at - before[0] <= MAX_GAP
        base = before[0] if near and before is not None and abs(start - before[1]) <= SAME_START else None
        if at not in inside or (base is not None and base not in inside):
            unknown.add(slot_of(at))
        elif base is not None:
            found[slot_of(at)] += inside[at] - inside[base]
        else:  # a new process started with none; the first scrape of an old one only sets the baseline
            found[slot_of(at)] += inside[at] if near or at - start <= MAX_GAP else 0.0
    return {slot: value for slot, value in found.items() if slot not in unknown}


def _disruptions(observed: Observed) -> dict[int, int]:
    """Return the disruptions per slot: restarts by the first scrape of the new process, stops by the last scrape."""
    found: dict[int, int] = defaultdict(int)
    times = sorted(at for replica in observed.fleet.values() for at, _ in replica.observed)
    for replica in observed.fleet.values():
        for (at, start), following in zip(replica.observed, [*replica.observed[1:], None], strict=True):
            if following is not None and following[0] - at <= MAX_GAP:
                if abs(following[1] - start) > SAME_START:
                    found[slot_of(following[0])] += 1
            else:  # this one wasn't read within MAX_GAP, so the times in it are of others
                found[slot_of(at)] += bisect_right(times, at + MAX_GAP) > bisect_right(times, at + MISSED)
    return found
