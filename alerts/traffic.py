"""Traffic that stops: replicas are healthy, but requests no longer arrive. DNS, a gateway, or a certificate in front of them failed.

Nothing else shows this: no request is bad, no queue is long. The traffic of the last hour is the yardstick, and this hour of the
last day and week states whether an end is usual. Once the alert fires, the yardstick stays, so that the page ends with the problem.
"""

from plimsoll.alerts.rules import Alert, Recording
from plimsoll.alerts.templates import VALUE, of, result_of, serving
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import recorded
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Pool, Spec

TRAFFIC_STOPPED = "LLMTrafficStopped"
STOPPED = 0.1  # ratio of the usual requests, at and below which traffic counts as stopped
# Requests/s of the last hour from which on five minutes without requests are no chance: of 20 expected ones, 2 or fewer come once
# in two million times (Poisson).
LEAST = 20 / 300
USUAL = 0.25  # ratio of the yardstick that this hour of the last day and week must have had
IDLE = 0.02  # ratio of the last week's five-minute spans without any request, above which a pool is often idle
HOLD = 60.0


def traffic_recordings(spec: Spec) -> list[Recording]:
    """Return the arrivals of each pool that never scales to zero, and what is usual."""
    return [one for pool in _steady(spec) for one in _recordings(pool)]


def idle_recordings(spec: Spec) -> list[Recording]:
    """Return how often each of these pools had no requests; slow to change, and costly to read."""
    return [
        Recording(
            recorded.IDLE_RATIO,
            f"avg_over_time(({_own(recorded.ARRIVALS, pool)} == bool 0)[1w:5m])",
            {"pool": pool.name},
        )
        for pool in _steady(spec)
    ]


def traffic_alerts(spec: Spec) -> list[Alert]:
    """Return the alert of each pool that never scales to zero."""
    return [_stopped(pool) for pool in _steady(spec)]


def _steady(spec: Spec) -> list[Pool]:
    """Return the pools whose traffic doesn't end by itself: a batch does, and a pool that scales to zero may."""
    return [pool for pool in spec.pools if pool.nodes.min and pool.kind != "batch"]


def _recordings(pool: Pool) -> list[Recording]:
    """Requests that end, however they do, are those that arrive: an engine counts no arrivals."""
    ended, *others = (f"sum(rate({of(metric, pool)}[5m]))" for metric in (c.FINISHED, c.REJECTED, c.ABANDONED))
    arrivals = " + ".join((ended, *(f"({one} or vector(0))" for one in others)))
    mean = f"avg_over_time({_own(recorded.ARRIVALS, pool)}[1h] offset 5m)"
    noticed = f'ALERTS{{alertname="{TRAFFIC_STOPPED}",pool="{pool.name}"}}'
    labels = {"pool": pool.name}
    return [
        Recording(recorded.ARRIVALS, arrivals, labels),
        Recording(
            recorded.USUAL_ARRIVALS,
            f"({mean} unless on (pool) {noticed})\nor last_over_time({_own(recorded.USUAL_ARRIVALS, pool)}[1h])",
            labels,
        ),
    ]


def _own(name: str, pool: Pool) -> str:
    return str(Selector(name, (("pool", (pool.name,)),)))


def _stopped(pool: Pool) -> Alert:
    now, usual = _own(recorded.ARRIVALS, pool), _own(recorded.USUAL_ARRIVALS, pool)
    past = [f"avg_over_time({now}[30m] offset {span})" for span in ("1425m", "10065m")]  # 15 minutes around this time
    unusual = " or ".join(f"{one} < {USUAL} * {usual}" for one in past)
    idle = f"{_own(recorded.IDLE_RATIO, pool)} > {IDLE}"
    begun = f'ALERTS{{alertname="{TRAFFIC_STOPPED}",alertstate="firing",pool="{pool.name}"}}'
    work = " + ".join(f"sum({of(metric, pool)})" for metric in (c.REQUESTS_RUNNING, c.REQUESTS_WAITING))
    stalled = f"{work} > 0 and sum(rate({of(c.PROGRESS_TOKENS, pool)}[2m])) == 0"
    return Alert(
        name=TRAFFIC_STOPPED,
        severity="page",
        expr=(
            f"60 * {now} <= {60 * STOPPED:g} * {usual}\nand {usual} >= {LEAST:.4g}\nand on () ({serving(pool)})\n"
            f"unless on () ({stalled})\nunless on (pool) (({unusual} or {idle}) unless on (pool) {begun})"
        ),
        hold=HOLD,
        summary="Requests no longer arrive; users can't reach the pool.",
        description=(
            f"{pool.name} gets {VALUE} requests a minute; {result_of(f'60 * {usual}')} were usual. Its replicas are up. "
            "Send a request through the gateway; check its health, DNS, and certificates."
        ),
        panel=links.SERVED,
        pool=pool.name,
    )
