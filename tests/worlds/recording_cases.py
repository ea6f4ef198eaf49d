"""Input series of recording rules for promtool: counters, first-token histograms and evaluated requests."""

from plimsoll.slo.metrics import OBJECTIVE_REQUESTS, TTFT
from promtool import counter, series

R1 = {"instance": "a:9800", "replica": "r1", "model": "m", "engine": "vllm", "rank": "0"}
R2 = R1 | {"replica": "r2"}
END = 30  # minutes


def count(name: str, labels: dict[str, str], per_minute: float, **more: str) -> dict[str, str]:
    return {"series": series(name, labels | more), "values": counter((END + 1, per_minute))}


def ttft(labels: dict[str, str], total: float, **buckets: float) -> list[dict[str, str]]:
    """A first-token histogram; the keys of `buckets` are bounds with the point written as `p`."""
    bounds = [count(TTFT.bucket, labels, rate, le=bound[1:].replace("p", ".")) for bound, rate in buckets.items()]
    return [*bounds, count(TTFT.count, labels, total)]


def evaluated(labels: dict[str, str], objective: str, good: float, bad: float) -> list[dict[str, str]]:
    name = OBJECTIVE_REQUESTS.name
    return [
        count(name, labels, rate, objective=objective, outcome=outcome)
        for outcome, rate in (("good", good), ("bad", bad))
    ]
