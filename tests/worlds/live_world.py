"""Pages of replicas as they stand at one moment, and the live findings about an objectives file."""

from collections.abc import Mapping, Sequence

from plimsoll.slo import metrics as c
from plimsoll.slo.checks.finding import Finding
from plimsoll.slo.checks.live import Live, live_findings
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import Spec, load
from world import SPEC_TEXT

NOW = 1_700_000_000.0


HOUR, DAY = 3600.0, 86400.0


BOUNDS = (0.25, 0.5, 0.75, 1.0)


POOL = SPEC_TEXT.partition("objectives:")[0]


def spec(*objectives: str) -> Spec:
    """One pool of model m with objectives as YAML says them after their id and pool."""
    lines = [f"  - {{id: o{number}, pool: pool, {text}}}" for number, text in enumerate(objectives)]
    return load(POOL + "objectives:\n" + "\n".join(lines))


def replica(
    name: str = "r1",
    *,
    total: float = 1e6,
    age: float = 1e6,
    model: str = "m",
    bounds: Sequence[float] = BOUNDS,
    evaluated: Mapping[str, float] | None = None,
    without: Sequence[c.Metric] = (),
    now: float = NOW,
) -> list[Series]:
    """One replica's page as it stood at a moment: `total` requests in the `age` seconds of its life, all of them good."""
    mine = {"replica": name, "model": model, "engine": "vllm"}
    found = [
        (c.REPLICA_START, "", {}, now - age),
        (c.TTFT, "_count", {}, total),
        (c.FINISHED, "", {"reason": "stop"}, total),
    ]
    found += [(metric, "", {}, 1.0) for metric in (c.REQUESTS_RUNNING, c.REQUESTS_WAITING, c.KV_CACHE_USAGE)]
    found += [(metric, "", {}, 1.0) for metric in (c.PROMPT_TOKENS, c.GENERATION_TOKENS, c.REJECTED)]
    found += [(c.ABANDONED, "", {"stage": "queued"}, 0.0)]
    found += [(c.TTFT, "_bucket", {"le": c.bucket_bound(bound)}, total) for bound in (*bounds, float("inf"))]
    for objective, number in (evaluated or {}).items():
        found += [(c.OBJECTIVE_REQUESTS, "", {"objective": objective, "outcome": "good"}, number)]
        found += [(c.OBJECTIVE_REQUESTS, "", {"objective": objective, "outcome": "bad"}, 0.0)]
    return [
        Series(f"{metric}{suffix}", {**mine, **labels}, [(now, value)])
        for metric, suffix, labels, value in found
        if metric not in without
    ]


def found(spec: Spec, *series: Sequence[Series], retention: float | None = None) -> list[Finding]:
    return live_findings(spec, Live([item for group in series for item in group], NOW, retention))
