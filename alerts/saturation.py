"""Early warnings of a saturated pool: tickets that name a cause, while the burn-rate alerts show the user impact.

Every rule evaluates a trend, a ratio, or a comparison over minutes, and requires a minimum number of events. One has a `for`: latency near
its threshold, which a burst of some minutes reaches on an ordinary day.
"""

from plimsoll.alerts.rules import Alert
from plimsoll.alerts.templates import DURATION, EACH, PERCENT, REPLICA, VALUE, of, result_of
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric
from plimsoll.slo.sli.evidence import SERVED
from plimsoll.slo.sli.indicators.latency import GATEWAY_HISTOGRAMS, HISTOGRAMS
from plimsoll.slo.spec.objectives import Objective, Pool, Spec
from plimsoll.slo.units import duration_text, percent_text

# Alerts that routing inhibits.
QUEUE_GROWING = "LLMQueueGrowing"
PREEMPTION_RATE_HIGH = "LLMPreemptionRateHigh"
REQUESTS_ABANDONED = "LLMRequestsAbandoned"
REPLICA_SLOW = "LLMReplicaSlow"
LATENCY_NEAR_THRESHOLD = "SLOLatencyNearThreshold"

EVENTS = 10  # requests rejected, abandoned, or preempted in ten minutes, below which a ratio is meaningless
MAX_PREEMPTED = 0.2  # preemptions per finished request: every fifth prompt is computed twice
MAX_REJECTED = 0.01  # ratio of requests
MAX_TRANSFERS_FAILED = 0.01  # ratio of KV cache transfers
MAX_ABANDONED = 0.02  # ratio of requests
WARM = "30m"  # after its start, in which a replica's prefix cache fills
COLD = 600  # seconds after its start for which a replica is cold
# Requirement R27: capacity is added at a p95 of 500 ms for a threshold of 600 ms.
EARLY = 5 / 6
NEAR_FOR = 900.0  # seconds: longer than a burst of five minutes shows in a window of ten


def early_warnings(spec: Spec, pool: Pool) -> list[Alert]:
    """Return a pool's early warnings."""
    near = [_near_threshold(one, pool) for one in spec.objectives if one.pool == pool.name and one.indicator.latency]
    at_most = [_at_maximum(pool)] if pool.nodes.min < pool.nodes.max else []
    return [
        _queue_growing(pool),
        _preemptions(pool),
        _rejected(pool),
        _abandoned(pool),
        _prefix_cache(pool),
        _transfers_failing(pool),
        _cold(pool),
        _slow(pool),
        *near,
        *at_most,
    ]


def growth(pool: Pool) -> str:
    """Return a query for the requests by which a node's queue grows in ten minutes, with a result above the pool's limit only.

    A replica counts once it has ten minutes of data: the slope of two samples is noise.
    """
    waiting = of(c.REQUESTS_WAITING, pool)
    slope = f"sum(deriv({waiting}[10m]) and {waiting} offset 10m >= 0)"
    replicas = f"count(group by ({EACH}) ({waiting}))"
    return f"600 * {pool.node.replicas} * {slope}\n/ {replicas} > {pool.max_waiting_per_node}"


def _queue_growing(pool: Pool) -> Alert:
    """A queue whose growth reaches the pool's limit within ten minutes: slope, not level."""
    return Alert(
        name=QUEUE_GROWING,
        severity="ticket",
        expr=growth(pool),
        summary="The request queue is growing.",
        description=(
            f"At the current rate, {VALUE} more requests per node of {pool.name} will be waiting in 10 minutes "
            f"(limit {pool.max_waiting_per_node}). Arrivals exceed throughput."
        ),
        panel=links.QUEUE,
        pool=pool.name,
    )


def _preemptions(pool: Pool) -> Alert:
    preempted, finished = (
        f"sum by ({EACH}) (increase({of(metric, pool)}[10m]))" for metric in (c.PREEMPTIONS, c.FINISHED)
    )
    return Alert(
        name=PREEMPTION_RATE_HIGH,
        severity="ticket",
        expr=f"{preempted} / {finished} > {MAX_PREEMPTED}\nand {preempted} >= {EVENTS}",
        summary=f"{REPLICA} preempts too many requests.",
        description=(
            f"{REPLICA} preempted {PERCENT} as many requests as it finished in 10 minutes "
            f"(threshold {percent_text(MAX_PREEMPTED)}). Each is recomputed from the start."
        ),
        panel=links.PREEMPTIONS,
        pool=pool.name,
        variables={"replica": REPLICA},
    )


def _share_lost(pool: Pool, lost: str, limit: float) -> str:
    good = f"sum(increase({of(c.FINISHED, pool, reason='|'.join(SERVED))}[10m]))"
    return f"{lost} / ({lost} + ({good} or vector(0))) > {limit}\nand {lost} >= {EVENTS}"


def _rejected(pool: Pool) -> Alert:
    return Alert(
        name="LLMRequestsRejected",
        severity="ticket",
        expr=_share_lost(pool, f"sum(increase({of(c.REJECTED, pool)}[10m]))", MAX_REJECTED),
        summary="Requests are being rejected.",
        description=(
            f"{PERCENT} of requests to {pool.name} were rejected in the last 10 minutes (threshold {percent_text(MAX_REJECTED)})."
        ),
        panel=links.LOST,
        pool=pool.name,
    )


def _abandoned(pool: Pool) -> Alert:
    """Clients that disconnect while queued. One that stops a stream may have read enough, so it doesn't count."""
    return Alert(
        name=REQUESTS_ABANDONED,
        severity="ticket",
        expr=_share_lost(pool, f"sum(increase({of(c.ABANDONED, pool, stage='queued')}[10m]))", MAX_ABANDONED),
        summary="Clients abandon requests while they are queued.",
        description=(
            f"At least {PERCENT} of clients of {pool.name} disconnected before the first token in 10 minutes "
            f"(threshold {percent_text(MAX_ABANDONED)}). Latency histograms don't include them."
        ),
        panel=links.LOST,
        pool=pool.name,
    )


def _transfers_failing(pool: Pool) -> Alert:
    """KV cache transfers between prefill and decode engines. The engines' own requests look fine until decode gives an error."""
    failed = f"sum(increase({of(c.KV_TRANSFER_FAILURES, pool)}[10m]))"
    done = f"sum(increase({of(c.KV_TRANSFER_TIME, pool, c.KV_TRANSFER_TIME.count)}[10m]))"
    return Alert(
        name="LLMKVTransfersFailing",
        severity="ticket",
        expr=f"{failed} / ({failed} + ({done} or vector(0))) > {MAX_TRANSFERS_FAILED}\nand {failed} >= {EVENTS}",
        summary="KV cache transfers between engines fail.",
        description=(
            f"{PERCENT} of KV cache transfers of {pool.name} failed or expired in 10 minutes "
            f"(threshold {percent_text(MAX_TRANSFERS_FAILED)}). Their prompts are computed again, or their requests fail."
        ),
        panel=links.KV_TRANSFERS,
        pool=pool.name,
    )


def _prefix_cache(pool: Pool) -> Alert:
    """A cache that is empty after a restart fills again by itself: replicas that started in the last half hour don't count."""
    queried = of(c.PREFIX_QUERIED, pool)
    warm = f" and on ({EACH}) ({queried} offset {WARM} unless resets({queried}[{WARM}]) > 0)"

    def tokens(metric: Metric, span: str, only: str = "") -> str:
        return f"sum(increase({of(metric, pool)}{span}){only})"

    now, before = (
        f"{tokens(c.PREFIX_HIT, span, only)} / {tokens(c.PREFIX_QUERIED, span, only)}"
        for span, only in (("[15m]", warm), ("[6h] offset 15m", ""))
    )
    return Alert(
        name="LLMPrefixCacheHitRatioDropped",
        severity="ticket",
        expr=f"{now} < 0.5 * ({before})\nand {before} > 0.2\nand {tokens(c.PREFIX_QUERIED, '[15m]', warm)} > 100000",
        summary="The prefix cache hit ratio dropped.",
        description=(
            f"The prefix cache hit ratio of {pool.name} was {PERCENT} over 15 minutes, less than half of the previous 6 hours "
            f"({result_of(before, 'humanizePercentage')}). Prefill takes longer."
        ),
        panel=links.PREFIX_CACHE,
        pool=pool.name,
    )


def _quantile(metric: Metric, pool: Pool, by: str, share: float = 0.95, span: str = "10m", only: str = "") -> str:
    rates = f"rate({of(metric, pool, metric.bucket)}[{span}]){only}"
    return f"histogram_quantile({share:g}, sum by ({', '.join(filter(None, ('le', by)))}) ({rates}))"


def _enough(metric: Metric, pool: Pool, count: int, span: str) -> str:
    return f"sum by ({EACH}) (increase({of(metric, pool, metric.count)}[{span}])) >= {count}"


def _cold(pool: Pool) -> Alert:
    """A cold replica whose TTFT is more than three times that of the older ones (requirement R23)."""
    age = f"time() - max by ({EACH}) ({of(c.REPLICA_START, pool)})"
    cold = _quantile(c.TTFT, pool, EACH, span="5m")
    older = _quantile(c.TTFT, pool, "", span="5m", only=f" and on ({EACH}) ({age} >= {COLD})")
    return Alert(
        name="LLMReplicaServingWhileCold",
        severity="ticket",
        expr=(
            f"({cold}\n  and on ({EACH}) ({age} < {COLD})\n  and {_enough(c.TTFT, pool, EVENTS, '5m')})\n"
            f"> on () group_left () 3 * {older}"
        ),
        summary=f"{REPLICA} receives traffic before it is warm.",
        description=(
            f"{REPLICA} started less than {COLD // 60} minutes ago. Its TTFT p95 is {DURATION}, "
            "more than 3x that of older replicas."
        ),
        panel=links.TTFT_BY_REPLICA,
        pool=pool.name,
        variables={"replica": REPLICA},
    )


def _slow(pool: Pool) -> Alert:
    """One replica whose TPOT is more than twice the median of its pool (requirement R24), or of two the other one's.

    A replica with less than half of the usual requests doesn't count as usual: one that just joined is fast because its batch is small.
    """
    requests = f"sum by ({EACH}) (increase({of(c.TPOT, pool, c.TPOT.count)}[10m]))"
    evaluated = f"({_quantile(c.TPOT, pool, EACH)}\n  and {requests} >= {2 * EVENTS})"
    usual = f"{requests} > on () group_left () 0.5 * quantile(0.5, {requests})"
    # The lower median: of an even number, the lower one of the two in the middle. Of a single replica it is NaN, which nothing exceeds.
    middle = f"scalar(floor((count({usual}) - 1) / 2) / (count({usual}) - 1))"
    return Alert(
        name=REPLICA_SLOW,
        severity="ticket",
        expr=f"{evaluated}\n> on () group_left () 2 * quantile({middle}, {evaluated} and {usual})",
        summary=f"{REPLICA} is slower than the other replicas.",
        description=(
            f"TPOT p95 of {REPLICA} was {DURATION} over 10 minutes, more than 2x the median of the replicas. "
            "Check its GPUs and its share of traffic."
        ),
        panel=links.TPOT_BY_REPLICA,
        pool=pool.name,
        variables={"replica": REPLICA},
    )


def _near_threshold(objective: Objective, pool: Pool) -> Alert:
    """The quantile of the SLO target comes close to the latency threshold, and stays there; the error budget doesn't burn yet.

    A quantile is noise unless enough requests exceed it: at 99% one in a hundred does.
    """
    kind, share = objective.indicator.kind, percent_text(objective.target)
    histograms = GATEWAY_HISTOGRAMS if objective.count_at == "gateway" else HISTOGRAMS
    metric, threshold = histograms[kind], objective.indicator.thresholds[kind]
    panel = {"time_to_first_token": links.TTFT, "time_per_output_token": links.TPOT}.get(kind, links.E2E)
    least = max(10 * EVENTS, EVENTS / objective.budget_ratio)
    enough = f"sum(increase({of(metric, pool, metric.count)}[10m])) >= {least:.0f}"
    return Alert(
        name=LATENCY_NEAR_THRESHOLD,
        severity="ticket",
        expr=f"{_quantile(metric, pool, '', objective.target)} > {EARLY * threshold:.6g}\nand {enough}",
        hold=NEAR_FOR,
        summary=f"{objective.id} latency is close to its threshold.",
        description=(
            f"p{share.removesuffix('%')} latency for {objective.id} was {DURATION} over 10 minutes (threshold {threshold}, "
            f"warning at {duration_text(float(f'{EARLY * threshold:.3g}'))}). See the recommendation for {pool.name}."
        ),
        panel=panel,
        pool=pool.name,
        labels={"objective": objective.id},
    )


def _at_maximum(pool: Pool) -> Alert:
    recommended = f'max({c.RECOMMENDED_NODES}{{pool="{pool.name}"}})'
    return Alert(
        name="LLMPoolMaxedOut",
        severity="ticket",
        expr=f"{recommended} >= {pool.nodes.max}",
        hold=600,
        summary="The pool needs its maximum number of nodes.",
        description=(
            f"{VALUE} nodes have been recommended for {pool.name} for 10 minutes; the maximum is {pool.nodes.max}. "
            "Additional demand will queue."
        ),
        panel=links.NODES,
        pool=pool.name,
    )
