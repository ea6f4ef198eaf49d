"""Bucket bounds of vLLM's latency histograms, and the `--custom-histogram-buckets` that make every threshold a bound.

Source of the defaults: vLLM 0.32.0, vllm/v1/metrics/buckets.py. A family given to that option replaces its defaults.
"""

from plimsoll.slo.spec.objectives import Spec

REQUEST_LATENCY = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
TIME_TO_FIRST_TOKEN = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1),
    *(2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560),
)
INTER_TOKEN_LATENCY = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1),
    *(2.5, 5, 7.5, 10, 20, 40, 80),
)
# vLLM's family -> its default bounds in seconds, and the SLO latency read from its histograms.
FAMILIES: dict[str, tuple[tuple[float, ...], str]] = {
    "request_latency": (REQUEST_LATENCY, "request_duration"),
    "time_to_first_token": (TIME_TO_FIRST_TOKEN, "time_to_first_token"),
    "inter_token_latency": (INTER_TOKEN_LATENCY, "time_per_output_token"),
}


def with_limits(spec: Spec, model: str | None = None) -> dict[str, list[float]]:
    """Return per family the default bounds and every SLO's thresholds (of one model's pools, or all), in seconds."""
    pools = {pool.name for pool in spec.pools if model in (None, pool.model)}
    limits = [objective.indicator.thresholds for objective in spec.objectives if objective.pool in pools]
    return {
        family: sorted({*map(float, defaults), *(float(found[latency]) for found in limits if latency in found)})
        for family, (defaults, latency) in FAMILIES.items()
    }
