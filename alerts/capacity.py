"""Tickets about capacity and cost: near saturation throughput, no N+1 redundancy, no warm spare, high cost per token.

Saturation throughput is what the SLO service measured on a replica while requests were waiting for it. Until a replica has
been saturated, alerts that need it stay silent.
"""

from plimsoll.alerts.rules import Alert
from plimsoll.alerts.templates import PERCENT, VALUE, of, serving
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.spec.objectives import Pool
from plimsoll.slo.units import percent_text

NEAR_CAPACITY = 0.9  # ratio of saturation throughput above which queues become long
LOAD_WINDOW = "30m"  # load is averaged over this window: these alerts ignore bursts
RESTARTED = 120  # seconds beyond a cold start, after which a replica isn't restarting
COST_WINDOW = "6h"
COST_LEAST = 12  # points of five minutes in it with more nodes than the minimum, below which the cost isn't evaluated
PROBED = 5  # input tokens/s, above which a replica serves more than readiness probes


def capacity_alerts(pool: Pool) -> list[Alert]:
    """Return a pool's alerts on capacity and cost; each only where its pool settings make it meaningful."""
    redundant = [_overcommitted(pool)] if pool.nodes.min > 1 else []
    spare = [_spare_missing(pool)] if pool.nodes.warm_spares else []
    scales = pool.nodes.max > pool.nodes.min
    cost = [_token_cost(pool)] if pool.max_usd_per_million_tokens and pool.node.hourly_usd and scales else []
    return [_near_capacity(pool), *redundant, *spare, *cost]


def _tokens(pool: Pool, span: str) -> str:
    """Return the throughput of all replicas, input + output tokens/s, as saturation throughput is measured."""
    prompt, generated = (f"sum(rate({of(metric, pool)}[{span}]))" for metric in (c.PROMPT_TOKENS, c.GENERATION_TOKENS))
    return f"({prompt} + {generated})"


def _serving(pool: Pool) -> str:
    return f"count(group by (instance, replica) ({serving(pool)}))"


def _capacity(pool: Pool, how: str = "avg") -> str:
    """Return the saturation throughput of a replica in tokens/s: the mean, or with `max` the fastest, whose loss costs most."""
    return f'{how}({c.REPLICA_CAPACITY}{{pool="{pool.name}"}})'


def _near_capacity(pool: Pool) -> Alert:
    return Alert(
        name="LLMPoolNearCapacity",
        severity="ticket",
        expr=f"{_tokens(pool, LOAD_WINDOW)}\n/ ({_capacity(pool)} * {_serving(pool)}) > {NEAR_CAPACITY}",
        summary="The pool is close to its measured capacity.",
        description=(
            f"{pool.name} ran at {PERCENT} of its saturation throughput over {LOAD_WINDOW} "
            f"(threshold {percent_text(NEAR_CAPACITY)}). See the recommendation."
        ),
        panel=links.TOKENS,
        pool=pool.name,
    )


def _overcommitted(pool: Pool) -> Alert:
    """Load after the loss of one node as a ratio of what the remaining nodes can serve: by KV cache and by throughput.

    A replica's KV cache usage is the mean of its ranks, each of which has a cache of its own. A replica that restarts, as all do in a
    rollout, is back before the ticket opens. Prefill can't take over from decode: with roles no sum applies.
    """
    serving, lost = _serving(pool), pool.node.replicas
    usage = f"avg by (instance, replica) (avg_over_time({of(c.KV_CACHE_USAGE, pool)}[{LOAD_WINDOW}]))"
    cache = f"sum({usage}) / ({pool.max_kv_cache_usage:g} * ({serving} - {lost}))"
    rest = f"({_capacity(pool)} * {serving} - {lost} * {_capacity(pool, 'max')})"
    tokens = f"{_tokens(pool, LOAD_WINDOW)} / {rest}"
    return Alert(
        name="LLMPoolOvercommitted",
        severity="ticket",
        expr=f"({cache} > 1\nor {tokens} > 1) < +Inf\nunless on () {of(c.REPLICA_INFO, pool, role='prefill|decode')}",
        hold=pool.timing.cold_start + RESTARTED,
        summary="The pool can't tolerate the loss of a node.",
        description=(
            f"Without one node, the load of the last {LOAD_WINDOW} would be {PERCENT} of what the remaining nodes of {pool.name} "
            f"can serve (KV cache usage up to {percent_text(pool.max_kv_cache_usage)}, or their saturation throughput)."
        ),
        panel=links.NODES,
        pool=pool.name,
    )


def _spare_missing(pool: Pool) -> Alert:
    """A warm spare is a replica that is up and has processed hardly any tokens for ten minutes: probes may query it."""
    busy = f"count(sum by (instance, replica) (rate({of(c.PROMPT_TOKENS, pool)}[10m])) > {PROBED})"
    spares = pool.nodes.warm_spares * pool.node.replicas
    return Alert(
        name="LLMWarmSpareMissing",
        severity="ticket",
        expr=f"{_serving(pool)} - ({busy} or vector(0)) < {spares}",
        hold=900,
        summary="The pool has too few warm spares.",
        description=(
            f"{VALUE} of {spares} warm spare replicas of {pool.name} have been available for 15 minutes. "
            f"Scaling out takes {pool.timing.cold_start} instead of {pool.timing.warm_start}."
        ),
        panel=links.NODES,
        pool=pool.name,
    )


def _token_cost(pool: Pool) -> Alert:
    """Cost while more nodes are up than the minimum and the spares: a pool can't scale in further, however little it is used at night."""
    nodes, least = f"{_serving(pool)} / {pool.node.replicas}", pool.nodes.min + pool.nodes.warm_spares
    above = f"({nodes} > {least})"
    limit, hourly = pool.max_usd_per_million_tokens, pool.node.usd_per_hour_promql(nodes)
    # Averages of the samples: a rate over the whole window would be too low until the window has data throughout.
    usd, tokens = (
        f"avg_over_time(({one} and on () {above})[{COST_WINDOW}:5m])" for one in (hourly, _tokens(pool, "10m"))
    )
    cost = f"{usd}\n/ (0.0036 * {tokens})"
    long = f"count_over_time({above}[{COST_WINDOW}:5m]) >= {COST_LEAST}"
    return Alert(
        name="LLMTokenCostHigh",
        severity="ticket",
        expr=f"{cost} > {limit:g}\nand on () {above}\nand on () {long}",
        summary="The cost per 1M tokens exceeds its limit.",
        description=(
            f"1M tokens of {pool.name} cost {VALUE} USD over {COST_WINDOW}, while more than {least} nodes were up "
            f"(limit {limit:g}). Scale in, or check why throughput per node is low."
        ),
        panel=links.NODES,
        pool=pool.name,
    )
