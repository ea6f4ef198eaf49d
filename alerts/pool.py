"""Alerts on saturation and health, as data: what eats the budget, and what would blind us.

Rules of a pool are written once per pool of the objectives file, selected by the pool's model and labeled with its name.
A thing that is down says no model any more; then the pool is what it served within the last day (`wording.of_pool`), and a last
rule without a pool catches what never said (`wording.of_no_pool`). Smoothed values have no `for`: either smooths, never both.
"""

from dataclasses import replace

from plimsoll.alerts.capacity import capacity_alerts
from plimsoll.alerts.exclusions import exclusion_alerts
from plimsoll.alerts.rules import Alert
from plimsoll.alerts.saturation import pool_warnings
from plimsoll.alerts.templates import INSTANCE, PERCENT, REPLICA, VALUE, OwnedHardware, of, of_no_pool, of_pool
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.spec.objectives import Pool, Spec
from plimsoll.slo.units import duration_text, percent_text

KV_PREEMPTIONS = 10  # in ten minutes: one a minute, each computing a whole prompt again
RESTARTS = 3  # in an hour
LOADED = 120  # seconds beyond a cold start after which a replica that is down is not merely loading its model


def health_alerts(spec: Spec) -> list[Alert]:
    """List every alert on saturation and presence: pool by pool, then what belongs to none."""
    pools = [alert for pool in spec.pools for alert in _pool_alerts(spec, pool)]
    slowest = max((pool.timing.cold_start for pool in spec.pools), default=0.0)
    return [*exclusion_alerts(spec), *pools, *_lost("", of_no_pool, slowest), _all_exporters_absent()]


def _pool_alerts(spec: Spec, pool: Pool) -> list[Alert]:
    own = [*_kv_cache(pool), _queue(pool), _stalled(pool), _replicas_missing(pool), _flapping(pool)]
    return [
        *own,
        *pool_warnings(spec, pool),
        *capacity_alerts(pool),
        *_lost(pool.name, of_pool(pool.model), pool.timing.cold_start),
    ]


def _lost(pool: str, owned: OwnedHardware, cold_start: float) -> list[Alert]:
    return [_replica_down(pool, owned, cold_start), _exporter_absent(pool, owned)]


def _kv_cache(pool: Pool) -> list[Alert]:
    """A full cache is normal for a busy engine; it deserves a page only when requests pay for it."""
    usage, waiting, preempted = (
        of(metric, pool.model) for metric in (c.KV_CACHE_USAGE, c.REQUESTS_WAITING, c.PREEMPTIONS)
    )
    known = f"max by (instance, replica) ({usage} offset 10m)"  # a newborn has no ten minutes to evaluate yet
    high = f"max by (instance, replica) (avg_over_time({usage}[10m])) > {pool.max_kv_cache_usage:g}\nand {known} >= 0"
    queued = f"sum by (instance, replica) (avg_over_time({waiting}[10m])) >= 1"
    pushed = f"sum by (instance, replica) (increase({preempted}[10m])) >= {KV_PREEMPTIONS}"
    numbers = f"KV-cache use of {REPLICA} was {PERCENT} on average over 10 minutes (alarm above {percent_text(pool.max_kv_cache_usage)})."
    ticket = Alert(
        name="LLMKVCacheUsageHigh",
        severity="ticket",
        expr=high,
        summary=f"{REPLICA}: KV cache {PERCENT} full",
        description=f"{numbers} Nobody waits for it yet; the next burst will.",
        panel=links.KV_CACHE,
        pool=pool.name,
        variables={"replica": REPLICA},
    )
    page = replace(
        ticket,
        severity="page",
        expr=f"{high}\nand ({queued}\n  or {pushed})",
        summary=f"{REPLICA}: KV cache {PERCENT} full and requests pay for it",
        description=f"{numbers} Meanwhile a request or more waited on average, or {KV_PREEMPTIONS} were preempted.",
    )
    return [page, ticket]


def _queue(pool: Pool) -> Alert:
    """Average waiting per node above the pool's limit (requirements R25), over two minutes: a burst that drains is none."""
    waiting = f"avg_over_time({of(c.REQUESTS_WAITING, pool.model)}[2m])"
    replicas = f"count(group by (instance, replica) ({waiting}))"
    return Alert(
        name="LLMQueueDepthHigh",
        severity="page",
        expr=f"{pool.node.replicas} * sum({waiting})\n/ {replicas} > {pool.max_waiting_per_node}",
        summary=f"{VALUE} requests wait per node (limit {pool.max_waiting_per_node})",
        description=(
            f"On average over 2 minutes {VALUE} requests waited per node of {pool.name} (limit {pool.max_waiting_per_node}, "
            f"{pool.nodes.min} to {pool.nodes.max} nodes). New requests wait behind them for their first token."
        ),
        panel=links.QUEUE,
        pool=pool.name,
    )


def _stalled(pool: Pool) -> Alert:
    """Work in hand and not one token: latency histograms and `absent()` are silent about it."""
    work, tokens = (
        " + ".join(f"sum by (instance, replica, rank) ({form.format(of(metric, pool.model))})" for metric in metrics)
        for form, metrics in (
            ("{}", (c.REQUESTS_RUNNING, c.REQUESTS_WAITING)),
            ("rate({}[2m])", (c.PROMPT_TOKENS, c.GENERATION_TOKENS)),
        )
    )
    return Alert(
        name="LLMReplicaStalled",
        severity="page",
        expr=f"{work} > 0\nand ({tokens}) == 0",
        hold=60,
        summary=f"{REPLICA}: {VALUE} requests in hand, no token for 2 minutes",
        description=f"{REPLICA} (rank {{{{ $labels.rank }}}}) answers its metrics page and holds {VALUE} requests, but processed no token.",
        panel=links.TTFT,
        pool=pool.name,
        variables={"replica": REPLICA},
    )


def _replicas_missing(pool: Pool) -> Alert:
    """Fewer replicas than the smallest pool allowed has; replicas that nobody reports any more are missed here."""
    least = pool.nodes.min * pool.node.replicas
    serving = f"{of(c.REPLICA_INFO, pool.model)} and on (instance, replica) {c.REPLICA_UP} == 1"
    return Alert(
        name="LLMReplicasBelowMinimum",
        severity="page",
        expr=f"(count(group by (instance, replica) ({serving})) or vector(0)) < {least}",
        hold=300,
        summary=f"{VALUE} of at least {least} replicas serve",
        description=f"Replicas of {pool.name} that answer: {VALUE}. Its minimum of {pool.nodes.min} nodes runs {least}.",
        panel=links.REPLICAS,
        pool=pool.name,
    )


def _flapping(pool: Pool) -> Alert:
    """A replica that dies and comes back before it counts as down. A rollout restarts it once or twice."""
    started = of(c.REPLICA_START, pool.model)
    return Alert(
        name="LLMReplicaCrashLooping",
        severity="page",
        expr=f"max by (instance, replica) (changes({started}[1h])) >= {RESTARTS}",
        summary=f"{REPLICA}: restarted {VALUE} times in an hour",
        description=f"{REPLICA} started {VALUE} times within an hour; each start lost its requests and emptied its caches.",
        panel=links.UPTIME,
        pool=pool.name,
        variables={"replica": REPLICA},
    )


def _replica_down(pool: str, owned: OwnedHardware, cold_start: float) -> Alert:
    """A replica that did not come back: a restart, planned or not, takes a cold start, and wakes nobody."""
    hold = cold_start + LOADED
    return Alert(
        name="LLMReplicaDown",
        severity="page",
        expr=owned(f"{c.REPLICA_UP} == 0", "instance, replica"),
        hold=hold,
        summary=f"{REPLICA}: replica does not come back",
        description=(
            f"The exporter {INSTANCE} could not read the metrics page of {REPLICA} for {duration_text(hold)}, "
            f"{duration_text(LOADED)} longer than a cold start takes."
        ),
        panel=links.REPLICAS,
        pool=pool,
        variables={"replica": REPLICA},
    )


def _exporter_absent(pool: str, owned: OwnedHardware) -> Alert:
    """A target that was an exporter within the last day cannot be scraped: its node is lost, or unseen."""
    exporter = f"up == 0 and on (job, instance) group by (job, instance) (last_over_time({c.COLLECTOR_SUCCESS}[1d]))"
    return Alert(
        name="PlimsollExporterDown",
        severity="page",
        expr=owned(f"({exporter})", "instance"),
        hold=300,
        summary=f"{INSTANCE}: exporter gone, node unseen",
        description=f"Prometheus could not read the exporter {INSTANCE} for 5 minutes: the node is lost, or nobody watches it.",
        panel=links.COLLECTORS,
        pool=pool,
    )


def _all_exporters_absent() -> Alert:
    return Alert(
        name="PlimsollAllExportersDown",
        severity="page",
        expr=f"absent({c.COLLECTOR_SUCCESS})",
        hold=300,
        summary="No exporter is seen: every alert is blind",
        description="For 5 minutes Prometheus has had no number from any exporter. Nothing here can tell how users fare.",
        panel=links.COLLECTORS,
    )
