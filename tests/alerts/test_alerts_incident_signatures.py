"""The incident signatures (requirements R21 to R24), run by the real promtool: active, inactive beyond each bound, absent."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from plimsoll.alerts.build import render
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric
from plimsoll.slo.metrics.recorded import INCIDENT_SIGNATURE, LAST_INFO
from plimsoll.slo.spec.objectives import load
from promtool import case, counter, only, run_cases, series

SPEC = load("""
version: plimsoll/v1
pools:
  - name: chat
    model: m
    node: {gpu: H100-80GB, gpus: 1}
    nodes: {min: 1, max: 2}
    timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}
objectives:
  - {id: quick, pool: chat, indicator: {time_to_first_token: 500ms}, target: 95%, window: 28d}
""")
R1 = {"instance": "a:9800", "replica": "r1", "model": "m", "engine": "vllm", "rank": "0", "region": "north"}
R2 = R1 | {"instance": "b:9800", "replica": "r2"}
OTHER = R1 | {"instance": "c:9800", "replica": "r3", "model": "other"}
BOUNDS = ("0.1", "0.2", "0.4", "+Inf")
USUAL, BURST = 70, 6  # minutes: an hour and what is compared with it
END = USUAL + BURST

pytestmark = pytest.mark.prometheus


def rules() -> str:
    """The signatures' rules, and the identity of replicas that they read."""
    found = render(SPEC)
    texts = (only(found["health.rules.yml"], {LAST_INFO}), found["fleet.rules.yml"])
    groups = [group for text in texts for group in yaml.safe_load(text)["groups"] if group["rules"]]
    return yaml.safe_dump({"groups": groups}, width=10_000)


def gauge(metric: Metric, labels: dict[str, str], value: float) -> dict[str, str]:
    mine = {name: text for name, text in labels.items() if name in (*metric.labels, "instance", "region")}
    if metric is c.REPLICA_INFO:
        mine |= {"version": "1", "simulated": "false"}
    return {"series": series(metric.name, mine), "values": f"{value}x{END}"}


def histogram(metric: Metric, labels: dict[str, str], *below: float) -> list[dict[str, str]]:
    """Sixty requests/min, all in the bucket that ends at `below`: throughout, or as usual and then in the burst."""
    stretches = (END,) if len(below) == 1 else (USUAL, BURST)
    return [
        {
            "series": series(metric.bucket, labels | {"le": bound}),
            "values": counter(
                *(
                    (minutes, 60.0 if float(bound) >= one else 0.0)
                    for minutes, one in zip(stretches, below, strict=True)
                )
            ),
        }
        for bound in BOUNDS
    ]


def alive(labels: dict[str, str], started: float = 0) -> list[dict[str, str]]:
    return [gauge(c.REPLICA_INFO, labels, 1), gauge(c.REPLICA_UP, labels, 1), gauge(c.REPLICA_START, labels, started)]


def shows(signature: str, value: float | None, at: int = END - 1) -> dict[str, Any]:
    labels = {"signature": signature, "pool": "chat", "region": "north"}
    wanted = [] if value is None else [{"labels": series(INCIDENT_SIGNATURE, labels), "value": value}]
    return {"expr": f'{INCIDENT_SIGNATURE}{{signature="{signature}"}}', "eval_time": f"{at}m", "exp_samples": wanted}


def full(usage: float, waiting: float, preempted: float) -> list[dict[str, str]]:
    pushed = {"series": series(c.PREEMPTIONS.name, R1), "values": counter((END, preempted))}
    return [gauge(c.KV_CACHE_USAGE, R1, usage), gauge(c.REQUESTS_WAITING, R1, waiting), pushed]


def cold(ttft: float, age: float) -> list[dict[str, str]]:
    start = (END - 1) * 60 - age
    return [*alive(R1, start), *alive(R2), *histogram(c.TTFT, R1, ttft), *histogram(c.TTFT, R2, 0.1)]


def slow(tpot: float) -> list[dict[str, str]]:
    return [*alive(R1), *alive(R2), *histogram(c.TPOT, R1, tpot), *histogram(c.TPOT, R2, 0.1)]


def burst(prefill: float = 0.4, tpot: float = 0.2, prompt: float = 2000, usage: float = 0.5) -> list[dict[str, str]]:
    """An hour in which prefills and tokens took at most 100 ms and prompts had 1,000 tokens, and then this."""
    tokens = counter((USUAL, 60_000), (BURST, 60 * prompt))
    return [
        *histogram(c.PREFILL, R1, 0.1, prefill),
        *histogram(c.TPOT, R1, 0.1, tpot),
        {"series": series(c.PROMPT_LENGTH.sum, R1), "values": tokens},
        {"series": series(c.PROMPT_LENGTH.count, R1), "values": counter((END, 60))},
        gauge(c.KV_CACHE_USAGE, R1, usage),
    ]


CASES = {
    "no data": ([], "kv-cache-saturated", None),
    "full and a request waits": (full(0.86, 1, 0), "kv-cache-saturated", 1),
    "full and a request is preempted": (full(0.86, 0, 1), "kv-cache-saturated", 1),
    "full and no request is delayed": (full(0.86, 0.9, 0), "kv-cache-saturated", 0),
    "at the limit": (full(0.85, 9, 9), "kv-cache-saturated", 0),
    "cold and four times as late": (cold(0.4, age=590), "cold-start", 1),
    "cold and twice as late": (cold(0.2, age=590), "cold-start", 0),
    "late but no longer cold": (cold(0.4, age=610), "cold-start", 0),
    "no first token for an hour": ([*alive(R1)], "cold-start", None),
    "one four times as slow": (slow(0.4), "replica-slow-or-lost", 1),
    "one twice as slow": (slow(0.2), "replica-slow-or-lost", 0),
    "one that is down": ([gauge(c.REPLICA_INFO, R1, 1), gauge(c.REPLICA_UP, R1, 0)], "replica-slow-or-lost", 1),
    "one of another pool": (
        [*alive(R1), gauge(c.REPLICA_INFO, OTHER, 1), gauge(c.REPLICA_UP, OTHER, 0)],
        "replica-slow-or-lost",
        0,
    ),
    "a lost GPU": ([*alive(R1), gauge(c.GPU_UP, R1 | {"uuid": "GPU-1"}, 0)], "replica-slow-or-lost", 1),
    "long prompts delay all tokens": (burst(), "prefill-burst", 1),
    "as slow, with usual prompts": (burst(prompt=1400), "prefill-burst", 0),
    "long prompts that delay no tokens": (burst(tpot=0.1), "prefill-burst", 0),
    "long prompts, quickly done": (burst(prefill=0.1), "prefill-burst", 0),
    "long prompts and a full cache": (burst(usage=0.86), "prefill-burst", 0),
}


def test_each_signature_is_active_on_one_side_of_its_bounds_only(tmp_path: Path) -> None:
    cases = [case(name, given, shows(signature, value)) for name, (given, signature, value) in CASES.items()]
    run_cases(tmp_path, rules(), cases)
