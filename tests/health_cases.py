"""What makes each early warning and each alert on hardware or watchers fire, and what falls just short of it, as data.

`tests/rules/health.yml` holds the older alerts in the same manner, by hand. A case is played twice by the real promtool:
with the numbers of `over` the alert fires at `at` with exactly this text, with those of `under` it stays silent. Series are
sampled every 15 seconds for two hours unless a span says otherwise.
"""

from dataclasses import dataclass, field
from typing import Any

from alerts import watching
from promtool import series
from slo import catalogue as c
from slo import links
from slo.catalogue import Metric

POOL, MODEL = "chat-70b", "meta-llama/Llama-3.3-70B-Instruct"
NODE, SERVICE = {"instance": "node-a:9800"}, {"instance": "slo:8080"}
OBJECTIVES = ("chat-ttft", "chat-tpot", "chat-e2e", "chat-availability", "chat-goodput")
GPU = {**NODE, "uuid": "GPU-1"}
END = 480  # samples: two hours
Given = dict[str, str]


@dataclass(frozen=True)
class Case:
    """One alert: series that make it fire, those that do not, the moment, and what it says. `url` is what its panel link has."""

    alert: str
    severity: str
    over: list[Given]
    under: list[Given]
    labels: dict[str, str]
    summary: str
    description: str
    panel: links.Panel
    url: dict[str, str] = field(default_factory=dict)
    at: str = "2h"
    path: str = ""


def given(metric: Metric | str, values: str, /, **labels: str) -> Given:
    """One series of a metric."""
    return {"series": series(str(metric), labels), "values": values}


def engine(metric: Metric | str, values: str, replica: str = "r1", /, **labels: str) -> Given:
    """One series of an engine's replica in the pool."""
    own = {"replica": replica, "model": MODEL, "engine": "vllm", "rank": "0"}
    return given(metric, values, **NODE, **own, **labels)


def ramp(per_sample: float, start: float = 0) -> str:
    """A counter or gauge that grows evenly."""
    return f"{start:g}+{per_sample:g}x{END}"


def flat(value: float) -> str:
    """A gauge that stays."""
    return f"{value:g}x{END}"


def histogram(metric: Metric, buckets: dict[str, float], replica: str = "r1", since: int = 0) -> list[Given]:
    """Buckets that grow by so much a sample (le -> cumulative), with the count; from sample `since` on."""
    blank = f"_x{since} " if since else ""
    found = [engine(metric.bucket, blank + ramp(rate), replica, le=le) for le, rate in buckets.items()]
    return [*found, engine(metric.count, blank + ramp(buckets["+Inf"]), replica)]


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


def _load(per_second: float, capacity: float) -> list[Given]:
    """Two replicas that process so many tokens a second each, a tenth of them generated, of a measured capacity."""
    names = ("r1", "r2")
    made = [engine(c.GENERATION_TOKENS, ramp(1.5 * per_second), name) for name in names]
    read = [one for name in names for one in _prompts(name, 0.9 * per_second)]
    known = given(c.REPLICA_CAPACITY, flat(capacity), pool=POOL, instance="slo:8080")
    return [*(one for name in names for one in _standing(name)), *read, *made, known]


POOLS = [
    _pool_case(
        "PoolNearCapacity",
        over=_load(910, capacity=1000),
        under=_load(890, capacity=1000),
        summary="works at 91% of its measured capacity",
        description="Over 30m chat-70b processed 91% of the tokens a second that its replicas have been measured to do "
        "(alarm above 90%): what comes on top waits. The recommendation says how many nodes help.",
        panel=links.TOKENS,
    ),
    _pool_case(
        "PoolNotRedundant",
        # two replicas: the one that stays would need 1.1 times the KV cache that it may use, or do 1.04 times what it can
        over=[*_load(100, capacity=1000), *(engine(c.KV_CACHE_USAGE, flat(0.4675), name) for name in ("r1", "r2"))],
        under=[*_load(490, capacity=1000), *(engine(c.KV_CACHE_USAGE, flat(0.42), name) for name in ("r1", "r2"))],
        summary="cannot lose a node: the rest would carry 110%",
        description="With one node fewer, the load of the last 30m would be 110% of what the other nodes of chat-70b can carry "
        "(KV cache up to 85%, or their measured tokens a second). Any loss would be felt.",
        panel=links.NODES,
    ),
    _pool_case(
        "TokensDear",
        # 8 USD an hour for 1,600 tokens a second, and for 2,100
        over=_load(800, capacity=5000),
        under=_load(1050, capacity=5000),
        summary="a million tokens cost 1.418 USD",
        description="Over 6h a million tokens of chat-70b, prompt and generated, cost 1.418 USD in nodes (limit 1.1). "
        "Too many nodes for the traffic, or too few tokens per node.",
        panel=links.NODES,
    ),
    _pool_case(
        "WarmSpareMissing",
        over=[*_standing("r1"), *_standing("r2"), *_prompts("r1"), *_prompts("r2")],
        under=[*_standing("r1"), *_standing("r2"), *_prompts("r1")],
        summary="0 of 1 warm spare replicas stand by",
        description="For 15 minutes 0 replicas of chat-70b have been up without work; 1 should be. "
        "Until then new capacity takes a cold start of 150s instead of 5s.",
        panel=links.NODES,
    ),
    _pool_case(
        "QueueGrowing",
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
        "PreemptionStorm",
        over=[engine(c.PREEMPTIONS, ramp(1)), engine(c.FINISHED, ramp(4), reason="stop")],
        under=[engine(c.PREEMPTIONS, ramp(1)), engine(c.FINISHED, ramp(5.1), reason="stop")],
        summary="r1: preemptions are 25% of finished requests",
        description="In 10 minutes r1 pushed out 25% as many requests as it finished (alarm above 20%); "
        "each is computed again from its beginning.",
        panel=links.PREEMPTIONS,
    ),
    _pool_case(
        "RequestsRefused",
        over=_lost(c.REJECTED, 2, reason="5xx"),
        under=_lost(c.REJECTED, 0.9, reason="5xx"),
        summary="2% of requests refused",
        description="In 10 minutes 2% of the requests to chat-70b were refused (alarm above 1%).",
        panel=links.LOST,
    ),
    _pool_case(
        "ClientsGiveUp",
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
        "PrefixCacheCollapsed",
        over=[engine(c.PREFIX_QUERIED, ramp(10_000)), engine(c.PREFIX_HIT, "0+5000x420 2102000+2000x59")],
        under=[engine(c.PREFIX_QUERIED, ramp(10_000)), engine(c.PREFIX_HIT, "0+5000x420 2103000+3000x59")],
        summary="prefix cache hits fell to 20%",
        description="In 15 minutes 20% of the prompt tokens of chat-70b were found in the prefix cache, less than half of the six "
        "hours before (50%): every prompt costs more prefill.",
        panel=links.PREFIX_CACHE,
    ),
    _replica_case(
        "ColdReplicaServes",
        over=_young("1.0", 460),
        under=_young("0.25", 460),
        summary="r1: cold and already serving, TTFT p95 962.5ms",
        description="r1 started less than 10 minutes ago and got traffic: 95 % of its first tokens came within 962.5ms, "
        "more than three times as late as elsewhere in the pool.",
        panel=links.TTFT_BY_REPLICA,
    ),
    _replica_case(
        "ReplicaSlow",
        over=[*_tpot("0.1", "r1"), *_tpot("0.025", "r2")],
        under=[*_tpot("0.05", "r1"), *_tpot("0.05", "r2")],
        summary="r1: 97.5ms per token, twice the others",
        description="Over 10 minutes the p95 of the time per token of r1 was 97.5ms, more than twice that of the pool's "
        "fastest replica: a sick GPU, or more than its share of the traffic.",
        panel=links.TPOT_BY_REPLICA,
    ),
    _pool_case(
        "LatencyNearLimit",
        over=_latencies(9, 1),
        under=_latencies(99, 1),
        labels={"objective": "chat-ttft"},
        summary="chat-ttft: 95% of requests within 550ms, limit 600ms",
        description="Over 10 minutes the slowest requests within the promised 95% took 550ms; the limit is 600ms, the warning at "
        "0.5 s. The recommendation says whether a node helps.",
        panel=links.TTFT,
    ),
    _pool_case(
        "PoolAtMaximum",
        over=[given(c.RECOMMENDED_NODES, flat(8), pool=POOL, instance="slo:8080")],
        under=[given(c.RECOMMENDED_NODES, flat(7), pool=POOL, instance="slo:8080")],
        summary="needs all of its 8 nodes",
        description="For 10 minutes 8 nodes have been recommended, and chat-70b may have no more than 8: what comes on top will wait.",
        panel=links.NODES,
    ),
    _replica_case(
        "ReplicaFlapping",
        over=[engine(c.REPLICA_START, "100x300 4600x20 4900x20 5200x140")],
        under=[engine(c.REPLICA_START, "100x300 4600x20 5200x160")],
        labels={"severity": "page"},
        summary="r1: restarted 3 times in an hour",
        description="r1 started 3 times within an hour; each start lost its requests and emptied its caches.",
        panel=links.UPTIME,
    ),
]

_INFO = given(c.REPLICA_INFO, flat(1), **NODE, replica="r1", model=MODEL, engine="vllm", version="1", simulated="false")


def _gpu(alert: str, over: list[Given], under: list[Given], **rest: Any) -> Case:
    severity = rest.pop("severity", "ticket")
    own = {**GPU, "severity": severity, **rest.pop("labels", {})}
    return Case(alert, severity, over, under, own, **rest)


def _page(alert: str, over: list[Given], under: list[Given], **rest: Any) -> list[Case]:
    """A page that names the pool where the node serves one, and none where it does not."""
    labels = rest.pop("labels", {})
    named = _gpu(
        alert,
        [*over, _INFO],
        [*under, _INFO],
        severity="page",
        labels={**labels, "pool": POOL},
        url={"pool": POOL},
        **rest,
    )
    return [named, _gpu(alert, over, under, severity="page", labels=labels, **rest)]


def _xid(xid: str, ago: int) -> list[Given]:
    """An XID that was told so many seconds before the two hours end."""
    return [given(c.GPU_XID_LAST, flat(7200 - ago), **GPU, xid=xid)]


def _clock(share: float, reason: str) -> list[Given]:
    return [
        given(c.GPU_CLOCK_LIMITED, flat(share), **GPU, reason=reason),
        given(c.GPU_CLOCK, flat(1.5e9), **GPU, domain="sm"),
        given(c.GPU_CLOCK_MAX, flat(2e9), **GPU, domain="sm"),
    ]


GPUS = [
    *_page(
        "GpuRecoveryNeeded",
        over=[given(c.GPU_RECOVERY_ACTION, flat(2), **GPU)],
        under=[given(c.GPU_RECOVERY_ACTION, flat(0), **GPU)],
        summary="node-a:9800: a GPU needs recovery",
        description="The driver's own verdict on GPU GPU-1 behind node-a:9800: it needs a node reboot. Drain the node first.",
        panel=links.GPU_HEALTH,
    ),
    *_page(
        "GpuXid",
        over=_xid("79", 585),
        under=_xid("79", 600) + _xid("13", 60),
        labels={"xid": "79"},
        summary="node-a:9800: XID 79",
        description="GPU GPU-1 behind node-a:9800 reported XID 79 9m 45s ago: the GPU fell off the bus; "
        "cordon the node, power it off and on.",
        panel=links.GPU_XIDS,
    ),
    _gpu(
        "GpuXid",
        over=_xid("94", 60),
        under=_xid("13", 60),
        labels={"xid": "94"},
        summary="node-a:9800: XID 94",
        description="GPU GPU-1 behind node-a:9800 reported XID 94 1m 0s ago: a contained memory error: one application was hit; "
        "restart the engine; reset the GPU at the next drain.",
        panel=links.GPU_XIDS,
    ),
    *_page(
        "GpuMemoryFailed",
        over=[given(c.GPU_REMAP_FAILED, flat(0), **GPU), given(c.GPU_SRAM_THRESHOLD_EXCEEDED, flat(1), **GPU)],
        under=[given(c.GPU_REMAP_FAILED, flat(0), **GPU), given(c.GPU_SRAM_THRESHOLD_EXCEEDED, flat(0), **GPU)],
        summary="node-a:9800: a GPU's memory cannot repair itself",
        description="GPU GPU-1 behind node-a:9800 could not replace a bad memory row, or its SRAM errors passed the vendor's limit: "
        "replace it.",
        panel=links.GPU_HEALTH,
    ),
    _gpu(
        "GpuResetDue",
        over=[given(c.GPU_REMAP_PENDING, flat(1), **GPU)],
        under=[given(c.GPU_REMAP_PENDING, f"0x{END - 30} 1x30", **GPU), given(c.GPU_RETIRED_PENDING, flat(0), **GPU)],
        summary="node-a:9800: a GPU waits for a reset",
        description="GPU GPU-1 behind node-a:9800 repaired its memory for after the next reset: do it at the next drain.",
        panel=links.GPU_HEALTH,
    ),
    _gpu(
        "GpuMemoryErrors",
        over=[given(c.GPU_ECC_ERRORS, ramp(0.0125), **GPU, error="uncorrected")],
        under=[
            given(c.GPU_ECC_ERRORS, flat(7), **GPU, error="uncorrected"),
            given(c.GPU_ECC_ERRORS, ramp(9), **GPU, error="corrected"),
        ],
        summary="node-a:9800: uncorrected GPU memory errors",
        description="GPU GPU-1 behind node-a:9800 had 3 uncorrected memory errors within an hour: what ran there may have failed.",
        panel=links.GPU_HEALTH,
    ),
    _gpu(
        "GpuThrottled",
        over=_clock(0.125, "hardware_thermal"),
        under=_clock(0.0625, "hardware_thermal") + _clock(1, "software_power_cap"),
        labels={"reason": "hardware_thermal"},
        summary="node-a:9800: a GPU's clocks held down 12.5% of the time",
        description="GPU GPU-1 behind node-a:9800 ran slower because of hardware_thermal for 12.5% of the last 10 minutes; "
        "its SM clock lost 25% of its most.",
        panel=links.GPU_CLOCKS,
    ),
    _gpu(
        "GpuPowerCapped",
        over=[given(c.GPU_POWER_LIMIT, flat(650), **GPU), given(c.GPU_POWER_LIMIT_DEFAULT, flat(700), **GPU)],
        under=[given(c.GPU_POWER_LIMIT, flat(690), **GPU), given(c.GPU_POWER_LIMIT_DEFAULT, flat(700), **GPU)],
        summary="node-a:9800: a GPU is capped at 650 W",
        description="GPU GPU-1 behind node-a:9800 may draw 650 W, less than it was shipped with: someone or something set a limit, "
        "and tokens pay for it.",
        panel=links.GPU_CLOCKS,
    ),
    _gpu(
        "NvlinkDown",
        over=[given(c.GPU_NVLINK_UP, "1x400 0x80", **GPU, link="3"), given(c.GPU_NVLINK_UP, flat(1), **GPU, link="4")],
        under=[given(c.GPU_NVLINK_UP, flat(0), **GPU, link="3"), given(c.GPU_NVLINK_UP, flat(1), **GPU, link="4")],
        summary="node-a:9800: 1 NVLinks of a GPU went down",
        description="GPU GPU-1 behind node-a:9800 has 1 NVLinks down that were up within a day: tensor parallelism slows or stops.",
        panel=links.GPU_NVLINKS,
    ),
    _gpu(
        "NvlinkErrors",
        over=[given(c.GPU_NVLINK_ERRORS, ramp(0.0125), **GPU, link="3", kind="recovery")],
        under=[
            given(c.GPU_NVLINK_ERRORS, flat(4), **GPU, link="3", kind="recovery"),
            given(c.GPU_NVLINK_ERRORS, ramp(1), **GPU, link="3", kind="crc_flit"),
        ],
        summary="node-a:9800: an NVLink had to recover",
        description="GPU GPU-1 behind node-a:9800 trained its NVLinks anew 3 times within an hour: each time its traffic stood still.",
        panel=links.GPU_NVLINKS,
    ),
    _gpu(
        "PcieLinkNarrow",
        over=[given(c.GPU_PCIE_WIDTH, flat(8), **GPU), given(c.GPU_PCIE_WIDTH_MAX, flat(16), **GPU)],
        under=[given(c.GPU_PCIE_WIDTH, flat(16), **GPU), given(c.GPU_PCIE_WIDTH_MAX, flat(16), **GPU)],
        summary="node-a:9800: a GPU has only 8 PCIe lanes",
        description="GPU GPU-1 behind node-a:9800 runs on 8 PCIe lanes, fewer than GPU and slot can: a bad contact or riser. "
        "Loading and offloading slow down.",
        panel=links.GPU_HEALTH,
    ),
]


def _watched(alert: str, over: list[Given], under: list[Given], **rest: Any) -> Case:
    severity = rest.pop("severity", "ticket")
    return Case(
        alert,
        severity,
        over,
        under,
        {"severity": severity, **rest.pop("labels")},
        panel=rest.pop("panel", links.ALERTS),
        **rest,
    )


_PROMETHEUS, _MANAGER = {"instance": "prometheus:9090"}, {"instance": "alertmanager:9093"}
_RULES = {**_PROMETHEUS, "rule_group": "/etc/rules/health.rules.yml;health"}
_TARGET = {**_PROMETHEUS, "alertmanager": "http://a:9093"}
_PAGER = {**_MANAGER, "integration": "pagerduty"}
_GONE = {**NODE, "collector": "vllm", "metric": c.KV_CACHE_USAGE.name}

WATCHERS = [
    _watched(
        "MetricMissing",
        over=[given(c.METRIC_MISSING, flat(1), **_GONE)],
        under=[given(c.METRIC_MISSING, f"0x{END - 30} 1x30", **_GONE)],
        labels=_GONE,
        summary=f"node-a:9800: {c.KV_CACHE_USAGE} is gone",
        description=f"The page that collector vllm of node-a:9800 reads lacks {c.KV_CACHE_USAGE}, which its engine and version should "
        "have: alerts that read it are blind there.",
        panel=links.COLLECTORS,
    ),
    _watched(
        "CoverageLow",
        over=[given(c.COVERAGE, f"0.95x{END} _x{3 * END - 20} 0.9x20", objective="chat-ttft", instance="slo:8080")],
        under=[given(c.COVERAGE, f"0.5x{END} _x{3 * END - 20} 0.6x20", objective="chat-ttft", instance="slo:8080")],
        at="8h",
        labels={"objective": "chat-ttft"},
        url={"objective": "chat-ttft"},
        summary="chat-ttft: only 90% of its window observed",
        description="The ledger has seen 90% of the window of chat-ttft, less than six hours ago: its budget is known for that part only.",
        panel=links.COVERAGE,
    ),
    _watched(
        "RulesFailing",
        severity="page",
        over=[given(watching.RULE_FAILURES, ramp(1), **_RULES)],
        under=[given(watching.RULE_FAILURES, flat(5), **_RULES)],
        labels=_RULES,
        summary="Prometheus: rules of health fail",
        description="40 evaluations of rules in health failed within 10 minutes at prometheus:9090: alerts that depend on them are blind.",
    ),
    _watched(
        "RulesLate",
        over=[given(watching.RULES_MISSED, ramp(1), **_RULES)],
        under=[given(watching.RULES_MISSED, flat(5), **_RULES)],
        labels=_RULES,
        summary="Prometheus: rules of health are late",
        description="40 evaluations of health were left out within 10 minutes at prometheus:9090: it is too busy, and alerts come late.",
    ),
    _watched(
        "AlertsUndelivered",
        over=[given(watching.ALERTS_SENT, ramp(100), **_TARGET), given(watching.ALERTS_FAILED, ramp(2), **_TARGET)],
        under=[given(watching.ALERTS_SENT, ramp(100), **_TARGET), given(watching.ALERTS_FAILED, ramp(0.9), **_TARGET)],
        labels=_TARGET,
        summary="Prometheus: 2% of alerts do not reach Alertmanager",
        description="prometheus:9090 could not hand 2% of its alerts to http://a:9093 over 10 minutes.",
    ),
    _watched(
        "ConfigReloadFailed",
        over=[given(watching.RELOADED[1], flat(0), **_MANAGER, job="alertmanager")],
        under=[given(watching.RELOADED[0], flat(1), **_PROMETHEUS, job="prometheus")],
        labels={**_MANAGER, "job": "alertmanager"},
        summary="alertmanager:9093: configuration refused",
        description="alertmanager at alertmanager:9093 could not read its configuration and runs on with the old one: changed rules "
        "and routes are not in force.",
    ),
    _watched(
        "NotificationsFail",
        severity="page",
        over=[given(watching.NOTIFIED, ramp(50), **_PAGER), given(watching.NOTIFY_FAILED, ramp(1), **_PAGER)],
        under=[given(watching.NOTIFIED, ramp(50), **_PAGER), given(watching.NOTIFY_FAILED, ramp(0.4), **_PAGER)],
        labels=_PAGER,
        summary="Alertmanager: 2% of messages to pagerduty fail",
        description="alertmanager:9093 could not deliver 2% of what it sent to pagerduty over 10 minutes: nobody hears of it.",
    ),
]

EXCLUSIONS = [
    Case(
        "PoolExcluded",
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

CASES = [*POOLS, *EXCLUSIONS, *GPUS, *WATCHERS]
