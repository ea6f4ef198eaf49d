"""What a pool looks like right now: live signals of its replicas, with their ages. Unknown stays unknown."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

from plimsoll.slo import metrics as catalogue
from plimsoll.slo.sli.duplicates import counted_once
from plimsoll.slo.sli.increments import Unit, unit
from plimsoll.slo.sli.soundness import sound
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Pool

STALE = 60.0  # seconds without a sample after which a replica is not reporting
STOPPED = 360.0  # observed seconds without a replica after which it counts as stopped
GAP = 2 * STALE  # seconds between two samples above which the time is unobserved
MEMORY = 1800.0  # seconds: how far back capacity and demand are measured
SUSTAINED = 300.0  # seconds: what "KV cache > 85 % sustained" is evaluated over (documents P and C give no figure)


@dataclass(frozen=True, slots=True)
class ReplicaSignals:
    """One replica: its name, whether it was seen within STALE, and its samples [(time, value)] of the last minutes.

    Ranks of one replica are joined at each moment: cache use by maximum (ratio 0 to 1), everything else by sum. The last
    five lists are counters; they are empty where the engine does not publish them. `found_tokens` are those of prompts that its prefix cache
    held, `progress_tokens` what a prefill engine has alone. `role` is prefill, decode, or empty for both. One that is `asleep` isn't seen: it serves nothing, and has no
    samples after it fell asleep.
    """

    replica: str
    seen: bool
    simulated: bool
    waiting: list[tuple[float, float]]
    running: list[tuple[float, float]]
    kv_usage: list[tuple[float, float]]
    prompt_tokens: list[tuple[float, float]] = field(default_factory=list)
    generation_tokens: list[tuple[float, float]] = field(default_factory=list)
    finished: list[tuple[float, float]] = field(default_factory=list)
    found_tokens: list[tuple[float, float]] = field(default_factory=list)
    progress_tokens: list[tuple[float, float]] = field(default_factory=list)
    role: str = ""
    asleep: bool = False

    @property
    def newest(self) -> float | None:
        """When anything was last read of it; None where nothing was."""
        found = [samples[-1][0] for samples in (self.waiting, self.running, self.kv_usage) if samples]
        return max(found, default=None)


def missing(replicas: Sequence[ReplicaSignals], now: float) -> list[str]:
    """Return the names of the replicas that are expected and not reporting; not those asleep. A replica that is missing for STOPPED observed seconds was
    stopped. Unobserved time, as with an unavailable source, does not count."""
    times = sorted({at for replica in replicas for at, _ in replica.waiting})
    return [
        replica.replica
        for replica in replicas
        if not replica.seen
        and not replica.asleep
        and watched([at for at in (*times, now) if at >= (now if replica.newest is None else replica.newest)]) < STOPPED
    ]


def watched(times: Sequence[float]) -> float:
    """Return the seconds between samples at these times, without unobserved gaps."""
    return sum(later - before for before, later in pairwise(times) if later - before <= GAP)


TAKEN_ONCE = (catalogue.KV_CACHE_USAGE.name, catalogue.REPLICA_AWAKE.name)  # of ranks: the largest, not the sum
SIGNALS = {
    "waiting": catalogue.REQUESTS_WAITING,
    "running": catalogue.REQUESTS_RUNNING,
    "kv_usage": catalogue.KV_CACHE_USAGE,
    "prompt_tokens": catalogue.PROMPT_TOKENS,
    "generation_tokens": catalogue.GENERATION_TOKENS,
    "finished": catalogue.FINISHED,
    "found_tokens": catalogue.PREFIX_HIT,
    "progress_tokens": catalogue.PROGRESS_TOKENS,
}


def selectors(pool: Pool) -> list[Selector]:
    """Return the series to read for a pool's signals."""
    about = (catalogue.REPLICA_INFO, catalogue.REPLICA_START, catalogue.REPLICA_AWAKE, catalogue.ENGINE_SETTING)
    metrics = (*SIGNALS.values(), *about)
    return [Selector(metric.name, pool.labels) for metric in metrics]


def span(pool: Pool) -> float:
    """Return how many seconds of a pool's signals a decision needs."""
    return max(MEMORY, pool.timing.scale_in_stabilization) + STALE


def read(series: Sequence[Series], now: float) -> tuple[ReplicaSignals, ...]:
    """Order raw series by replica, each counted once. A replica without a sample in the last STALE seconds isn't reporting, not idle.

    A value that can't be (engines divide zero by zero) counts as missing.
    """
    joined: dict[Unit, dict[str, dict[float, float]]] = defaultdict(lambda: defaultdict(dict))
    names: dict[Unit, str] = {}
    simulated: set[Unit] = set()
    roles: dict[Unit, str] = {}
    for name, labels, samples in sound(counted_once(series).series).series:
        if "replica" not in labels:
            continue
        key = unit(labels)
        names[key] = labels["replica"]
        if labels.get("simulated") == "true":
            simulated.add(key)
        roles[key] = labels.get("role") or roles.get(key, "")
        moments = joined[key][name]
        if not moments:
            moments.update(samples)
            continue
        for at, value in samples:
            old = moments.get(at)
            if old is None:
                moments[at] = value
            else:
                moments[at] = max(old, value) if name in TAKEN_ONCE else old + value
    found = []
    for key, by_name in joined.items():
        ordered = {signal: sorted(by_name[metric.name].items()) for signal, metric in SIGNALS.items()}
        asleep, until = _sleep(by_name[catalogue.REPLICA_AWAKE.name], now)
        if asleep:
            ordered = {signal: [one for one in samples if one[0] <= until] for signal, samples in ordered.items()}
        seen = not asleep and bool(ordered["waiting"]) and now - ordered["waiting"][-1][0] <= STALE
        found.append(ReplicaSignals(names[key], seen, key in simulated, **ordered, role=roles[key], asleep=asleep))
    return tuple(sorted(found, key=lambda item: item.replica))


def _sleep(awake: Mapping[float, float], now: float) -> tuple[bool, float]:
    """Return whether a replica sleeps, and when it was last awake; it isn't asleep where that isn't reported any more."""
    last = max(awake, default=-inf)
    return now - last <= STALE and not awake[last], max((at for at, value in awake.items() if value), default=-inf)
