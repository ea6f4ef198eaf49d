"""Cases of the alerts on single replicas (`health_cases.Case`)."""

from typing import Any

from health_cases import END, NODE, Case, Given, engine, histogram, ramp
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from pool_cases import pool_case


def _replica_case(alert: str, over: list[Given], under: list[Given], **rest: Any) -> Case:
    own = {**NODE, "replica": "r1", **rest.pop("labels", {})}
    return pool_case(alert, over, under, labels=own, url={"replica": "r1"}, **rest)


def _cold(p95: str, since: int) -> list[Given]:
    """A replica that started at sample `since`, whose first tokens all fall into one bucket, and an older one that is fast."""
    started = engine(c.REPLICA_START, f"_x{since} {since * 15}x{END}", "r1")
    rates = {"0.1": 0.0, "0.25": 0.0, "1.0": 0.0, "2.5": 0.0, "+Inf": 10.0}
    mine = {le: 10.0 if float(le) >= float(p95) else 0.0 for le in rates}
    old = {"0.1": 0.0, "0.25": 10.0, "1.0": 10.0, "2.5": 10.0, "+Inf": 10.0}
    return [
        started,
        engine(c.REPLICA_START, f"0x{END}", "r2"),
        *histogram(c.TTFT, mine, "r1", since),
        *histogram(c.TTFT, old, "r2"),
    ]


def _tpot(bound: str, replica: str) -> list[Given]:
    bounds = ("0.01", "0.025", "0.05", "0.1", "+Inf")
    return histogram(c.TPOT, {le: 10.0 if float(le) >= float(bound) else 0.0 for le in bounds}, replica)


REPLICAS = [
    _replica_case(
        "LLMKVBlocksReused",
        # 1 in ten minutes (40 samples), and none of that reason
        over=[engine(c.KV_TRANSFER_FAILURES, ramp(0.05), reason="late")],
        under=[engine(c.KV_TRANSFER_FAILURES, ramp(0.05), reason="expired")],
        labels={"severity": "page", "impact": "risk"},
        summary="Answers may be wrong: r1 reused blocks too early.",
        description="2 KV cache transfers from r1 of chat-70b ended after their lease in 10 minutes. Their blocks may have been reused "
        "meanwhile, so that answers rest on another request's tokens. Drain the replica.",
        panel=links.KV_TRANSFERS,
    ),
    _replica_case(
        "LLMPreemptionRateHigh",
        over=[engine(c.PREEMPTIONS, ramp(1)), engine(c.FINISHED, ramp(4), reason="stop")],
        under=[engine(c.PREEMPTIONS, ramp(1)), engine(c.FINISHED, ramp(5.1), reason="stop")],
        summary="r1 preempts too many requests.",
        description="r1 preempted 25% as many requests as it finished in 10 minutes (threshold 20%). "
        "Each is recomputed from the start.",
        panel=links.PREEMPTIONS,
    ),
    _replica_case(
        "LLMReplicaServingWhileCold",
        over=_cold("1.0", 460),
        under=_cold("0.25", 460),
        summary="r1 receives traffic before it is warm.",
        description="r1 started less than 10 minutes ago. Its TTFT p95 is 962.5ms, more than 3x that of older replicas.",
        panel=links.TTFT_BY_REPLICA,
    ),
    _replica_case(
        "LLMReplicaSlow",
        over=[*_tpot("0.1", "r1"), *_tpot("0.025", "r2")],
        under=[*_tpot("0.05", "r1"), *_tpot("0.05", "r2")],
        summary="r1 is slower than the other replicas.",
        description="TPOT p95 of r1 was 97.5ms over 10 minutes, more than 2x the median of the replicas. "
        "Check its GPUs and its share of traffic.",
        panel=links.TPOT_BY_REPLICA,
    ),
    _replica_case(
        "LLMReplicaCrashLooping",
        over=[engine(c.REPLICA_START, "100x300 4600x20 4900x20 5200x140")],
        under=[engine(c.REPLICA_START, "100x300 4600x20 5200x160")],
        summary="r1 keeps restarting.",
        description="r1 restarted 3 times in the last hour. Each restart drops in-flight requests and clears its caches.",
        panel=links.UPTIME,
    ),
]
