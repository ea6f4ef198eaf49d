"""The four incident signatures of the runbooks (requirements R21 to R24) as recorded series: 1 while a pool shows one, else 0.

They compare a pool with itself an hour ago, and replicas with each other, so that they need no latency thresholds. They don't
page: burn-rate alerts do, and a signature shows the likely cause. Without the data that it needs, a signature is absent.
"""

from plimsoll.alerts.fleet import RATE
from plimsoll.alerts.rules import Recording
from plimsoll.alerts.saturation import COLD
from plimsoll.alerts.templates import of
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric
from plimsoll.slo.metrics import recorded as series
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Pool
from plimsoll.slo.units import duration_text

# Ratios to the last hour that make a prefill burst: of prompt length, of prefill p95, and of TPOT p95.
LONGER_PROMPTS, SLOWER_PREFILL, SLOWER_TOKENS = 1.5, 2, 1.25
# Ratios to the other replicas that make one cold or slow, as for LLMReplicaServingWhileCold and LLMReplicaSlow.
COLD_TTFT, SLOW_TPOT = 3, 2
USUAL = "[1h] offset 5m"
NOW = f"[{duration_text(RATE)}]"
EACH = "instance, replica"


def signature_recordings(pool: Pool) -> list[Recording]:
    """Return a pool's incident signatures, in the order of `series.INCIDENT_SIGNATURES`."""
    found = (_prefill_burst(pool), _kv_cache_saturated(pool), _cold_start(pool), _slow_or_lost(pool))
    return [
        Recording(series.INCIDENT_SIGNATURE, expr, {"pool": pool.name, "signature": name})
        for name, expr in zip(series.INCIDENT_SIGNATURES, found, strict=True)
    ]


def _prefill_burst(pool: Pool) -> str:
    """Long prompts delay the tokens of all requests while the KV cache isn't saturated (R21)."""
    signs = (
        f"{_p95(c.PREFILL, pool)} > bool {SLOWER_PREFILL} * {_p95(c.PREFILL, pool, usual=True)}",
        f"{_p95(c.TPOT, pool)} > bool {SLOWER_TOKENS} * {_p95(c.TPOT, pool, usual=True)}",
        f"{_prompt(pool, NOW)} > bool {LONGER_PROMPTS} * {_prompt(pool, USUAL)}",
        f"{_kv_cache(pool)} <= bool {pool.max_kv_cache_usage:g}",
    )
    return "\n* ".join(f"({sign})" for sign in signs)


def _kv_cache_saturated(pool: Pool) -> str:
    """The KV cache is saturated: requests wait for it or are preempted (R22)."""
    waiting = f"sum by (region) (avg_over_time({of(c.REQUESTS_WAITING, pool)}{NOW})) >= bool 1"
    preempted = f"sum by (region) (rate({of(c.PREEMPTIONS, pool)}{NOW})) > bool 0"
    return f"({_kv_cache(pool)} > bool {pool.max_kv_cache_usage:g})\n* (({waiting}) + ({preempted}) > bool 0)"


def _cold_start(pool: Pool) -> str:
    """The TTFT of a replica that just started is far above that of the older replicas (R23)."""
    started = _just_started(pool)
    ttft = _selected(series.replica_p95(c.TTFT), pool)
    older = f"quantile by (region) (0.5, {ttft} unless {started})"
    return f"(max by (region) ({ttft} and {started}) > bool {COLD_TTFT} * {older})\nor 0 * {older}"


def _slow_or_lost(pool: Pool) -> str:
    """A warm replica is far slower than the fastest tenth of its pool, or it or a GPU of its node is lost (R24)."""
    tpot = f"({_selected(series.replica_p95(c.TPOT), pool)} unless {_just_started(pool)})"
    served = _selected(series.LAST_INFO, pool)
    signs = (
        f"{tpot} > bool on (region) group_left () {SLOW_TPOT} * quantile by (region) (0.1, {tpot})",
        f"({c.REPLICA_UP} and on ({EACH}) {served}) == bool 0",
        f"({c.GPU_UP} and on (instance) {served}) == bool 0",
    )
    return "max by (region) (" + "\n  or ".join(f"({sign})" for sign in signs) + ")"


def _just_started(pool: Pool) -> str:
    """Return a match on replicas that are still cold, to follow `and` or `unless`."""
    return f"on ({EACH}) (time() - {_selected(series.LAST_START, pool)} < {COLD})"


def _selected(recorded: str, pool: Pool) -> str:
    return str(Selector(recorded, pool.labels))


def _p95(histogram: Metric, pool: Pool, usual: bool = False) -> str:
    rates = _selected(series.bucket_rate(histogram), pool)
    if usual:
        rates = f"sum_over_time({rates}{USUAL})"
    return f"histogram_quantile(0.95, sum by (le, region) ({rates}))"


def _prompt(pool: Pool, span: str) -> str:
    """Return the mean prompt length in tokens: a ratio of sums over all requests."""
    tokens, prompts = (
        f"sum by (region) (rate({of(c.PROMPT_LENGTH, pool, part)}{span}))"
        for part in (c.PROMPT_LENGTH.sum, c.PROMPT_LENGTH.count)
    )
    return f"({tokens} / {prompts})"


def _kv_cache(pool: Pool) -> str:
    return f"max by (region) (avg_over_time({of(c.KV_CACHE_USAGE, pool)}{NOW}))"
