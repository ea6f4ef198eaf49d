"""Five minutes of the demo's pools at each level of load and in each incident, run through the engine model: what measured.json holds."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from plimsoll.compose.demo.fleet import Fleet
from plimsoll.compose.demo.traffic import Profile, profile
from plimsoll.slo.calendar import SLOT
from plimsoll.slo.checks.starting import kind_of
from plimsoll.slo.metrics import OBJECTIVE_REQUESTS
from plimsoll.slo.spec.objectives import Pool, Spec

WARM_UP, STEP = 300.0, 5.0  # seconds
LEVELS = (0.25, 0.5, 0.75, 1.0, 1.25)  # of the calm rate


@dataclass
class Stretch:
    """What a pool did in one slot; the names are those of plimsoll.slo.usage.slots.PoolSlot. `good` and `total` by SLO."""

    load: float
    arrivals: int
    finished: int
    rejected: int
    abandoned_queued: int
    input_tokens: int
    output_tokens: int
    preemptions: int
    waiting_max: float
    waiting_mean: float
    kv_cache_usage_max: float
    kv_cache_usage_mean: float
    replicas: int
    good: dict[str, int]
    total: dict[str, int]


def measured(spec: Spec, progress: Callable[[str], None]) -> dict[str, Any]:
    """Return of every pool its levels, and its incidents by name."""
    found: dict[str, Any] = {}
    for pool in spec.pools:
        calm, size = profile(kind_of(pool.model)), replicas_of(pool)
        levels = [_run(spec, pool, size, _steady(calm, level), level) for level in LEVELS]
        progress(f"{pool.name}: {len(levels)} levels of load")
        times = OVERLOAD[kind_of(pool.model)]
        incidents = {name: _run(spec, pool, *change(calm, size, times), 1.0) for name, change in INCIDENTS.items()}
        progress(f"{pool.name}: {len(incidents)} incidents")
        found[pool.name] = {
            "levels": [asdict(one) for one in levels],
            "incidents": {name: asdict(one) for name, one in incidents.items()},
        }
    return found


def replicas_of(pool: Pool) -> int:
    """Return how many replicas of a pool the demo runs."""
    return pool.nodes.min * pool.node.replicas


def _steady(shape: Profile, level: float) -> Profile:
    return msgspec.structs.replace(shape, calm=shape.calm * level, swing=0.0, burst=0.0, burst_first=1e9)


def _longer(shape: Profile, times: float) -> Profile:
    return msgspec.structs.replace(shape, prompt_tokens=tuple(round(times * one) for one in shape.prompt_tokens))


# Overload as a multiple of the calm rate: what a model can take differs by the length of its answers.
OVERLOAD = {"chat": 3.5, "reasoning": 9.0, "embedding": 27.0}
# Incident -> the replicas that serve, and the traffic of each (requirements R21 to R24 of the source documents, and failed requests).
INCIDENTS: dict[str, Callable[[Profile, int, float], tuple[int, Profile]]] = {
    "overload": lambda shape, size, times: (size, _steady(shape, times)),
    "long prompts": lambda shape, size, _: (size, _steady(_longer(shape, 1.9), 1.2)),
    "full cache": lambda shape, size, times: (size, _steady(_longer(shape, 3.0), times / 2)),
    "replica lost": lambda shape, size, _: (max(1, size - 1), _steady(shape, 2.0)),
    "errors": lambda shape, size, _: (size, msgspec.structs.replace(_steady(shape, 1.0), error_share=0.2)),
}


def _run(spec: Spec, pool: Pool, replicas: int, shape: Profile, load: float) -> Stretch:
    """Run a fleet for WARM_UP and then for a slot, and count the slot."""
    fleet = Fleet(spec, replicas, 7, pool, shape)
    fleet.advance(WARM_UP)
    before = _counts(fleet, spec, pool)
    waiting, used = [], []
    at = WARM_UP
    while at < WARM_UP + SLOT:
        at += STEP
        fleet.advance(at)
        waiting.append(sum(one.waiting for one in fleet.replicas))
        used.append([_kv(fleet, pool, index) for index in range(replicas)])
    grown = _counts(fleet, spec, pool) - before
    slos = [one.id for one in spec.objectives if one.pool == pool.name]
    ends = {name: grown[name] for name in ("finished", "rejected", "abandoned_queued")}
    available = [one.id for one in spec.objectives if one.pool == pool.name and one.indicator.kind == "availability"]
    good = {name: grown[f"good {name}"] for name in slos} | dict.fromkeys(available, ends["finished"])
    bad = {name: grown[f"bad {name}"] for name in slos} | dict.fromkeys(
        available, ends["rejected"] + ends["abandoned_queued"]
    )
    return Stretch(
        load=load,
        arrivals=grown["arrivals"],
        **ends,
        input_tokens=grown["input_tokens"],
        output_tokens=grown["output_tokens"],
        preemptions=grown["preemptions"],
        waiting_max=max(waiting),
        waiting_mean=round(sum(waiting) / len(waiting), 2),
        kv_cache_usage_max=round(max(map(max, used)), 4),
        kv_cache_usage_mean=round(sum(map(sum, used)) / len(used) / replicas, 4),
        replicas=replicas,
        good=good,
        total={name: good[name] + bad[name] for name in slos},
    )


def _kv(fleet: Fleet, pool: Pool, index: int) -> float:
    labels = {"engine": "0", "model_name": pool.model}
    return fleet.replicas[index].page.registry.get_sample_value("vllm:kv_cache_usage_perc", labels) or 0.0


def _counts(fleet: Fleet, spec: Spec, pool: Pool) -> Counter[str]:
    """Return the counters of all replicas' pages together."""
    found: Counter[str] = Counter()
    rank = {"engine": "0", "model_name": pool.model}
    for one in fleet.replicas:
        value = one.page.registry.get_sample_value
        found["arrivals"] += one.arrived
        found["finished"] += one.finished
        found["rejected"] += one.failed
        found["abandoned_queued"] += one.abandoned
        for name, family in (("input_tokens", "prompt_tokens"), ("output_tokens", "generation_tokens")):
            found[name] += round(value(f"vllm:{family}_total", rank) or 0)
        found["preemptions"] += round(value("vllm:num_preemptions_total", rank) or 0)
        for slo in (item.id for item in spec.objectives if item.pool == pool.name):
            for outcome in ("good", "bad"):
                labels = rank | {"objective": slo, "outcome": outcome}
                found[f"{outcome} {slo}"] += round(value(OBJECTIVE_REQUESTS.name, labels) or 0)
    return found
