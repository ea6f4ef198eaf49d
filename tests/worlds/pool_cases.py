"""Cases of the alerts on pools and their replicas, and of the alert that mutes them (`health_cases.Case`)."""

from typing import Any

from health_cases import (
    END,
    MODEL,
    NODE,
    OBJECTIVES,
    POOL,
    SERVICE,
    Case,
    Given,
    engine,
    flat,
    given,
    histogram,
    ramp,
)
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric


def pool_case(alert: str, over: list[Given], under: list[Given], **rest: Any) -> Case:
    own = {"severity": "ticket", "pool": POOL, **rest.pop("labels", {})}
    return Case(alert, own["severity"], over, under, own, url={"pool": POOL, **rest.pop("url", {})}, **rest)


def _rollout(worse: int) -> list[Given]:
    labels = {**SERVICE, "objective": "chat-ttft", "pool": POOL, "baseline": "0.31.0", "candidate": "0.32.0"}
    bounds = {"lower": 0.009, "upper": 0.031}
    return [
        given(c.ROLLOUT_VERDICT, flat(worse), **labels, verdict="worse"),
        *(given(c.ROLLOUT_DIFFERENCE, flat(value), **labels, bound=bound) for bound, value in bounds.items()),
    ]


def _latencies(quick: float, slow: float) -> list[Given]:
    """First tokens per sample: `quick` within 250 ms, `slow` between 500 and 600 ms."""
    return histogram(
        c.TTFT, {"0.25": quick, "0.5": quick, "0.6": quick + slow, "1.0": quick + slow, "+Inf": quick + slow}
    )


def _lost(metric: Metric, per_sample: float, **labels: str) -> list[Given]:
    return [engine(metric, ramp(per_sample), **labels), engine(c.FINISHED, ramp(99 - 1), reason="stop")]


def _standing(replica: str) -> list[Given]:
    own = {**NODE, "replica": replica, "model": MODEL, "engine": "vllm"}
    info = given(c.REPLICA_INFO, flat(1), **own, version="1", simulated="false")
    return [info, given(c.REPLICA_UP, flat(1), **own)]


def _prompts(replica: str, per_second: float = 10) -> list[Given]:
    return [engine(c.PROMPT_TOKENS, ramp(15 * per_second), replica)]


def _load(per_second: float, capacity: float, other: float | None = None) -> list[Given]:
    """Two replicas at `per_second` tokens/s each, a tenth of them output, with a measured saturation throughput (or two)."""
    names, capacities = ("r1", "r2"), (capacity, capacity if other is None else other)
    made = [engine(c.GENERATION_TOKENS, ramp(1.5 * per_second), name) for name in names]
    read = [one for name in names for one in _prompts(name, 0.9 * per_second)]
    known = [
        given(c.REPLICA_CAPACITY, flat(each), pool=POOL, replica=name, instance="slo:8080")
        for name, each in zip(names, capacities, strict=True)
    ]
    return [*(one for name in names for one in _standing(name)), *read, *made, *known]


def _transfers(failed: float) -> list[Given]:
    """KV cache transfers of a decode engine: so many of 1,000 in ten minutes (40 samples) failed on its prefill engine."""
    return [
        engine(c.KV_TRANSFER_TIME.count, ramp((1000 - failed) / 40), "decode"),
        engine(c.KV_TRANSFER_FAILURES, ramp(failed / 40), "prefill", reason="expired"),
    ]


def _of_role(role: str, samples: str) -> list[Given]:
    """A replica of that role, named after it, that reports as long as it has samples."""
    own = {**NODE, "replica": role, "model": MODEL, "engine": "vllm"}
    return [given(c.REPLICA_INFO, samples, **own, role=role), given(c.REPLICA_UP, flat(1), **NODE, replica=role)]


def _of_ranks(*usage: float) -> list[Given]:
    """KV cache usage of two replicas, by rank."""
    return [
        engine(c.KV_CACHE_USAGE, flat(one), name, rank=str(rank))
        for name in ("r1", "r2")
        for rank, one in enumerate(usage)
    ]


POOLS = [
    pool_case(
        "LLMPoolNearCapacity",
        over=_load(910, capacity=1000),
        under=_load(890, capacity=1000),
        summary="The pool is close to its measured capacity.",
        description="chat-70b ran at 91% of its saturation throughput over 30m (threshold 90%). See the recommendation.",
        panel=links.TOKENS,
    ),
    pool_case(
        "LLMPoolOvercommitted",
        # two replicas: the remaining one would need 1.1 times its KV cache limit
        over=[*_load(100, capacity=1000), *(engine(c.KV_CACHE_USAGE, flat(0.4675), name) for name in ("r1", "r2"))],
        under=[*_load(490, capacity=1000), *(engine(c.KV_CACHE_USAGE, flat(0.42), name) for name in ("r1", "r2"))],
        summary="The pool can't tolerate the loss of a node.",
        description="Without one node, the load of the last 30m would be 110% of what the remaining nodes of chat-70b can serve "
        "(KV cache usage up to 85%, or their saturation throughput).",
        panel=links.NODES,
    ),
    pool_case(
        "LLMPoolOvercommitted",
        # two ranks each, one of them fuller: a replica's usage is their mean
        over=[*_load(100, capacity=1000), *_of_ranks(0.435, 0.5)],
        under=[*_load(490, capacity=1000), *_of_ranks(0.4, 0.44)],
        summary="The pool can't tolerate the loss of a node.",
        description="Without one node, the load of the last 30m would be 110% of what the remaining nodes of chat-70b can serve "
        "(KV cache usage up to 85%, or their saturation throughput).",
        panel=links.NODES,
    ),
    pool_case(
        "LLMPoolOvercommitted",
        # replicas differ: without the faster one, 500 of 2,000 tokens/s remain
        over=_load(265, capacity=1500, other=500),
        under=_load(245, capacity=1500, other=500),
        summary="The pool can't tolerate the loss of a node.",
        description="Without one node, the load of the last 30m would be 106% of what the remaining nodes of chat-70b can serve "
        "(KV cache usage up to 85%, or their saturation throughput).",
        panel=links.NODES,
    ),
    pool_case(
        "LLMTokenCostHigh",
        # 16 USD an hour for 3,200 tokens a second, and for 4,200; at the minimum and its spare, three nodes, it never fires
        # (test_alerts_healthy.py)
        over=[*_load(1600, capacity=5000), *_standing("r3"), *_standing("r4")],
        under=[*_load(2100, capacity=5000), *_standing("r3"), *_standing("r4")],
        summary="The cost per 1M tokens exceeds its limit.",
        description="1M tokens of chat-70b cost 1.418 USD over 6h, while more than 3 nodes were up (limit 1.1). "
        "Scale in, or check why throughput per node is low.",
        panel=links.NODES,
    ),
    pool_case(
        "LLMWarmSpareMissing",
        over=[*_standing("r1"), *_standing("r2"), *_prompts("r1"), *_prompts("r2")],
        under=[*_standing("r1"), *_standing("r2"), *_prompts("r1")],
        summary="The pool has too few warm spares.",
        description="0 of 1 warm spare replicas of chat-70b have been available for 15 minutes. "
        "Scaling out takes 150s instead of 5s.",
        panel=links.NODES,
    ),
    pool_case(
        "LLMQueueGrowing",
        # 0.55 a sample is 22 in ten minutes
        over=[engine(c.REQUESTS_WAITING, ramp(0.55))],
        under=[engine(c.REQUESTS_WAITING, ramp(0.45))],
        at="20m",
        summary="The request queue is growing.",
        description="At the current rate, 22 more requests per node of chat-70b will be waiting in 10 minutes (limit 20). "
        "Arrivals exceed throughput.",
        panel=links.QUEUE,
    ),
    pool_case(
        "LLMTrafficStopped",
        # 60 a minute for 95 minutes, then 6, and 7
        over=[*_standing("r1"), engine(c.FINISHED, f"0+15x380 5700+1.5x{END - 381}", reason="stop")],
        under=[*_standing("r1"), engine(c.FINISHED, f"0+15x380 5700+1.75x{END - 381}", reason="stop")],
        labels={"severity": "page", "impact": "outage"},
        summary="Requests no longer arrive; users can't reach the pool.",
        description="chat-70b gets 6 requests a minute; 60 were usual. Its replicas are up. "
        "Send a request through the gateway; check its health, DNS, and certificates.",
        panel=links.SERVED,
    ),
    pool_case(
        "LLMKVTransfersFailing",
        # of 1,000 transfers in ten minutes 11, and 9
        over=_transfers(11),
        under=_transfers(9),
        summary="KV cache transfers between engines fail.",
        description="1.1% of KV cache transfers of chat-70b failed or expired in 10 minutes (threshold 1%). "
        "Their prompts are computed again, or their requests fail.",
        panel=links.KV_TRANSFERS,
    ),
    pool_case(
        "LLMRoleMissing",
        over=[*_of_role("prefill", f"1x{END - 40}"), *_of_role("decode", flat(1))],
        under=[*_of_role("prefill", flat(1)), *_of_role("decode", flat(1))],
        labels={"severity": "page", "impact": "risk", "role": "prefill"},
        summary="No prefill engine is up.",
        description="No prefill engine of chat-70b has been up for 2 minutes. The pool can't serve requests that need it, however many "
        "engines of the other role are up.",
        panel=links.ROLES,
    ),
    pool_case(
        "LLMRequestsRejected",
        over=_lost(c.REJECTED, 2, reason="5xx"),
        under=_lost(c.REJECTED, 0.9, reason="5xx"),
        summary="Requests are being rejected.",
        description="2% of requests to chat-70b were rejected in the last 10 minutes (threshold 1%).",
        panel=links.LOST,
    ),
    pool_case(
        "LLMRequestsAbandoned",
        over=[engine(c.ABANDONED, ramp(4), stage="queued"), engine(c.FINISHED, ramp(96), reason="stop")],
        under=[
            engine(c.ABANDONED, ramp(1.9), stage="queued"),
            engine(c.ABANDONED, ramp(50), stage="streaming"),
            engine(c.FINISHED, ramp(98.1), reason="stop"),
        ],
        summary="Clients abandon requests while they are queued.",
        description="At least 4% of clients of chat-70b disconnected before the first token in 10 minutes (threshold 2%). "
        "Latency histograms don't include them.",
        panel=links.LOST,
    ),
    pool_case(
        "LLMPrefixCacheHitRatioDropped",
        over=[engine(c.PREFIX_QUERIED, ramp(10_000)), engine(c.PREFIX_HIT, "0+5000x420 2102000+2000x59")],
        under=[engine(c.PREFIX_QUERIED, ramp(10_000)), engine(c.PREFIX_HIT, "0+5000x420 2103000+3000x59")],
        summary="The prefix cache hit ratio dropped.",
        description="The prefix cache hit ratio of chat-70b was 20% over 15 minutes, less than half of the previous 6 hours (50%). "
        "Prefill takes longer.",
        panel=links.PREFIX_CACHE,
    ),
    pool_case(
        "SLOLatencyNearThreshold",
        over=_latencies(9, 1),
        under=_latencies(99, 1),
        labels={"objective": "chat-ttft"},
        summary="chat-ttft latency is close to its threshold.",
        description="p95 latency for chat-ttft was 550ms over 10 minutes (threshold 600ms, warning at 500ms). "
        "See the recommendation for chat-70b.",
        panel=links.TTFT,
    ),
    pool_case(
        "LLMPoolMaxedOut",
        over=[given(c.RECOMMENDED_NODES, flat(8), pool=POOL, instance="slo:8080")],
        under=[given(c.RECOMMENDED_NODES, flat(7), pool=POOL, instance="slo:8080")],
        summary="The pool needs its maximum number of nodes.",
        description="8 nodes have been recommended for chat-70b for 10 minutes; the maximum is 8. Additional demand will queue.",
        panel=links.NODES,
    ),
    pool_case(
        "LLMRolloutWorse",
        over=_rollout(1),
        under=_rollout(0),
        labels={"objective": "chat-ttft", "baseline": "0.31.0", "candidate": "0.32.0"},
        summary="0.32.0 is worse than 0.31.0 for chat-ttft.",
        description="0.9% to 3.1% more of the requests of 0.32.0 are bad than of 0.31.0, which serves chat-70b beside it. Roll back.",
        panel=links.BUDGET,
    ),
]

MUTING = [
    Case(
        "SLOExclusionActive",
        "info",
        over=[
            given(c.EXCLUDED, f"0x400 1x60 0x{END - 461}", **SERVICE, objective=one, pool=POOL) for one in OBJECTIVES
        ],
        # ended ten minutes ago, and one SLO of five is not excluded at all
        under=[given(c.EXCLUDED, f"1x{END - 45} 0x45", **SERVICE, objective=one, pool=POOL) for one in OBJECTIVES[1:]]
        + [given(c.EXCLUDED, flat(0), **SERVICE, objective=OBJECTIVES[0], pool=POOL)],
        labels={"severity": "info", "pool": POOL},
        summary="An exclusion is active; alerts for this pool are muted.",
        description="An exclusion covers every SLO of chat-70b, or did in the last 10m. Its pages and tickets are muted. "
        "See /api/v1/exclusions.",
        panel=links.BUDGET,
        url={"pool": POOL},
        path="/api/v1/exclusions",
        at="1h59m",
    ),
    Case(
        "LLMRolloutAnnounced",
        "info",
        over=[given(c.ROLLOUT_ANNOUNCED, f"0x400 1x60 0x{END - 461}", **SERVICE, pool=POOL)],
        # ended ten minutes ago, and one of another pool
        under=[
            given(c.ROLLOUT_ANNOUNCED, f"1x{END - 45} 0x45", **SERVICE, pool=POOL),
            given(c.ROLLOUT_ANNOUNCED, flat(1), **SERVICE, pool="another"),
        ],
        labels={"severity": "info", "pool": POOL},
        summary="A rollout is announced; its usual tickets are muted.",
        description="A rollout of chat-70b is announced, or was in the last 10m. Tickets on restarts, cold caches, and spare capacity "
        "are muted; user harm pages. See /api/v1/pools/chat-70b/rollout.",
        panel=links.REPLICAS,
        url={"pool": POOL},
        path="/api/v1/pools/chat-70b/rollout",
        at="1h59m",
    ),
]
