"""Alerts on a pool's saturation and on the presence of its replicas and exporters.

Rules are written once per pool of the objectives file, selected by the pool's model and match and labeled with its name. A replica that
is down exports no model: its pool is the one that it served in the last day (`templates.of_pool`), and one more rule, without a
pool, covers what never reported a model (`templates.of_no_pool`). A rule over smoothed values has no `for`.
"""

from dataclasses import replace

from plimsoll.alerts.capacity import capacity_alerts
from plimsoll.alerts.exclusions import exclusion_alerts
from plimsoll.alerts.rollouts import rollout_alert
from plimsoll.alerts.rules import Alert
from plimsoll.alerts.saturation import early_warnings
from plimsoll.alerts.templates import INSTANCE, PERCENT, REPLICA, VALUE, PoolFilter, of, of_no_pool, of_pool, serving
from plimsoll.alerts.topology.kinds import for_kind
from plimsoll.alerts.topology.roles import role_alerts
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.spec.objectives import Pool, Spec
from plimsoll.slo.units import duration_text, percent_text

# Alerts that routing inhibits or inhibits with.
KV_CACHE_USAGE_HIGH = "LLMKVCacheUsageHigh"
QUEUE_DEPTH_HIGH = "LLMQueueDepthHigh"
REPLICA_STALLED = "LLMReplicaStalled"
REPLICA_DOWN = "LLMReplicaDown"
REPLICAS_BELOW_MINIMUM = "LLMReplicasBelowMinimum"
EXPORTER_DOWN = "PlimsollExporterDown"
ALL_EXPORTERS_DOWN = "PlimsollAllExportersDown"

KV_PREEMPTIONS = 10  # in ten minutes: one per minute, each of which recomputes a whole prompt
RESTARTS = 3  # in an hour
LOADED = 120  # seconds beyond a cold start after which a replica that is down isn't loading its model


def pool_alerts(spec: Spec) -> list[Alert]:
    """Return every alert on saturation and presence: pool by pool, then what belongs to no pool."""
    pools = [alert for pool in spec.pools for alert in _of_one_pool(spec, pool)]
    slowest = max((pool.timing.cold_start for pool in spec.pools), default=0.0)
    return [*exclusion_alerts(spec), *pools, *_down("", of_no_pool, slowest), _all_exporters_down()]


def _of_one_pool(spec: Spec, pool: Pool) -> list[Alert]:
    every = [
        *_kv_cache(pool),
        _queue_depth(pool),
        _stalled(pool),
        _below_minimum(pool),
        _crash_looping(pool),
        *early_warnings(spec, pool),
        *capacity_alerts(pool),
        *role_alerts(pool),
        rollout_alert(pool),
        *_down(pool.name, of_pool(pool), pool.timing.cold_start),
    ]
    return for_kind(pool, every)


def _down(pool: str, keep: PoolFilter, cold_start: float) -> list[Alert]:
    return [_replica_down(pool, keep, cold_start), _exporter_down(pool, keep)]


def _kv_cache(pool: Pool) -> list[Alert]:
    """A nearly full cache is normal for a busy engine: it pages only while requests wait or are preempted."""
    usage, waiting, preempted = (of(metric, pool) for metric in (c.KV_CACHE_USAGE, c.REQUESTS_WAITING, c.PREEMPTIONS))
    old = f"max by (instance, replica) ({usage} offset 10m)"  # a replica that just started has no ten minutes of data
    high = f"max by (instance, replica) (avg_over_time({usage}[10m])) > {pool.max_kv_cache_usage:g}\nand {old} >= 0"
    queued = f"sum by (instance, replica) (avg_over_time({waiting}[10m])) >= 1"
    pushed = f"sum by (instance, replica) (increase({preempted}[10m])) >= {KV_PREEMPTIONS}"
    threshold = percent_text(pool.max_kv_cache_usage)
    numbers = f"KV cache usage on {REPLICA} averaged {PERCENT} over 10 minutes (threshold {threshold})."
    ticket = Alert(
        name=KV_CACHE_USAGE_HIGH,
        severity="ticket",
        expr=high,
        summary=f"KV cache on {REPLICA} is nearly full.",
        description=f"{numbers} No requests are delayed yet.",
        panel=links.KV_CACHE,
        pool=pool.name,
        variables={"replica": REPLICA},
    )
    page = replace(
        ticket,
        severity="page",
        expr=f"{high}\nand ({queued}\n  or {pushed})",
        summary=f"KV cache on {REPLICA} is nearly full and delays requests.",
        description=f"{numbers} At least one request was waiting on average, or {KV_PREEMPTIONS} were preempted.",
    )
    return [page, ticket]


def _queue_depth(pool: Pool) -> Alert:
    """Mean requests waiting per node above the pool's limit (requirement R25), over two minutes: short bursts don't page."""
    waiting = f"avg_over_time({of(c.REQUESTS_WAITING, pool)}[2m])"
    replicas = f"count(group by (instance, replica) ({waiting}))"
    return Alert(
        name=QUEUE_DEPTH_HIGH,
        severity="page",
        expr=f"{pool.node.replicas} * sum({waiting})\n/ {replicas} > {pool.max_waiting_per_node}",
        summary="Too many requests are waiting per node.",
        description=(
            f"{VALUE} requests were waiting per node of {pool.name} over 2 minutes (limit {pool.max_waiting_per_node}; "
            f"pool size {pool.nodes.min}-{pool.nodes.max} nodes)."
        ),
        panel=links.QUEUE,
        pool=pool.name,
    )


def _stalled(pool: Pool) -> Alert:
    """Requests but no tokens: neither latency histograms nor `absent()` show this.

    An engine that counts tokens only when a request finishes has no progress series, and so no alert: a long answer isn't a stall.
    """
    work = " + ".join(
        f"sum by (instance, replica, rank) ({of(metric, pool)})" for metric in (c.REQUESTS_RUNNING, c.REQUESTS_WAITING)
    )
    tokens = f"sum by (instance, replica, rank) (rate({of(c.PROGRESS_TOKENS, pool)}[2m]))"
    return Alert(
        name=REPLICA_STALLED,
        severity="page",
        expr=f"{work} > 0\nand {tokens} == 0",
        hold=60,
        summary=f"{REPLICA} has requests but produces no tokens.",
        description=(
            f"{REPLICA} (rank {{{{ $labels.rank }}}}) is up with {VALUE} running or waiting requests, "
            "but processed no tokens for 2 minutes."
        ),
        panel=links.TTFT,
        pool=pool.name,
        variables={"replica": REPLICA},
    )


def _below_minimum(pool: Pool) -> Alert:
    """Fewer replicas up than the pool's minimum. This also covers replicas that no exporter reports any longer."""
    least = pool.nodes.min * pool.node.replicas
    return Alert(
        name=REPLICAS_BELOW_MINIMUM,
        severity="page",
        expr=f"(count(group by (instance, replica) ({serving(pool)})) or vector(0)) < {least}",
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
        severity="page",
        expr=f"max by (instance, replica) (changes({started}[1h])) >= {RESTARTS}",
        summary=f"{REPLICA} keeps restarting.",
        description=(
            f"{REPLICA} restarted {VALUE} times in the last hour. Each restart drops in-flight requests and clears its caches."
        ),
        panel=links.UPTIME,
        pool=pool.name,
        variables={"replica": REPLICA},
    )


def _replica_down(pool: str, keep: PoolFilter, cold_start: float) -> Alert:
    """A replica that stays down: a restart, planned or not, takes a cold start and doesn't page."""
    hold = cold_start + LOADED
    return Alert(
        name=REPLICA_DOWN,
        severity="page",
        expr=keep(f"{c.REPLICA_UP} == 0", "instance, replica"),
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
    """A target that was an exporter in the last day can't be scraped."""
    exporter = f"up == 0 and on (job, instance) group by (job, instance) (last_over_time({c.COLLECTOR_SUCCESS}[1d]))"
    return Alert(
        name=EXPORTER_DOWN,
        severity="page",
        expr=keep(f"({exporter})", "instance"),
        hold=300,
        summary=f"The exporter on {INSTANCE} is down; its node isn't monitored.",
        description=f"Prometheus hasn't been able to scrape {INSTANCE} for 5 minutes. The node may be down.",
        panel=links.COLLECTORS,
        pool=pool,
    )


def _all_exporters_down() -> Alert:
    return Alert(
        name=ALL_EXPORTERS_DOWN,
        severity="page",
        expr=f"absent({c.COLLECTOR_SUCCESS})",
        hold=300,
        summary="No exporter is reporting; alerts can't fire.",
        description=(
            "Prometheus has received no exporter metrics for 5 minutes. Send a test request to check user impact."
        ),
        panel=links.COLLECTORS,
    )
