"""A metrics endpoint with every metric of the catalog in motion, and a small fleet that can lose a replica.

Values are simple: counters rise, ratios are constant. Tests need every series to exist.
"""

import itertools
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from http_server import serving_text
from paths import OBJECTIVES
from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric
from plimsoll.slo.spec.objectives import load

SPEC = load(OBJECTIVES.read_text())
MODEL, OTHER = SPEC.pools[0].model, "other/model"
STEADY, LOST, FOREIGN, UNBORN = "a:8000", "b:8000", "c:8000", "d:8000"
MODELS = {STEADY: MODEL, LOST: MODEL, FOREIGN: OTHER}
LABELS: Mapping[str, tuple[str, ...]] = {
    "engine": ("vllm",),
    "rank": ("0", "1"),
    "version": ("0.32.0",),
    "simulated": ("false",),
    "stage": ("queued", "streaming"),
    "outcome": ("good", "bad"),
    "objective": tuple(one.id for one in SPEC.objectives),
    "pool": tuple(pool.name for pool in SPEC.pools),
    "uuid": ("GPU-1", "GPU-2"),
    "domain": ("sm", "memory"),
    "collector": ("nvml", "engine"),
}
REASONS = {metrics.FINISHED: ("stop", "length", "abort", "error"), metrics.REJECTED: ("4xx",)}
BOUNDS = (0.01, 0.04, 0.25, 0.6, 1.0, 4.0, 30.0, float("inf"))


@dataclass
class Fleet:
    """A metrics endpoint whose counters all rise; one replica can be lost."""

    born: float = field(default_factory=time.time)
    lost: bool = False

    def page(self) -> str:
        """Return the metrics as text, now."""
        age = time.time() - self.born + 1
        return "\n".join(line for metric in metrics.ALL for line in self._family(metric, age)) + "\n"

    def _family(self, metric: Metric, age: float) -> Iterator[str]:
        yield f"# TYPE {metric} {metric.kind}"
        for labels in self._label_sets(metric):
            down = metric is metrics.REPLICA_UP and (
                labels["replica"] == UNBORN or (self.lost and labels["replica"] == LOST)
            )
            yield from _samples(metric, labels, 0 if down else age)

    def _label_sets(self, metric: Metric) -> Iterator[dict[str, str]]:
        replicas = [(STEADY, MODEL), (LOST, MODEL), (FOREIGN, OTHER)] if "replica" in metric.labels else [("", MODEL)]
        if metric is metrics.GPU_ASSIGNMENT:
            replicas = replicas[:1]  # GPUs of several replicas belong to no group
        if metric is metrics.REPLICA_UP:
            replicas.append((UNBORN, ""))
        elif self.lost:
            replicas = [one for one in replicas if one[0] != LOST]
        names = [name for name in metric.labels if name not in ("replica", "model")]
        for replica, model in replicas:
            values = [REASONS.get(metric, ("x",)) if name == "reason" else LABELS.get(name, ("x",)) for name in names]
            for combination in itertools.product(*values):
                mine = {"replica": replica, "model": model} | dict(zip(names, combination, strict=True))
                yield {name: mine[name] for name in metric.labels}


def _samples(metric: Metric, labels: Mapping[str, str], age: float) -> Iterator[str]:
    if metric.kind == "histogram":
        for bound in BOUNDS:
            share = 1 if bound == BOUNDS[-1] else bound / (bound + 0.1)
            yield _line(metric.bucket, {**labels, "le": metrics.bucket_bound(bound)}, 100 * age * share)
        yield _line(metric.sum, labels, 10 * age)
        yield _line(metric.count, labels, 100 * age)
    elif metric.kind == "counter":
        yield _line(metric.name, labels, age * (1 if "bad" in labels.values() else 30))
    elif metric.name.endswith("_ratio"):
        yield _line(metric.name, labels, 0.6)
    else:
        yield _line(metric.name, labels, min(age, 1))


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    written = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return f"{name}{{{written}}} {value!r}"


def serve(fleet: Fleet) -> AbstractContextManager[str]:
    """Serve the metrics on a free loopback port and give the address."""
    return serving_text(lambda _path, _body: fleet.page())
