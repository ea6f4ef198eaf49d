"""How grave a page is, and that one incident pages once: a page that gets worse has a new key, a smaller one follows silently.

Alertmanager groups pages by their label `impact` (`routing.py`), so that a total outage has a PagerDuty incident of its own, even if
someone acknowledged a lost GPU of the same pool. The reverse is decided here, in the rules: a page doesn't begin while a graver
one of its pool fires, for as long afterwards as it looks back (so that what the graver one paged for doesn't page again, but what
continues does), and while an outage is developing. (Alertmanager's inhibition can't do this: it would also hold back the resolve of
a page that began before, and release a smaller one when the graver ends.) A page that began well before continues.
"""

from dataclasses import replace

from plimsoll.alerts import burn_rate as burn_alerts
from plimsoll.alerts import pool, traffic
from plimsoll.alerts.rules import LOOKS_BACK, Alert, Recording
from plimsoll.slo.error_budget import burn_rate
from plimsoll.slo.metrics import recorded
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Spec
from plimsoll.slo.units import duration_text

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
# Rise of the bad ratio in a minute at which the outage tier fires within its five minutes: a tenth less than 40 % / 5.
DEVELOPING = 0.072
# Seconds that a page fires before a graver one of its pool to continue beside it: two that begin together are one incident.
BEFORE = 90.0


def impact(alert: Alert) -> str:
    """Return the impact of a page."""
    return IMPACTS.get(alert.name, RISK)


def impact_recordings(spec: Spec) -> list[Recording]:
    """Return what the pages of each pool mean for its users now: labels pool and impact."""
    firing = f'ALERTS{{alertstate="firing",severity="page",impact=~"{OUTAGE}|{DEGRADED}",pool!=""}}'
    last = f"timestamp({firing}) or max_over_time(timestamp({firing})[{duration_text(LOOKS_BACK)}:30s])"
    # Now or a minute ago: the counts of a single minute vary.
    developing = " or ".join(_rise(now, before) for now, before in (("", " offset 1m"), (" offset 1m", " offset 2m")))
    return [
        Recording(
            recorded.IMPACT_AGE,
            f'label_replace(0 * ({developing}), "impact", "{OUTAGE}", "", "")\n'
            f"or time() - max by (pool, impact) ({last})",
            {},
        ),
        Recording(recorded.USER_HARM, _harm(spec), {}),
    ]


def _rise(now: str, before: str) -> str:
    """Return the rise of the bad ratio of each pool's SLOs between two moments, where an outage is developing."""
    earlier, later = (f"{recorded.GOOD_RATE}{at} / {recorded.TOTAL_RATE}{at}" for at in (before, now))
    return f"max by (pool) ({earlier} - {later}) > {DEVELOPING}"


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
    age = Selector(recorded.IMPACT_AGE, (("pool", (alert.pool,)), ("impact", graver)))
    own = {"alertname": alert.name, "severity": "page", "pool": alert.pool, **alert.labels}
    since = Selector("ALERTS_FOR_STATE", tuple((label, (value,)) for label, value in own.items()))
    return replace(
        found,
        expr=f"({alert.expr})\nunless on () ({age} < {alert.looks_back:g} unless on () {since} < time() - {alert.hold + BEFORE:g})",
    )
