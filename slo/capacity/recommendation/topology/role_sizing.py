"""Load of each role of a pool with prefill and decode engines, and what a replica of the role can carry, as measured.

A replica that had requests waiting for a minute shows the tokens per second that one of its role can carry; prefill only while
decode took its prompts in.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, fsum
from statistics import median

from plimsoll.slo.capacity.model.replica_throughput import OWN_SECONDS
from plimsoll.slo.capacity.model.signals import GAP, MEMORY, ReplicaSignals
from plimsoll.slo.capacity.recommendation.demand import PLANNING_UTILIZATION, RECENT, SATURATED
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot
from plimsoll.slo.capacity.recommendation.scale_in import STEP
from plimsoll.slo.sli.roles import DECODE, PREFILL

ROLES = (DECODE, PREFILL)  # in the order in which they are decided
Samples = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class RoleLoad:
    """A role of a pool: its nodes, those that don't report included; its load, that of the busiest minute of the stabilization window, and
    what one replica can carry, in tokens per second (None: not known); tokens that wait, and mean KV cache usage (0 to 1)."""

    role: str
    nodes: int
    replicas: int
    waiting: float
    tokens_per_second: float | None
    peak: float | None
    saturation: float | None
    backlog: float | None
    kv_usage: float | None

    def load(self, nodes: int) -> float | None:
        """Return the load over what this number of nodes can carry; None where it is not known."""
        if self.saturation is None or self.peak is None:
            return None
        return self.peak / (nodes * self.replicas * self.saturation)

    def kv_nodes(self, limit: float) -> int:
        """Return the nodes that bring KV cache usage below its limit: decode's, as prefill holds a prompt until decode fetches it."""
        if self.role != DECODE or self.kv_usage is None or self.kv_usage <= limit:
            return 0
        return max(self.nodes + 1, ceil(self.nodes * self.kv_usage / limit))

    def demand_nodes(self, lead: float) -> int:
        """Return the nodes that serve the load, and what waits within `lead` seconds; 0 where that is not known."""
        if self.saturation is None or self.tokens_per_second is None or self.backlog is None:
            return 0
        wanted = self.tokens_per_second + self.backlog / lead
        return ceil(wanted / (self.replicas * self.saturation * PLANNING_UTILIZATION))


def role_loads(case: PoolSnapshot, saturation: Mapping[str, float]) -> list[RoleLoad]:
    """Return the load of each role, decode first."""
    found = []
    for role in ROLES:
        every = [one for one in case.replicas if one.role == role]
        seen = [one for one in every if one.seen]
        there = len(seen) + sum(one.replica in case.unseen for one in every)
        usage = [case.kv_cache_means[one.replica] for one in seen if one.replica in case.kv_cache_means]
        waiting = fsum(one.waiting[-1][1] for one in seen)
        size = _tokens_per_request(every)
        since = case.now - case.pool.timing.scale_in_stabilization
        found.append(
            RoleLoad(
                role,
                ceil(there / case.pool.node.replicas),
                case.pool.node.replicas,
                waiting,
                rate_of(seen, case.now - RECENT - STEP),
                _peak(seen, since),
                saturation.get(role),
                0.0 if not waiting else None if size is None else waiting * size,
                fsum(usage) / len(seen) if seen and len(usage) == len(seen) else None,
            )
        )
    return found


def rate_of(replicas: Sequence[ReplicaSignals], since: float) -> float | None:
    """Return the tokens per second of replicas together after `since`; None where one of them doesn't report them."""
    rates = [_rate(one.progress_tokens, since) for one in replicas]
    known = [one for one in rates if one is not None]
    return fsum(known) if len(known) == len(rates) else None


def _rate(counter: Samples, since: float) -> float | None:
    """Return a counter's growth per second after `since`, without what a restart lost; None without two samples."""
    recent = [(at, value) for at, value in counter if at > since]
    if len(recent) < 2:
        return None
    return _grown(recent) / (recent[-1][0] - recent[0][0])


def _grown(counter: Samples) -> float:
    return fsum(max(0.0, after - before) for (_, before), (_, after) in pairwise(counter))


def _peak(replicas: Sequence[ReplicaSignals], since: float) -> float | None:
    """Return the tokens per second of the busiest minute after `since`; None where a replica doesn't report them."""
    minutes: dict[int, float] = defaultdict(float)
    for one in replicas:
        recent = [(at, value) for at, value in one.progress_tokens if at > since - STEP]
        if len(recent) < 2:
            return None
        for (start, before), (end, after) in pairwise(recent):
            minutes[int(end // RECENT)] += max(0.0, after - before) / max(RECENT, end - start)
    return max(minutes.values(), default=None)


def _tokens_per_request(replicas: Sequence[ReplicaSignals]) -> float | None:
    """Return the tokens that a request takes of a role's work; None while none finished."""
    finished = fsum(_grown(one.finished) for one in replicas)
    return fsum(_grown(one.progress_tokens) for one in replicas) / finished if finished else None


def saturations(case: PoolSnapshot, before: Mapping[str, float] | None) -> dict[str, float]:
    """Return the tokens per second that a replica of each role can carry, where it was measured now or `before`."""
    decode = [one for one in case.replicas if one.role == DECODE]
    full = {int(at // RECENT) for at, _ in _full(decode, case)}
    found = dict(before or {})
    for role in ROLES:
        mine = [one for one in case.replicas if one.role == role]
        intervals = [
            one for one in _saturated(mine, case.now - MEMORY) if role == DECODE or int(one[0] // RECENT) not in full
        ]
        if fsum(seconds for _, seconds, _ in intervals) >= OWN_SECONDS:
            found[role] = round(median(rate for _, _, rate in intervals), 1)
    return found


def _full(decode: Iterable[ReplicaSignals], case: PoolSnapshot) -> Iterable[tuple[float, float]]:
    """Yield the moments at which decode took nothing in: its queue or its KV cache was full."""
    for one in decode:
        yield from ((at, value) for at, value in one.waiting if value >= SATURATED)
        yield from ((at, value) for at, value in one.kv_usage if value > case.pool.max_kv_cache_usage)


def _saturated(mine: Iterable[ReplicaSignals], since: float) -> Iterable[tuple[float, float, float]]:
    """Yield (end, seconds, tokens per second) between two samples of a replica with requests waiting at both."""
    for one in mine:
        done = dict(one.progress_tokens)
        for (start, waited), (end, waiting) in pairwise(one.waiting):
            if start < since or min(waited, waiting) < SATURATED or end - start > GAP:
                continue
            grown = done[end] - done[start] if start in done and end in done else 0.0
            if grown > 0:
                yield end, end - start, grown / (end - start)
