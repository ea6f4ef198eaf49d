"""AIBrix's APA: KV-cache use averaged over pods and three minutes, against a target of 0.5 (pkg/controller/podautoscaler)."""

from math import ceil, floor

from plimsoll.slo.capacity.simulator.policy import View

TARGET = 0.5  # its samples' target for the cache-usage gauge
TOLERANCE, RATE = 0.1, 2.0
STABLE = 180.0  # seconds


def adapted(current: int, ratio: float) -> int:
    """Return the pods for a ratio of observed to target value: at most doubled, at most halved, unchanged within 10 %."""
    if ratio > 1 + TOLERANCE:
        return min(ceil(current * ratio), ceil(current * RATE))
    if ratio < 1 - TOLERANCE:
        return max(ceil(current * ratio), floor(current / RATE))
    return current


class Apa:
    """Its five-minute window takes the lowest answer on the way down, so that it delays nothing: left out here."""

    interval = 15.0

    def __init__(self, target: float = TARGET) -> None:
        self.target = target

    def decide(self, view: View) -> int:
        """Follow the mean of the last three minutes; holds without a sample."""
        values = [v for replica in view.scraped for at, v in replica.kv_usage if at > view.now - STABLE]
        return adapted(view.nodes, sum(values) / len(values) / self.target) if values else view.nodes
