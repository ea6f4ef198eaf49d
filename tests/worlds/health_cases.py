"""Cases of alerts as data: series that make an alert fire, and series just below its threshold.

The cases are in `pool_cases`, `replica_cases`, `gpu_cases`, and `self_monitoring_cases`; `tests/fixtures/rules/health.yml` has further ones as
promtool YAML. The real promtool runs a case: with the series of `over` the alert fires at `at` with exactly these texts, with
those of `under` it doesn't. Series have a sample every 15 seconds for two hours unless a span states otherwise.
"""

from dataclasses import dataclass, field

from plimsoll.alerts.budget_states import EXHAUSTED, FORECAST, LOW
from plimsoll.slo import links
from plimsoll.slo.metrics import Metric
from promtool import series

POOL, MODEL = "chat-70b", "meta-llama/Llama-3.3-70B-Instruct"
NODE, SERVICE = {"instance": "node-a:9800"}, {"instance": "slo:8080"}
OBJECTIVES = ("chat-ttft", "chat-tpot", "chat-e2e", "chat-availability", "chat-goodput")
GPU = {**NODE, "uuid": "GPU-1"}
END = 480  # samples: two hours
Given = dict[str, str]


@dataclass(frozen=True)
class Case:
    """One alert: series, time, labels without `source`, texts, panel and its link's variables (`url`)."""

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


def runbook(alert: str, labels: dict[str, str]) -> str:
    """The address of an alert's runbook with its labels, and its pool's model."""
    # One rule for the budgets of all pools: it has the pool from its series, and no model.
    known = "pool" in labels and alert not in (LOW, EXHAUSTED, FORECAST)
    pool = {"pool": labels.get("pool", "")} | ({"model": MODEL} if known else {})
    own = {name: labels[name] for name in ("replica", "instance", "uuid", "objective") if name in labels}
    return links.runbook_url(alert, **pool, **own)


def given(metric: Metric | str, values: str, /, **labels: str) -> Given:
    """One series of a metric."""
    return {"series": series(str(metric), labels), "values": values}


def engine(metric: Metric | str, values: str, replica: str = "r1", /, **labels: str) -> Given:
    """One series of an engine's replica in the pool."""
    own = {"replica": replica, "model": MODEL, "engine": "vllm", "rank": "0"}
    return given(metric, values, **NODE, **{**own, **labels})


def ramp(per_sample: float, start: float = 0) -> str:
    """A counter or gauge that grows by `per_sample`."""
    return f"{start:g}+{per_sample:g}x{END}"


def flat(value: float) -> str:
    """A constant gauge."""
    return f"{value:g}x{END}"


def histogram(metric: Metric, buckets: dict[str, float], replica: str = "r1", since: int = 0) -> list[Given]:
    """Cumulative buckets that grow by `buckets[le]` per sample, with the count; from sample `since` on."""
    blank = f"_x{since} " if since else ""
    found = [engine(metric.bucket, blank + ramp(rate), replica, le=le) for le, rate in buckets.items()]
    return [*found, engine(metric.count, blank + ramp(buckets["+Inf"]), replica)]
