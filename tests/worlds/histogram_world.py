"""A fleet with known latencies, and the histograms that its pages show: each process has bounds of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric
from plimsoll.slo.sources import Series
from sample_list import sample_list


@dataclass
class Life:
    """One process of a replica: when it began, its bounds in seconds, and its requests as (time, latency in seconds).

    A request of a single token has no latency (None): engines record 0 for it. `evaluated` requests were also counted by the plugin.
    """

    start: float
    bounds: Sequence[float]
    requests: list[tuple[float, float | None]] = field(default_factory=list)
    evaluated: float | None = None

    def page(self, metric: Metric, at: float, objective: str) -> dict[tuple[str, str, str], float]:
        """Counts at a moment, by sample name, label and its value."""
        seen = [took for when, took in self.requests if when <= at]
        recorded = [took or 0.0 for took in seen]
        page = {(metric.bucket, "le", c.bucket_bound(b)): sum(took <= b for took in recorded) for b in self.bounds}
        page |= {(metric.bucket, "le", "+Inf"): len(seen), (metric.count, "", ""): len(seen)}
        if metric is c.TPOT:
            page[c.GENERATION_LENGTH.bucket, "le", "1.0"] = seen.count(None)
        if self.evaluated is not None:
            good = sum(took <= self.evaluated for took in seen if took is not None)
            page[c.OBJECTIVE_REQUESTS.name, "outcome", "good"] = good
            page[c.OBJECTIVE_REQUESTS.name, "outcome", "bad"] = len(seen) - seen.count(None) - good
        return {key: float(value) for key, value in page.items()}


def scraped(
    fleet: dict[str, list[Life]],
    times: Sequence[float],
    metric: Metric = c.TTFT,
    objective: str = "fast",
    model: str = "m",
) -> list[Series]:
    """What a source read at these times; of each replica the process that had begun last."""
    found: dict[tuple[str, ...], Series] = {}
    for replica, lives in fleet.items():
        mine = {"replica": replica, "model": model, "engine": "vllm", "instance": "node:9800"}
        for at in times:
            life = max((life for life in lives if life.start <= at), key=lambda life: life.start, default=None)
            if life is None:
                continue
            start = found.setdefault((replica,), Series(c.REPLICA_START.name, mine, []))
            sample_list(start).append((at, life.start))
            for (name, label, value), count in life.page(metric, at, objective).items():
                labels = mine | {"rank": "0"} | ({label: value} if label else {})
                labels |= {"objective": objective} if name == c.OBJECTIVE_REQUESTS.name else {}
                item = found.setdefault((replica, name, label, value), Series(name, labels, []))
                sample_list(item).append((at, count))
    return list(found.values())
