"""What makes an alert fire and what falls just short of it, as data: the shape of a case, and how its series are written.

The cases are in `pool_cases`, `gpu_cases` and `watching_cases`; `tests/fixtures/rules/health.yml` holds the older alerts in the same
manner, by hand. A case is played by the real promtool: with the numbers of `over` the alert fires at `at` with exactly this
text, with those of `under` it stays silent. Series are sampled every 15 seconds for two hours unless a span says otherwise.
"""

from dataclasses import dataclass, field

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
