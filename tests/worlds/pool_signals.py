"""Signals and raw series of replicas at one moment, and the recommendation that they lead to."""

from typing import Any

import msgspec

from plimsoll.slo.capacity.model.replica_throughput import ReplicaThroughput
from plimsoll.slo.capacity.model.signals import SIGNALS, ReplicaSignals, read
from plimsoll.slo.capacity.recommendation.attainment_simulation import Calibrated
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.recommendation.measured_state import MeasuredState
from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.capacity.recommendation.pool_snapshot import look
from plimsoll.slo.capacity.recommendation.recommend import Decision, decide
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import Pool
from world import MODEL, spec

POOL = spec().pool("pool")


NOW = 10_000.0


def replica(name: str, waiting: float = 0, kv: float = 0.3, seconds: float = 400, seen: bool = True) -> ReplicaSignals:
    moments = [NOW - seconds + 15 * i for i in range(int(seconds / 15) + 1)]
    steady = [(at, kv) for at in moments]
    return ReplicaSignals(name, seen, False, [(at, waiting) for at in moments], [(at, 5.0) for at in moments], steady)


def replace_min(least: int):  # type: ignore[no-untyped-def]
    return msgspec.structs.replace(POOL, nodes=msgspec.structs.replace(POOL.nodes, min=least))


TARGET = LatencyTarget(2.0, 0.2, 0.95)


FULL_ONCE, IDLE = [52, 0, *([18] * 80)], [0, 0, *([18] * 80)]  # one full slot makes the capacity known


QUIET, BURST = [30] * 40, [30] * 35 + [90, 90, 45, 40, 20]


def served(
    name: str, arriving: list[int], most: int = 45, ago: float = 0.0, odd: dict[str, float] | None = None
) -> list[Series]:
    """Build the raw series of a replica that serves up to `most` requests of 1,000 tokens in 15 s; `odd` replaces last values."""
    at, waiting, finished = NOW - ago - 15 * len(arriving), 0, 0
    samples: dict[str, list[tuple[float, float]]] = {signal: [] for signal in SIGNALS}
    for came in [0, *arriving]:
        went = min(most, waiting + came)
        waiting, finished = waiting + came - went, finished + went
        values = {"waiting": waiting, "running": 4, "kv_usage": 0.2, "finished": finished}
        values |= {"prompt_tokens": finished * 900, "generation_tokens": finished * 100}
        for signal, value in values.items():
            samples[signal].append((at, float(value)))
        at += 15
    for signal, value in (odd or {}).items():
        samples[signal][-8:] = [(time, value) for time, _ in samples[signal][-8:]]
    labels = {"replica": name, "model": MODEL, "engine": "vllm", "instance": "node:9800"}
    return [Series(SIGNALS[signal].name, labels, found) for signal, found in samples.items() if found]


def recommend(
    pool: Pool,
    replicas: tuple[ReplicaSignals, ...],
    now: float,
    target: LatencyTarget | None = None,
    state: MeasuredState | None = None,
    engine: Calibrated | None = None,
) -> Decision:
    """Decide for one pool at one moment."""
    return decide(look(pool, replicas, now, target, state=state), engine, state)


def decided(*replicas: list[Series], pending: int = 0, target: LatencyTarget | None = TARGET) -> Decision:
    return decide(look(POOL, read([item for found in replicas for item in found], NOW), NOW, target, pending))


def planned(*replicas: list[Series], pending: int = 0, target: LatencyTarget | None = TARGET) -> Recommendation:
    return decided(*replicas, pending=pending, target=target).recommendation


def recommended(*inputs: Any, **more: Any) -> Recommendation:
    """Return the recommendation of `recommend`, without the state after it."""
    return recommend(*inputs, **more).recommendation


def state(nodes: int, typical: float | None = None, at: float = NOW, **each: float) -> MeasuredState:
    """Build the state after a decision for so many nodes; `each` are replicas that were measured by themselves, in tokens per second."""
    throughput = ReplicaThroughput(typical, each, tuple(each), dict.fromkeys(each, "measured")) if typical else None
    return MeasuredState(at, nodes, throughput)
