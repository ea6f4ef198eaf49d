"""Early signs of a pool in trouble, as data: tickets that name the cause while the burn alerts say how bad it is.

Every rule looks at a trend, a ratio or a comparison over minutes, with enough events to mean something; none has a `for`.
"""

from plimsoll.alerts.rules import Alert
from plimsoll.alerts.templates import PERCENT, REPLICA, SECONDS, VALUE, answer, of
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric
from plimsoll.slo.sli.evidence import SERVED
from plimsoll.slo.sli.indicators.latency import HISTOGRAMS
from plimsoll.slo.spec.objectives import Objective, Pool, Spec
from plimsoll.slo.units import percent_text

EVENTS = 10  # requests lost or pushed out in ten minutes, below which a share says nothing
STORM = 0.2  # preemptions per finished request: every fifth prompt is computed twice
REFUSED = 0.01  # share of requests
GIVEN_UP = 0.02  # share of requests
COLD = 600  # seconds since its start for which a replica is young
# The source documents add capacity at a p95 of 500 ms for a limit of 600 ms (requirement R27).
EARLY = 5 / 6
EACH = "instance, replica"


def pool_warnings(spec: Spec, pool: Pool) -> list[Alert]:
    """List a pool's early warnings."""
    near = [_near_limit(one, pool) for one in spec.objectives if one.pool == pool.name and one.indicator.latency]
    at_most = [_at_maximum(pool)] if pool.nodes.min < pool.nodes.max else []
    return [
        _queue_growing(pool),
        _preemptions(pool),
        _refused(pool),
        _given_up(pool),
        _prefix_cache(pool),
        _cold(pool),
        _slow(pool),
        *near,
        *at_most,
    ]


def _queue_growing(pool: Pool) -> Alert:
    """A queue that grows at a pace which fills the pool's limit within ten minutes: slope, not level.

    A replica counts once it was seen ten minutes ago: the slope of two samples is noise.
    """
    waiting = of(c.REQUESTS_WAITING, pool.model)
    growth = f"sum(deriv({waiting}[10m]) and {waiting} offset 10m >= 0)"
    replicas = f"count(group by ({EACH}) ({waiting}))"
    return Alert(
        name="LLMQueueGrowing",
        severity="ticket",
        expr=f"600 * {pool.node.replicas} * {growth}\n/ {replicas} > {pool.max_waiting_per_node}",
        summary=f"queue grows by {VALUE} per node in 10 minutes",
        description=(
            f"At the pace of the last 10 minutes {VALUE} more requests will wait per node of {pool.name} in another 10 "
            f"(limit {pool.max_waiting_per_node}): more arrives than is served."
        ),
        panel=links.QUEUE,
        pool=pool.name,
    )


def _preemptions(pool: Pool) -> Alert:
    pushed, finished = (
        f"sum by ({EACH}) (increase({of(metric, pool.model)}[10m]))" for metric in (c.PREEMPTIONS, c.FINISHED)
    )
    return Alert(
        name="LLMPreemptionRateHigh",
        severity="ticket",
        expr=f"{pushed} / {finished} > {STORM}\nand {pushed} >= {EVENTS}",
        summary=f"{REPLICA}: preemptions are {PERCENT} of finished requests",
        description=(
            f"In 10 minutes {REPLICA} pushed out {PERCENT} as many requests as it finished (alarm above {percent_text(STORM)}); "
            "each is computed again from its beginning."
        ),
        panel=links.PREEMPTIONS,
        pool=pool.name,
        variables={"replica": REPLICA},
    )


def _share_lost(pool: Pool, lost: str, limit: float) -> str:
    good = f"sum(increase({of(c.FINISHED, pool.model, reason='|'.join(SERVED))}[10m]))"
    return f"{lost} / ({lost} + ({good} or vector(0))) > {limit}\nand {lost} >= {EVENTS}"


def _refused(pool: Pool) -> Alert:
    return Alert(
        name="LLMRequestsRejected",
        severity="ticket",
        expr=_share_lost(pool, f"sum(increase({of(c.REJECTED, pool.model)}[10m]))", REFUSED),
        summary=f"{PERCENT} of requests refused",
        description=f"In 10 minutes {PERCENT} of the requests to {pool.name} were refused (alarm above {percent_text(REFUSED)}).",
        panel=links.LOST,
        pool=pool.name,
    )


def _given_up(pool: Pool) -> Alert:
    """Clients that leave while queued; those that stop a stream are users who have read enough."""
    return Alert(
        name="LLMRequestsAbandoned",
        severity="ticket",
        expr=_share_lost(pool, f"sum(increase({of(c.ABANDONED, pool.model, stage='queued')}[10m]))", GIVEN_UP),
        summary=f"{PERCENT} of clients give up while queued",
        description=(
            f"In 10 minutes {PERCENT} of the clients of {pool.name} left before their first token (alarm above "
            f"{percent_text(GIVEN_UP)}, a lower bound): no latency histogram counts them."
        ),
        panel=links.LOST,
        pool=pool.name,
    )


def _prefix_cache(pool: Pool) -> Alert:
    hit, asked = (f"sum(increase({of(metric, pool.model)}[%s]%s))" for metric in (c.PREFIX_HIT, c.PREFIX_QUERIED))
    now, before = (f"{hit % span} / {asked % span}" for span in (("15m", ""), ("6h", " offset 15m")))
    return Alert(
        name="LLMPrefixCacheHitRatioDropped",
        severity="ticket",
        expr=f"{now} < 0.5 * ({before})\nand {before} > 0.2\nand {asked % ('15m', '')} > 100000",
        summary=f"prefix cache hits fell to {PERCENT}",
        description=(
            f"In 15 minutes {PERCENT} of the prompt tokens of {pool.name} were found in the prefix cache, "
            f"less than half of the six hours before ({answer(before, 'humanizePercentage')}): every prompt costs more prefill."
        ),
        panel=links.PREFIX_CACHE,
        pool=pool.name,
    )


def _quantile(metric: Metric, model: str, by: str, share: float = 0.95, span: str = "10m", only: str = "") -> str:
    rates = f"rate({of(metric, model, metric.bucket)}[{span}]){only}"
    return f"histogram_quantile({share:g}, sum by ({', '.join(filter(None, ('le', by)))}) ({rates}))"


def _enough(metric: Metric, model: str, count: int, span: str) -> str:
    return f"sum by ({EACH}) (increase({of(metric, model, metric.count)}[{span}])) >= {count}"


def _cold(pool: Pool) -> Alert:
    """A young replica whose first tokens come three times as late as those of its elders (requirement R23)."""
    age = f"time() - max by ({EACH}) ({of(c.REPLICA_START, pool.model)})"
    young = _quantile(c.TTFT, pool.model, EACH, span="5m")
    elders = _quantile(c.TTFT, pool.model, "", span="5m", only=f" and on ({EACH}) ({age} >= {COLD})")
    return Alert(
        name="LLMReplicaServingWhileCold",
        severity="ticket",
        expr=(
            f"({young}\n  and on ({EACH}) ({age} < {COLD})\n  and {_enough(c.TTFT, pool.model, EVENTS, '5m')})\n"
            f"> on () group_left () 3 * {elders}"
        ),
        summary=f"{REPLICA}: cold and already serving, TTFT p95 {SECONDS}",
        description=(
            f"{REPLICA} started less than {COLD // 60} minutes ago and got traffic: 95 % of its first tokens came within {SECONDS}, "
            "more than three times as late as elsewhere in the pool."
        ),
        panel=links.TTFT_BY_REPLICA,
        pool=pool.name,
        variables={"replica": REPLICA},
    )


def _slow(pool: Pool) -> Alert:
    """One replica twice as slow as the fastest of the same pool (requirement R24)."""
    evaluated = f"({_quantile(c.TPOT, pool.model, EACH)}\n  and {_enough(c.TPOT, pool.model, 2 * EVENTS, '10m')})"
    return Alert(
        name="LLMReplicaSlow",
        severity="ticket",
        expr=f"{evaluated}\n> on () group_left () 2 * min({evaluated})",
        summary=f"{REPLICA}: {SECONDS} per token, twice the others",
        description=(
            f"Over 10 minutes the p95 of the time per token of {REPLICA} was {SECONDS}, more than twice that of the pool's "
            "fastest replica: a sick GPU, or more than its share of the traffic."
        ),
        panel=links.TPOT_BY_REPLICA,
        pool=pool.name,
        variables={"replica": REPLICA},
    )


def _near_limit(objective: Objective, pool: Pool) -> Alert:
    """The quantile that is promised comes near its limit; the budget does not burn yet."""
    kind, share = objective.indicator.kind, percent_text(objective.target)
    metric, limit = HISTOGRAMS[kind], objective.indicator.thresholds[kind]
    panel = {"time_to_first_token": links.TTFT, "time_per_output_token": links.TPOT}.get(kind, links.E2E)
    enough = f"sum(increase({of(metric, pool.model, metric.count)}[10m])) >= {10 * EVENTS}"
    return Alert(
        name="SLOLatencyNearThreshold",
        severity="ticket",
        expr=f"{_quantile(metric, pool.model, '', objective.target)} > {EARLY * limit:.6g}\nand {enough}",
        summary=f"{objective.id}: {share} of requests within {SECONDS}, limit {limit}",
        description=(
            f"Over 10 minutes the slowest requests within the promised {share} took {SECONDS}; the limit is {limit}, the warning "
            f"at {EARLY * limit:.3g} s. The recommendation says whether a node helps."
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
        summary=f"needs all of its {pool.nodes.max} nodes",
        description=(
            f"For 10 minutes {VALUE} nodes have been recommended, and {pool.name} may have no more than {pool.nodes.max}: "
            "what comes on top will wait."
        ),
        panel=links.NODES,
        pool=pool.name,
    )
