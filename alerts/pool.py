"""Alerts on a pool's saturation and on the presence of its replicas and exporters.

Rules are written once per pool of the objectives file, selected by the pool's model and match and labeled with its name. A replica
that is down exports no model: its pool is the one that it served last (`identity.py`), and one more rule, without a pool, covers
what never reported a model (`templates.of_no_pool`). A rule over smoothed values has no `for`.

One replica or exporter that is down is a ticket: the pool is built to lose one. It pages where users feel it (burn-rate alerts),
where fewer replicas are up than the pool's minimum, and where none is.
"""

from collections.abc import Sequence
from dataclasses import replace

from plimsoll.alerts.capacity import capacity_alerts
from plimsoll.alerts.exclusions import exclusion_alerts
from plimsoll.alerts.rollouts import rollout_alerts, unavailable
from plimsoll.alerts.rules import Alert
from plimsoll.alerts.saturation import early_warnings, growth
from plimsoll.alerts.templates import (
    EACH,
    INSTANCE,
    PERCENT,
    REPLICA,
    VALUE,
    PoolFilter,
    harmed,
    of,
    of_no_pool,
    of_pool,
    serving,
)
from plimsoll.alerts.topology.groups import member_lost
from plimsoll.alerts.topology.kinds import for_kind
from plimsoll.alerts.topology.roles import role_alerts
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import recorded
from plimsoll.slo.spec.objectives import Objective, Pool, Spec
from plimsoll.slo.units import duration_text, percent_text

# Alerts that routing inhibits or inhibits with.
KV_CACHE_USAGE_HIGH = "LLMKVCacheUsageHigh"
QUEUE_DEPTH_HIGH = "LLMQueueDepthHigh"
REPLICA_STALLED = "LLMReplicaStalled"
REPLICA_DOWN = "LLMReplicaDown"
POOL_DOWN = "LLMPoolDown"
REPLICAS_BELOW_MINIMUM = "LLMReplicasBelowMinimum"
EXPORTER_DOWN = "PlimsollExporterDown"
ALL_EXPORTERS_DOWN = "PlimsollAllExportersDown"

KV_PREEMPTIONS = 10  # in ten minutes: one per minute, each of which recomputes a whole prompt
RESTARTS = 3  # in an hour
POOL_DOWN_AFTER = 120  # seconds without any replica: a rollout never stops all at once
LOADED = 120  # seconds beyond a cold start after which a replica that is down isn't loading its model


def pool_alerts(spec: Spec) -> list[Alert]:
    """Return every alert on saturation and presence: pool by pool, then what belongs to no pool."""
    pools = [alert for pool in spec.pools for alert in _of_one_pool(spec, pool)]
    slowest = max((pool.timing.cold_start for pool in spec.pools), default=0.0)
    return [*exclusion_alerts(spec), *pools, *_down("", of_no_pool, slowest), _all_exporters_down(spec)]


def _of_one_pool(spec: Spec, pool: Pool) -> list[Alert]:
    objectives = [one for one in spec.objectives if one.pool == pool.name]
    required = [_pool_down(pool), _below_minimum(pool)] if pool.nodes.min else []
    every = [
        *_kv_cache(pool),
        *_queue_depth(pool, objectives),
        *_stalled(pool),
        *required,
        _crash_looping(pool),
        *early_warnings(spec, pool),
        *capacity_alerts(pool),
        *role_alerts(pool),
        *rollout_alerts(pool),
        *_down(pool.name, of_pool(pool), pool.timing.cold_start),
    ]
    return for_kind(pool, every)


def _down(pool: str, keep: PoolFilter, cold_start: float) -> list[Alert]:
    members = member_lost(REPLICA_DOWN, pool, keep, cold_start + LOADED)
    return [_replica_down(pool, keep, cold_start), members, _exporter_down(pool, keep)]


def _kv_cache(pool: Pool) -> list[Alert]:
    """A nearly full cache is normal for a busy engine: it pages only while requests wait or are preempted, and users feel it."""
    usage, waiting, preempted = (of(metric, pool) for metric in (c.KV_CACHE_USAGE, c.REQUESTS_WAITING, c.PREEMPTIONS))
    old = f"max by ({EACH}) ({usage} offset 10m)"  # a replica that just started has no ten minutes of data
    high = f"max by ({EACH}) (avg_over_time({usage}[10m])) > {pool.max_kv_cache_usage:g}\nand {old} >= 0"
    queued = f"sum by ({EACH}) (avg_over_time({waiting}[10m])) >= 1"
    pushed = f"sum by ({EACH}) (increase({preempted}[10m])) >= {KV_PREEMPTIONS}"
    threshold = percent_text(pool.max_kv_cache_usage)
    numbers = f"KV cache usage on {REPLICA} averaged {PERCENT} over 10 minutes (threshold {threshold})."
    ticket = Alert(
        name=KV_CACHE_USAGE_HIGH,
        severity="ticket",
        expr=high,
        summary=f"KV cache on {REPLICA} is nearly full.",
        description=f"{numbers} Users don't feel it yet.",
        panel=links.KV_CACHE,
        pool=pool.name,
        variables={"replica": REPLICA},
    )
    page = replace(
        ticket,
        severity="page",
        expr=f"{high}\nand ({queued}\n  or {pushed})\nand on () ({harmed(pool)})",
        summary=f"KV cache on {REPLICA} is nearly full and delays requests.",
        description=(
            f"{numbers} At least one request was waiting on average, or {KV_PREEMPTIONS} were preempted, and an SLO of "
            f"{pool.name} burns its error budget."
        ),
    )
    return [page, ticket]


def _queue_depth(pool: Pool, objectives: Sequence[Objective]) -> list[Alert]:
    """Mean requests waiting per node above the pool's limit (requirement R25), over two minutes: short bursts don't count.

    It pages while users feel it, or will: the queue grows, and a request that joins it now waits longer than the TTFT threshold.
    A long queue whose first tokens are in time is a batch's.
    """
    waiting = f"avg_over_time({of(c.REQUESTS_WAITING, pool)}[2m])"
    replicas = f"count(group by (instance, replica) ({waiting}))"
    long = f"{pool.node.replicas} * sum({waiting})\n/ {replicas} > {pool.max_waiting_per_node}"
    felt = [harmed(pool)]
    thresholds = [one.indicator.thresholds.get("time_to_first_token") for one in objectives]
    if known := [float(threshold) for threshold in thresholds if threshold]:
        started = f"sum(rate({of(c.TTFT, pool, c.TTFT.count)}[5m]))"
        wait = f"sum({of(c.REQUESTS_WAITING, pool)}) / {started} > {min(known):g}"
        felt.append(f"{growth(pool)} and {wait}")
    numbers = (
        f"{VALUE} requests were waiting per node of {pool.name} over 2 minutes (limit {pool.max_waiting_per_node}; "
        f"pool size {pool.nodes.min}-{pool.nodes.max} nodes)."
    )
    ticket = Alert(
        name=QUEUE_DEPTH_HIGH,
        severity="ticket",
        expr=long,
        summary="Too many requests are waiting per node.",
        description=f"{numbers} Users don't feel it yet.",
        panel=links.QUEUE,
        pool=pool.name,
    )
    page = replace(
        ticket,
        severity="page",
        expr=f"{long}\nand on () ({' or '.join(felt)})",
        summary="Too many requests are waiting; users get slow answers.",
        description=f"{numbers} First tokens are late, or will be in minutes. See the recommendation: activate the spare first.",
    )
    return [page, ticket]


def _stalled(pool: Pool) -> list[Alert]:
    """Requests but no tokens: neither latency histograms nor `absent()` show this.

    An engine that counts tokens only when a request finishes has no progress series, and so no alert: a long answer isn't a stall.
    A single request may be a long prompt that an engine computes in one step: it is a ticket, after ten minutes.
    """
    each = f"{EACH}, rank"
    work = " + ".join(f"sum by ({each}) ({of(metric, pool)})" for metric in (c.REQUESTS_RUNNING, c.REQUESTS_WAITING))
    tokens = f"sum by ({each}) (rate({of(c.PROGRESS_TOKENS, pool)}[2m]))"
    page = Alert(
        name=REPLICA_STALLED,
        severity="page",
        expr=f"{work} > 1\nand {tokens} == 0",
        hold=60,
        summary=f"{REPLICA} has requests but produces no tokens.",
        description=(
            f"{REPLICA} (rank {{{{ $labels.rank }}}}) is up with {VALUE} running or waiting requests, "
            "but processed no tokens for 2 minutes. Drain it, then restart its engine."
        ),
        panel=links.TTFT,
        pool=pool.name,
        variables={"replica": REPLICA},
    )
    one = replace(
        page,
        severity="ticket",
        expr=f"{work} == 1\nand {tokens} == 0",
        hold=600,
        description=(
            f"{REPLICA} (rank {{{{ $labels.rank }}}}) is up with {VALUE} running or waiting requests, "
            "but processed no tokens for 10 minutes."
        ),
    )
    return [page, one]


def _up(pool: Pool) -> str:
    return f"(count(group by (instance, replica) ({serving(pool)})) or vector(0))"


def _pool_down(pool: Pool) -> Alert:
    """No replica is up, by exporters that report. The only replica of a pool may restart: that takes a cold start."""
    alone = pool.nodes.min * pool.node.replicas == 1
    hold = pool.timing.cold_start + LOADED if alone else POOL_DOWN_AFTER
    return Alert(
        name=POOL_DOWN,
        severity="page",
        expr=f"{_up(pool)} == 0\nand on () {c.COLLECTOR_SUCCESS}",
        hold=hold,
        summary="No replica of the pool is up; users get no answers.",
        description=(
            f"No replica of {pool.name} has been up for {duration_text(hold)}; its minimum of {pool.nodes.min} nodes runs "
            f"{pool.nodes.min * pool.node.replicas}. Roll back the last change, or restart the engines."
        ),
        panel=links.REPLICAS,
        pool=pool.name,
    )


def _below_minimum(pool: Pool) -> Alert:
    """Fewer replicas up than the pool's minimum, without those that an announced rollout takes down.

    This also covers replicas that no exporter reports any longer.
    """
    least = pool.nodes.min * pool.node.replicas
    return Alert(
        name=REPLICAS_BELOW_MINIMUM,
        severity="page",
        expr=f"{_up(pool)} < {least} - {unavailable(pool)}",
        hold=300,
        summary="Fewer replicas are up than the pool requires.",
        description=f"{VALUE} replicas of {pool.name} are up; its minimum of {pool.nodes.min} nodes runs {least}.",
        panel=links.REPLICAS,
        pool=pool.name,
    )


def _crash_looping(pool: Pool) -> Alert:
    """A replica that restarts before it counts as down. A rollout restarts it once or twice."""
    started = of(c.REPLICA_START, pool)
    return Alert(
        name="LLMReplicaCrashLooping",
        severity="ticket",
        expr=f"max by ({EACH}) (changes({started}[1h])) >= {RESTARTS}",
        summary=f"{REPLICA} keeps restarting.",
        description=(
            f"{REPLICA} restarted {VALUE} times in the last hour. Each restart drops in-flight requests and clears its caches."
        ),
        panel=links.UPTIME,
        pool=pool.name,
        variables={"replica": REPLICA},
    )


def _replica_down(pool: str, keep: PoolFilter, cold_start: float) -> Alert:
    """A replica that stays down: a restart, planned or not, takes a cold start and raises nothing."""
    hold = cold_start + LOADED
    return Alert(
        name=REPLICA_DOWN,
        severity="ticket",
        expr=keep(f"max by ({EACH}) ({c.REPLICA_UP}) == 0", "instance, replica"),
        hold=hold,
        summary=f"{REPLICA} is down.",
        description=(
            f"Exporter {INSTANCE} hasn't reached the metrics endpoint of {REPLICA} for {duration_text(hold)}, "
            f"{duration_text(LOADED)} longer than a cold start."
        ),
        panel=links.REPLICAS,
        pool=pool,
        variables={"replica": REPLICA},
    )


def _exporter_down(pool: str, keep: PoolFilter) -> Alert:
    """A target that was an exporter can't be scraped."""
    exporter = f"up == 0 and on (job, instance) {recorded.LAST_EXPORTER}"
    return Alert(
        name=EXPORTER_DOWN,
        severity="ticket",
        expr=keep(f"max by (instance, cluster, region) ({exporter})", "instance"),
        hold=300,
        summary=f"The exporter on {INSTANCE} is down; its node isn't monitored.",
        description=f"Prometheus hasn't been able to scrape {INSTANCE} for 5 minutes. The node may be down.",
        panel=links.COLLECTORS,
        pool=pool,
    )


def _all_exporters_down(spec: Spec) -> Alert:
    """No exporter reports. Where every pool may scale to zero, only targets that can't be scraped count."""
    may_be_empty = bool(spec.pools) and all(pool.nodes.min == 0 for pool in spec.pools)
    unreachable = f"\nand on () (up == 0 and on (job, instance) {recorded.LAST_EXPORTER})" if may_be_empty else ""
    return Alert(
        name=ALL_EXPORTERS_DOWN,
        severity="page",
        expr=f"absent({c.COLLECTOR_SUCCESS}){unreachable}",
        hold=300,
        summary="No exporter is reporting; alerts can't fire.",
        description=(
            "Prometheus has received no exporter metrics for 5 minutes. Send a test request to check user impact."
        ),
        panel=links.COLLECTORS,
    )
