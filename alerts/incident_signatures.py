"""The four fingerprints of the runbooks (requirements R21 to R24) as recorded series: 1 while a pool looks like one, else 0.

They compare a pool with itself an hour ago, and replicas with each other, so no latency is typed here. They wake nobody:
an objective's burn does that, and these say what it looks like. Where the evidence is missing there is no answer.
"""

from plimsoll.alerts.fleet import RATE
from plimsoll.alerts.rules import Recording
from plimsoll.alerts.saturation import COLD
from plimsoll.alerts.templates import of
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric
from plimsoll.slo.metrics import recorded as series
from plimsoll.slo.spec.objectives import Pool
from plimsoll.slo.units import duration_text

# How often as much as usual makes a burst: prompts half as long again, their prefill twice, everyone's tokens a quarter later.
LONGER, SLOWER_PREFILL, LATER_TOKENS = 1.5, 2, 1.25
# How often as long as for the others makes a replica cold or slow, as for the alerts LLMReplicaServingWhileCold and LLMReplicaSlow.
COLD_TTFT, SLOW_TPOT = 3, 2
USUAL = "[1h] offset 5m"
NOW = f"[{duration_text(RATE)}]"
EACH = "instance, replica"


def fingerprint_recordings(pool: Pool) -> list[Recording]:
    """List a pool's fingerprints, in the order of `series.FINGERPRINTS`."""
    found = (_prefill_burst(pool), _kv_cache_full(pool), _cold_start(pool), _slow_or_lost(pool))
    return [
        Recording(series.FINGERPRINT, expr, {"pool": pool.name, "fingerprint": name})
        for name, expr in zip(series.FINGERPRINTS, found, strict=True)
    ]


def _prefill_burst(pool: Pool) -> str:
    """Long prompts delay everyone's tokens while the KV cache has room (R21)."""
    signs = (
        f"{_p95(c.PREFILL, pool)} > bool {SLOWER_PREFILL} * {_p95(c.PREFILL, pool, usual=True)}",
        f"{_p95(c.TPOT, pool)} > bool {LATER_TOKENS} * {_p95(c.TPOT, pool, usual=True)}",
        f"{_prompt(pool, NOW)} > bool {LONGER} * {_prompt(pool, USUAL)}",
        f"{_kv_cache(pool)} <= bool {pool.max_kv_cache_usage:g}",
    )
    return "\n* ".join(f"({sign})" for sign in signs)


def _kv_cache_full(pool: Pool) -> str:
    """No room for another context: requests wait for it, or are pushed out for it (R22)."""
    waits = f"sum by (region) (avg_over_time({of(c.REQUESTS_WAITING, pool.model)}{NOW})) >= bool 1"
    pushed = f"sum by (region) (rate({of(c.PREEMPTIONS, pool.model)}{NOW})) > bool 0"
    return f"({_kv_cache(pool)} > bool {pool.max_kv_cache_usage:g})\n* (({waits}) + ({pushed}) > bool 0)"


def _cold_start(pool: Pool) -> str:
    """A young replica serves, and its first tokens come far later than its elders' (R23)."""
    young = _young(pool)
    ttft = _selected(series.replica_p95(c.TTFT), pool)
    elders = f"quantile by (region) (0.5, {ttft} unless {young})"
    return f"(max by (region) ({ttft} and {young}) > bool {COLD_TTFT} * {elders})\nor 0 * {elders}"


def _slow_or_lost(pool: Pool) -> str:
    """One replica, no longer young, is far slower than the fastest tenth of its like, or it or a GPU of its node is gone (R24)."""
    tpot = f"({_selected(series.replica_p95(c.TPOT), pool)} unless {_young(pool)})"
    served = _selected(series.SERVED, pool)
    signs = (
        f"{tpot} > bool on (region) group_left () {SLOW_TPOT} * quantile by (region) (0.1, {tpot})",
        f"({c.REPLICA_UP} and on ({EACH}) {served}) == bool 0",
        f"({c.GPU_UP} and on (instance) {served}) == bool 0",
    )
    return "max by (region) (" + "\n  or ".join(f"({sign})" for sign in signs) + ")"


def _young(pool: Pool) -> str:
    """Replicas that started a moment ago, to be matched with `and` or `unless`."""
    return f"on ({EACH}) (time() - {_selected(series.STARTED, pool)} < {COLD})"


def _selected(recorded: str, pool: Pool) -> str:
    return f'{recorded}{{model="{pool.model}"}}'


def _p95(histogram: Metric, pool: Pool, usual: bool = False) -> str:
    rates = _selected(series.bucket_rate(histogram), pool)
    if usual:
        rates = f"sum_over_time({rates}{USUAL})"
    return f"histogram_quantile(0.95, sum by (le, region) ({rates}))"


def _prompt(pool: Pool, span: str) -> str:
    """Mean tokens of a prompt: a ratio of sums over all requests."""
    tokens, prompts = (
        f"sum by (region) (rate({of(c.PROMPT_LENGTH, pool.model, part)}{span}))"
        for part in (c.PROMPT_LENGTH.sum, c.PROMPT_LENGTH.count)
    )
    return f"({tokens} / {prompts})"


def _kv_cache(pool: Pool) -> str:
    return f"max by (region) (avg_over_time({of(c.KV_CACHE_USAGE, pool.model)}{NOW}))"
