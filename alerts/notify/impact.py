"""How grave a page is, and that one incident pages once: a page that gets worse has a new key, a smaller one follows silently.

Alertmanager groups pages by their label `impact` (`routing.py`), so that a total outage has a PagerDuty incident of its own, even if
someone acknowledged a lost GPU of the same pool. The reverse is decided here, in the rules: a page doesn't begin while a graver
one of its pool fires, for as long afterwards as the slowest page looks back, and while an outage is developing. (Alertmanager's
inhibition can't do this: it would also hold back the resolve of a page that began before.) A page that fires already continues.
"""

from dataclasses import replace

from plimsoll.alerts import burn_rate as burn_alerts
from plimsoll.alerts import pool, traffic
from plimsoll.alerts.rules import Alert, Recording
from plimsoll.slo.error_budget import burn_rate
from plimsoll.slo.metrics import recorded
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Spec

# Values of the label, gravest first: most users get no answer; users get slow or failed requests; users are at risk.
OUTAGE, DEGRADED, RISK = "outage", "degraded", "risk"
IMPACTS = {
    burn_alerts.OUTAGE: OUTAGE,
    traffic.TRAFFIC_STOPPED: OUTAGE,
    pool.POOL_DOWN: OUTAGE,
    pool.ALL_EXPORTERS_DOWN: OUTAGE,
    burn_alerts.NAME: DEGRADED,
    pool.QUEUE_DEPTH_HIGH: DEGRADED,
    pool.KV_CACHE_USAGE_HIGH: DEGRADED,
    pool.REPLICA_STALLED: DEGRADED,
}
# Alert names by gravity: the first one that fires is the headline of its group.
BY_GRAVITY = tuple(IMPACTS)
# Longer than the short window of page-slow (30 minutes), in which an outage that ended still shows.
AFTER = "35m"
# Rise of the bad ratio in a minute at which the outage tier fires within its five minutes: a tenth less than 40 % / 5.
DEVELOPING = 0.072


def impact(alert: Alert) -> str:
    """Return the impact of a page."""
    return IMPACTS.get(alert.name, RISK)


def impact_recordings(spec: Spec) -> list[Recording]:
    """Return what the pages of each pool mean for its users now: labels pool and impact."""
    firing = f'ALERTS{{alertstate="firing",severity="page",impact=~"{OUTAGE}|{DEGRADED}",pool!=""}}'
    good, total = recorded.GOOD_RATE, recorded.TOTAL_RATE
    rise = f"max by (pool) ({good} offset 1m / {total} offset 1m - {good} / {total}) > {DEVELOPING}"
    return [
        Recording(
            recorded.ACTIVE_IMPACT,
            f"max by (pool, impact) (max_over_time({firing}[{AFTER}]))\n"
            f'or label_replace({rise}, "impact", "{OUTAGE}", "", "")',
            {},
        ),
        Recording(recorded.USER_HARM, _harm(spec), {}),
    ]


def _harm(spec: Spec) -> str:
    """Return the highest burn rate of each pool's SLOs over five minutes. Indeterminate requests count as good."""
    good, total = recorded.GOOD_RATE, recorded.TOTAL_RATE
    if any(objective.has_bounds for objective in spec.objectives):
        good = f"({recorded.GOOD_UPPER_BOUND} or {good})"
    enough = f"300 * ({total} - {good}) >= {burn_rate.MIN_BAD['ticket'] - 0.5}"
    return f"max by (pool) ((1 - {good} / ({total} > 0)) / (1 - {recorded.TARGET})\n  and {enough})"


def ranked(alert: Alert) -> Alert:
    """Return a page with its impact as a label, that doesn't begin while a graver one of its pool is active; others unchanged."""
    if alert.severity != "page":
        return alert
    rank = impact(alert)
    found = replace(alert, labels={**alert.labels, "impact": rank})
    if rank == OUTAGE or not alert.pool:
        return found
    graver = (OUTAGE,) if rank == DEGRADED else (OUTAGE, DEGRADED)
    active = Selector(recorded.ACTIVE_IMPACT, (("pool", (alert.pool,)), ("impact", graver)))
    own = {"alertname": alert.name, "alertstate": "firing", "severity": "page", "pool": alert.pool, **alert.labels}
    firing = Selector("ALERTS", tuple((label, (value,)) for label, value in own.items()))
    return replace(found, expr=f"({alert.expr})\nunless on () ({active} unless on () {firing})")
