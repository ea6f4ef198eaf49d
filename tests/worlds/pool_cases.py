"""Cases of the alerts on pools and their replicas, and of the one that mutes them (`health_cases.Case`)."""

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


def _pool_case(alert: str, over: list[Given], under: list[Given], **rest: Any) -> Case:
    own = {"severity": "ticket", "pool": POOL, **rest.pop("labels", {})}
    return Case(alert, own["severity"], over, under, own, url={"pool": POOL, **rest.pop("url", {})}, **rest)


def _replica_case(alert: str, over: list[Given], under: list[Given], **rest: Any) -> Case:
    own = {**NODE, "replica": "r1", **rest.pop("labels", {})}
    return _pool_case(alert, over, under, labels=own, url={"replica": "r1"}, **rest)


def _latencies(quick: float, slow: float) -> list[Given]:
    """First tokens, so many a sample within 250 ms and so many between 500 and 600 ms."""
    return histogram(
        c.TTFT, {"0.25": quick, "0.5": quick, "0.6": quick + slow, "1.0": quick + slow, "+Inf": quick + slow}
    )


def _young(p95: str, since: int) -> list[Given]:
    """A replica that began at a sample, whose first tokens all fall into one bucket, and an old one that is quick."""
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


def _lost(metric: Metric, per_sample: float, **labels: str) -> list[Given]:
    return [engine(metric, ramp(per_sample), **labels), engine(c.FINISHED, ramp(99 - 1), reason="stop")]


def _standing(replica: str) -> list[Given]:
    own = {**NODE, "replica": replica, "model": MODEL, "engine": "vllm"}
    info = given(c.REPLICA_INFO, flat(1), **own, version="1", simulated="false")
    return [info, given(c.REPLICA_UP, flat(1), **own)]


def _prompts(replica: str, per_second: float = 10) -> list[Given]:
    return [engine(c.PROMPT_TOKENS, ramp(15 * per_second), replica)]


def _load(per_second: float, capacity: float, other: float | None = None) -> list[Given]:
    """Two replicas that process so many tokens a second each, a tenth of them generated, of a measured capacity (or two)."""
    names, capacities = ("r1", "r2"), (capacity, capacity if other is None else other)
    made = [engine(c.GENERATION_TOKENS, ramp(1.5 * per_second), name) for name in names]
    read = [one for name in names for one in _prompts(name, 0.9 * per_second)]
    known = [
        given(c.REPLICA_CAPACITY, flat(each), pool=POOL, replica=name, instance="slo:8080")
        for name, each in zip(names, capacities, strict=True)
    ]
    return [*(one for name in names for one in _standing(name)), *read, *made, *known]


POOLS = [
    _pool_case(
        "LLMPoolNearCapacity",
        over=_load(910, capacity=1000),
        under=_load(890, capacity=1000),
        summary="works at 91% of its measured capacity",
        description="Over 30m chat-70b processed 91% of the tokens a second that its replicas have been measured to do "
        "(alarm above 90%): what comes on top waits. The recommendation says how many nodes help.",
        panel=links.TOKENS,
    ),
    _pool_case(
        "LLMPoolOvercommitted",
        # two replicas: the one that stays would need 1.1 times the KV cache that it may use, or do 1.04 times what it can
        over=[*_load(100, capacity=1000), *(engine(c.KV_CACHE_USAGE, flat(0.4675), name) for name in ("r1", "r2"))],
        under=[*_load(490, capacity=1000), *(engine(c.KV_CACHE_USAGE, flat(0.42), name) for name in ("r1", "r2"))],
        summary="cannot lose a node: the rest would carry 110%",
        description="With one node fewer, the load of the last 30m would be 110% of what the other nodes of chat-70b can carry "
        "(KV cache up to 85%, or their measured tokens a second). Any loss would be felt.",
        panel=links.NODES,
    ),
    _pool_case(
        "LLMPoolOvercommitted",
        # unlike replicas: without the strong one 500 tokens a second are left of 2,000
        over=_load(265, capacity=1500, other=500),
        under=_load(245, capacity=1500, other=500),
        summary="cannot lose a node: the rest would carry 106%",
        description="With one node fewer, the load of the last 30m would be 106% of what the other nodes of chat-70b can carry "
        "(KV cache up to 85%, or their measured tokens a second). Any loss would be felt.",
        panel=links.NODES,
    ),
    _pool_case(
        "LLMTokenCostHigh",
        # 8 USD an hour for 1,600 tokens a second, and for 2,100
        over=_load(800, capacity=5000),
        under=_load(1050, capacity=5000),
        summary="a million tokens cost 1.418 USD",
        description="Over 6h a million tokens of chat-70b, prompt and generated, cost 1.418 USD in nodes (limit 1.1). "
        "Too many nodes for the traffic, or too few tokens per node.",
        panel=links.NODES,
    ),
    _pool_case(
        "LLMWarmSpareMissing",
        over=[*_standing("r1"), *_standing("r2"), *_prompts("r1"), *_prompts("r2")],
        under=[*_standing("r1"), *_standing("r2"), *_prompts("r1")],
        summary="0 of 1 warm spare replicas stand by",
        description="For 15 minutes 0 replicas of chat-70b have been up without work; 1 should be. "
        "Until then new capacity takes a cold start of 150s instead of 5s.",
        panel=links.NODES,
    ),
    _pool_case(
        "LLMQueueGrowing",
        # 0.55 a sample is 22 in ten minutes
        over=[engine(c.REQUESTS_WAITING, ramp(0.55))],
        under=[engine(c.REQUESTS_WAITING, ramp(0.45))],
        at="20m",
        summary="queue grows by 22 per node in 10 minutes",
        description="At the pace of the last 10 minutes 22 more requests will wait per node of chat-70b in another 10 (limit 20): "
        "more arrives than is served.",
        panel=links.QUEUE,
    ),
    _replica_case(
        "LLMPreemptionRateHigh",
        over=[engine(c.PREEMPTIONS, ramp(1)), engine(c.FINISHED, ramp(4), reason="stop")],
        under=[engine(c.PREEMPTIONS, ramp(1)), engine(c.FINISHED, ramp(5.1), reason="stop")],
        summary="r1: preemptions are 25% of finished requests",
        description="In 10 minutes r1 pushed out 25% as many requests as it finished (alarm above 20%); "
        "each is computed again from its beginning.",
        panel=links.PREEMPTIONS,
    ),
    _pool_case(
        "LLMRequestsRejected",
        over=_lost(c.REJECTED, 2, reason="5xx"),
        under=_lost(c.REJECTED, 0.9, reason="5xx"),
        summary="2% of requests rejected",
        description="In 10 minutes 2% of the requests to chat-70b were rejected (alarm above 1%).",
        panel=links.LOST,
    ),
    _pool_case(
        "LLMRequestsAbandoned",
        over=[engine(c.ABANDONED, ramp(4), stage="queued"), engine(c.FINISHED, ramp(96), reason="stop")],
        under=[
            engine(c.ABANDONED, ramp(1.9), stage="queued"),
            engine(c.ABANDONED, ramp(50), stage="streaming"),
            engine(c.FINISHED, ramp(98.1), reason="stop"),
        ],
        summary="4% of clients give up while queued",
        description="In 10 minutes 4% of the clients of chat-70b left before their first token (alarm above 2%, a lower bound): "
        "no latency histogram counts them.",
        panel=links.LOST,
    ),
    _pool_case(
        "LLMPrefixCacheHitRatioDropped",
        over=[engine(c.PREFIX_QUERIED, ramp(10_000)), engine(c.PREFIX_HIT, "0+5000x420 2102000+2000x59")],
        under=[engine(c.PREFIX_QUERIED, ramp(10_000)), engine(c.PREFIX_HIT, "0+5000x420 2103000+3000x59")],
        summary="prefix cache hits fell to 20%",
        description="In 15 minutes 20% of the prompt tokens of chat-70b were found in the prefix cache, less than half of the six "
        "hours before (50%): every prompt costs more prefill.",
        panel=links.PREFIX_CACHE,
    ),
    _replica_case(
        "LLMReplicaServingWhileCold",
        over=_young("1.0", 460),
        under=_young("0.25", 460),
        summary="r1: cold and already serving, TTFT p95 962.5ms",
        description="r1 started less than 10 minutes ago and got traffic: 95 % of its first tokens came within 962.5ms, "
        "more than three times as late as elsewhere in the pool.",
        panel=links.TTFT_BY_REPLICA,
    ),
    _replica_case(
        "LLMReplicaSlow",
        over=[*_tpot("0.1", "r1"), *_tpot("0.025", "r2")],
        under=[*_tpot("0.05", "r1"), *_tpot("0.05", "r2")],
        summary="r1: 97.5ms per token, twice the others",
        description="Over 10 minutes the p95 of the time per token of r1 was 97.5ms, more than twice that of the pool's "
        "fastest replica: a sick GPU, or more than its share of the traffic.",
        panel=links.TPOT_BY_REPLICA,
    ),
    _pool_case(
        "SLOLatencyNearThreshold",
        over=_latencies(9, 1),
        under=_latencies(99, 1),
        labels={"objective": "chat-ttft"},
        summary="chat-ttft: 95% of requests within 550ms, limit 600ms",
        description="Over 10 minutes the slowest requests within the promised 95% took 550ms; the limit is 600ms, the warning at "
        "0.5 s. The recommendation says whether a node helps.",
        panel=links.TTFT,
    ),
    _pool_case(
        "LLMPoolMaxedOut",
        over=[given(c.RECOMMENDED_NODES, flat(8), pool=POOL, instance="slo:8080")],
        under=[given(c.RECOMMENDED_NODES, flat(7), pool=POOL, instance="slo:8080")],
        summary="needs all of its 8 nodes",
        description="For 10 minutes 8 nodes have been recommended, and chat-70b may have no more than 8: what comes on top will wait.",
        panel=links.NODES,
    ),
    _replica_case(
        "LLMReplicaCrashLooping",
        over=[engine(c.REPLICA_START, "100x300 4600x20 4900x20 5200x140")],
        under=[engine(c.REPLICA_START, "100x300 4600x20 5200x160")],
        labels={"severity": "page"},
        summary="r1: restarted 3 times in an hour",
        description="r1 started 3 times within an hour; each start lost its requests and emptied its caches.",
        panel=links.UPTIME,
    ),
]

EXCLUSIONS = [
    Case(
        "SLOExclusionActive",
        "info",
        over=[
            given(c.EXCLUDED, f"0x400 1x60 0x{END - 461}", **SERVICE, objective=one, pool=POOL) for one in OBJECTIVES
        ],
        # over for ten minutes, and one objective of five is not excluded at all
        under=[given(c.EXCLUDED, f"1x{END - 45} 0x45", **SERVICE, objective=one, pool=POOL) for one in OBJECTIVES[1:]]
        + [given(c.EXCLUDED, flat(0), **SERVICE, objective=OBJECTIVES[0], pool=POOL)],
        labels={"severity": "info", "pool": POOL},
        summary="excluded: its alerts are muted",
        description="An exclusion covers every objective of chat-70b, or did within 10m: its pages and tickets are muted. "
        "Who and why: the exclusions in the SLO service.",
        panel=links.BUDGET,
        url={"pool": POOL},
        path="/api/v1/exclusions",
        at="1h59m",
    ),
]
