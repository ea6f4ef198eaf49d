"""llm-d's Workload Variant Autoscaler, first rule: spare capacity (docs/saturation-analyzer.md, defaults of its configmap)."""

from plimsoll.slo.capacity.simulator.policy import View

KV_SATURATED, QUEUE_SATURATED = 0.80, 5.0
KV_SPARE, QUEUE_SPARE = 0.1, 3.0
PEAK = 60.0  # seconds: inputs are max_over_time[1m]


def spare_capacity(kv: list[float], queue: list[float], pending: int, saturated: float = QUEUE_SATURATED) -> int:
    """Return +1, 0 or -1 nodes for the peaks of each replica; `saturated` is the queue that saturates one."""
    calm = [(k, q) for k, q in zip(kv, queue, strict=True) if k < KV_SATURATED and q < saturated]
    count = len(calm)
    if not count:
        return 0 if pending else 1
    kv_sum, queue_sum = sum(k for k, _ in calm), sum(q for _, q in calm)
    if KV_SATURATED - kv_sum / count < KV_SPARE or saturated - queue_sum / count < QUEUE_SPARE:
        return 0 if pending else 1
    fits = count >= 2 and (
        KV_SATURATED - kv_sum / (count - 1) >= KV_SPARE and saturated - queue_sum / (count - 1) >= QUEUE_SPARE
    )
    return -1 if fits else 0


class Wva:
    """One node more or less a minute, and none more while one is on its way; holds without data."""

    interval = 60.0

    def __init__(self, saturated: float = QUEUE_SATURATED) -> None:
        """`saturated` is the queue that saturates a replica, queueLengthThreshold of its configmap."""
        self.saturated = saturated

    def decide(self, view: View) -> int:
        """Apply the rule to the peaks of the last minute."""
        seen = [replica for replica in view.scraped if replica.kv_usage]
        if not seen:
            return view.nodes
        since = view.now - PEAK
        kv = [max((v for at, v in replica.kv_usage if at > since), default=0.0) for replica in seen]
        queue = [max((v for at, v in replica.waiting if at > since), default=0.0) for replica in seen]
        return view.nodes + spare_capacity(kv, queue, view.pending, self.saturated)
