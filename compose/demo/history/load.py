"""Lays the measured slots of the demo out over five weeks, and stores them as its past. Everything is marked as simulated.

A slot between two measured levels of load is interpolated; an incident's slots are as measured, with the same noise of counts.
"""

import json
from bisect import bisect_right
from collections.abc import Mapping
from importlib.resources import files
from random import Random
from typing import Any

from plimsoll.compose.demo.history import plan
from plimsoll.compose.demo.history.events import store_events
from plimsoll.slo.calendar import DAY, SLOT, slot_of
from plimsoll.slo.ledger.ingest import remember_definitions
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.sli.evidence import COUNTER, PER_REQUEST
from plimsoll.slo.sli.increments import SIMULATED, SlotCount
from plimsoll.slo.spec.objectives import Pool, Spec
from plimsoll.slo.usage.slots import PoolSlot

Stretch = Mapping[str, Any]
_COUNTS = ("arrivals", "finished", "rejected", "abandoned_queued", "input_tokens", "output_tokens", "preemptions")
_GAUGES = ("waiting_max", "waiting_mean", "kv_cache_usage_max", "kv_cache_usage_mean")
_LEAST_SCRAPES, _LEAST_SAMPLES = 1, 1  # less than any scrape of the live fleet: where both know a slot, it holds


def measured() -> dict[str, Any]:
    """Return the measured slots of each pool."""
    text = (files("plimsoll.compose.demo.history") / "measured.json").read_text(encoding="utf-8")
    pools: dict[str, Any] = json.loads(text)["pools"]
    return pools


def store_history(spec: Spec, ledger: Ledger, now: float) -> int:
    """Store the past up to `now` (Unix seconds) and what was done in it; return the number of an SLO's slots."""
    end, numbers = slot_of(now), measured()
    remember_definitions(ledger.engine, spec.objectives)
    for pool in spec.pools:
        seen = stretches(numbers[pool.name], pool, now)
        counts = {
            (item.id, item.spec_hash): [_count(slot, item.id, one, item.indicator.per_request) for slot, one in seen]
            for item in spec.objectives
            if item.pool == pool.name
        }
        ledger.record(counts, end, {pool.name: [_pool_slot(pool, slot, one, now) for slot, one in seen]})
    store_events(spec, ledger, now)
    return len(_slots(now))


def stretches(numbers: Mapping[str, Any], pool: Pool, now: float) -> list[tuple[int, Stretch]]:
    """Return a pool's observed slots up to `now` (Unix seconds), and what it did in each; `numbers` are the measured ones."""
    starts, random = _slots(now), Random(pool.name)  # noqa: S311 - a demo, not secrets
    made = [(slot, _stretch(numbers, pool, slot, (starts.start, now), random)) for slot in starts]
    return [(slot, one) for slot, one in made if one]


def _slots(now: float) -> range:
    return range(int((now // DAY - plan.DAYS) * DAY), slot_of(now), SLOT)


def _stretch(numbers: Mapping[str, Any], pool: Pool, slot: int, span: tuple[float, float], random: Random) -> Stretch:
    """Return what a pool did in a slot; empty where nothing was observed."""
    start, now = span
    load = plan.load_at(slot, start, random)
    away = plan.begins(now, *plan.UNOBSERVED[:2])
    if away <= slot < away + plan.UNOBSERVED[2] * SLOT:
        return {}
    for one in plan.INCIDENTS:
        begin = plan.begins(now, one.days_ago, one.hour)
        if one.pool == pool.name and begin <= slot < begin + one.slots * SLOT:
            lost = int(one.kind == "replica lost" and slot == begin)
            return {**_noisy(numbers["incidents"][one.kind], random), "replica_disruptions": lost}
    return {**_noisy(_between(numbers["levels"], load), random), "replica_disruptions": 0}


def _between(levels: list[Stretch], load: float) -> Stretch:
    """Interpolate between the two levels next to a load."""
    index = min(max(1, bisect_right([one["load"] for one in levels], load)), len(levels) - 1)
    low, high = levels[index - 1], levels[index]
    share: float = (load - low["load"]) / (high["load"] - low["load"])

    def mix(one: float, other: float) -> float:
        return max(0.0, float(one + (other - one) * share))

    mixed: dict[str, Any] = {name: mix(low[name], high[name]) for name in (*_COUNTS, *_GAUGES)}
    total = {name: mix(low["total"][name], high["total"][name]) for name in low["total"]}
    ratio = {name: mix(*(one["good"][name] / max(1, one["total"][name]) for one in (low, high))) for name in total}
    return {
        **mixed,
        "replicas": low["replicas"],
        "total": total,
        "good": {n: min(1.0, ratio[n]) * total[n] for n in total},
    }


def _noisy(one: Stretch, random: Random) -> Stretch:
    """Return whole numbers: all requests by one factor, and the bad ones by chance around their number."""
    times = random.uniform(0.95, 1.05)
    counts = {name: round(one[name] * times) for name in _COUNTS}
    total = {name: round(value * times) for name, value in one["total"].items()}
    bad = {name: (one["total"][name] - one["good"][name]) * times * random.uniform(0.6, 1.4) for name in total}
    good = {name: max(0, total[name] - round(bad[name] + random.uniform(-0.4, 0.4))) for name in total}
    return {**one, **counts, "total": total, "good": {name: min(good[name], total[name]) for name in total}}


def _count(slot: int, objective: str, one: Stretch, per_request: bool) -> SlotCount:
    source = f"{PER_REQUEST if per_request else COUNTER}+{SIMULATED}"
    counted = one["good"][objective], one["total"][objective]
    return SlotCount(slot, *counted, float(SLOT), source, 0, _LEAST_SCRAPES, _LEAST_SAMPLES)


def _pool_slot(pool: Pool, slot: int, one: Stretch, now: float) -> PoolSlot:
    replicas, disruptions = float(one["replicas"]), one["replica_disruptions"]
    name, days_ago, hour, slots = plan.ROLLOUT
    begin = plan.begins(now, days_ago, hour)
    if pool.name == name and begin <= slot < begin + slots * SLOT:
        replicas, disruptions = replicas - 0.5, int((slot - begin) // SLOT % 2 == 0)
    return PoolSlot(
        slot,
        float(SLOT),
        **{name: one[name] for name in (*_COUNTS, *_GAUGES)},
        errors=0,
        abandoned_streaming=0,
        replicas=replicas,
        nodes=replicas / pool.node.replicas,
        replica_disruptions=disruptions,
        simulated=True,
        scrapes=_LEAST_SCRAPES,
        samples=_LEAST_SAMPLES,
    )
