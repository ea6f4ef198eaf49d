"""Tickets about room and money: near what was measured, not safe without a node, no spare, dear tokens. Weeks, not minutes.

Capacity is what the SLO service saw a replica do while requests waited for it; until it saw that, nothing is said of it.
"""

from plimsoll.alerts.rules import Alert
from plimsoll.alerts.templates import PERCENT, VALUE, of
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.spec.objectives import Pool
from plimsoll.slo.units import percent_text

FULL = 0.9  # share of the measured capacity above which queues grow long before they grow for good
SPAN = "30m"  # over which load is averaged: a burst is none of these alerts' business
DEAR = "6h"  # over which cost is averaged


def capacity_alerts(pool: Pool) -> list[Alert]:
    """List a pool's alerts on room and money; each only where it can mean something."""
    redundant = [_not_redundant(pool)] if pool.nodes.min > 1 else []
    spare = [_spare_missing(pool)] if pool.nodes.warm_spares else []
    dear = [_dear(pool)] if pool.max_usd_per_million_tokens and pool.node.hourly_usd else []
    return [_near_capacity(pool), *redundant, *spare, *dear]


def _tokens(pool: Pool, span: str) -> str:
    """Tokens a second of all replicas, prompt and generated, as capacity is measured."""
    prompt, generated = (
        f"sum(rate({of(metric, pool.model)}[{span}]))" for metric in (c.PROMPT_TOKENS, c.GENERATION_TOKENS)
    )
    return f"({prompt} + {generated})"


def _serving(pool: Pool) -> str:
    return f"count(group by (instance, replica) ({of(c.REPLICA_INFO, pool.model)} and on (instance, replica) {c.REPLICA_UP} == 1))"


def _capacity(pool: Pool, how: str = "avg") -> str:
    """Tokens a second of a full replica: the mean of those there, or with `max` the strongest, whose loss is felt most."""
    return f'{how}({c.REPLICA_CAPACITY}{{pool="{pool.name}"}})'


def _near_capacity(pool: Pool) -> Alert:
    return Alert(
        name="LLMPoolNearCapacity",
        severity="ticket",
        expr=f"{_tokens(pool, SPAN)}\n/ ({_capacity(pool)} * {_serving(pool)}) > {FULL}",
        summary=f"works at {PERCENT} of its measured capacity",
        description=(
            f"Over {SPAN} {pool.name} processed {PERCENT} of the tokens a second that its replicas have been measured to do "
            f"(alarm above {percent_text(FULL)}): what comes on top waits. The recommendation says how many nodes help."
        ),
        panel=links.TOKENS,
        pool=pool.name,
    )


def _not_redundant(pool: Pool) -> Alert:
    """What the others would carry if the pool lost a node, as a share of what they can: of their KV cache, and of their capacity."""
    serving, lost = _serving(pool), pool.node.replicas
    cache = f"sum(avg_over_time({of(c.KV_CACHE_USAGE, pool.model)}[{SPAN}])) / ({pool.max_kv_cache_usage:g} * ({serving} - {lost}))"
    rest = f"({_capacity(pool)} * {serving} - {lost} * {_capacity(pool, 'max')})"
    tokens = f"{_tokens(pool, SPAN)} / {rest}"
    return Alert(
        name="LLMPoolOvercommitted",
        severity="ticket",
        expr=f"({cache} > 1\nor {tokens} > 1) < +Inf",
        summary=f"cannot lose a node: the rest would carry {PERCENT}",
        description=(
            f"With one node fewer, the load of the last {SPAN} would be {PERCENT} of what the other nodes of {pool.name} can carry "
            f"(KV cache up to {percent_text(pool.max_kv_cache_usage)}, or their measured tokens a second). Any loss would be felt."
        ),
        panel=links.NODES,
        pool=pool.name,
    )


def _spare_missing(pool: Pool) -> Alert:
    """A warm spare is a replica that is up and has processed nothing for ten minutes."""
    busy = f"count(sum by (instance, replica) (increase({of(c.PROMPT_TOKENS, pool.model)}[10m])) > 0)"
    spares = pool.nodes.warm_spares * pool.node.replicas
    return Alert(
        name="LLMWarmSpareMissing",
        severity="ticket",
        expr=f"{_serving(pool)} - ({busy} or vector(0)) < {spares}",
        hold=900,
        summary=f"{VALUE} of {spares} warm spare replicas stand by",
        description=(
            f"For 15 minutes {VALUE} replicas of {pool.name} have been up without work; {spares} should be. "
            f"Until then new capacity takes a cold start of {pool.timing.cold_start} instead of {pool.timing.warm_start}."
        ),
        panel=links.NODES,
        pool=pool.name,
    )


def _dear(pool: Pool) -> Alert:
    limit, hourly = (
        pool.max_usd_per_million_tokens,
        pool.node.usd_per_hour_promql(f"{_serving(pool)} / {pool.node.replicas}"),
    )
    # Averages of what was seen: a rate over the whole span would be too low until the span is full.
    usd, tokens = (f"avg_over_time(({one})[{DEAR}:5m])" for one in (hourly, _tokens(pool, "10m")))
    cost = f"{usd}\n/ (0.0036 * {tokens})"
    return Alert(
        name="LLMTokenCostHigh",
        severity="ticket",
        expr=f"{cost} > {limit:g}",
        summary=f"a million tokens cost {VALUE} USD",
        description=(
            f"Over {DEAR} a million tokens of {pool.name}, prompt and generated, cost {VALUE} USD in nodes (limit {limit:g}). "
            "Too many nodes for the traffic, or too few tokens per node."
        ),
        panel=links.NODES,
        pool=pool.name,
    )
