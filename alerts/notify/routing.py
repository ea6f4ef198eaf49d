"""Alertmanager's configuration: one page per cause.

Written for Alertmanager 0.25 to 0.34: quoted `matchers`, details that are plain texts, no newer keys. PagerDuty's
dedup_key is a hash of the route and the group's labels, so changing routes or `group_by` orphans open incidents.
"""

from typing import Any

from plimsoll.alerts import budget_states, exclusions, pool, rollouts, saturation, self_monitoring
from plimsoll.alerts import burn_rate as burn_alerts
from plimsoll.alerts.gpus import health as gpus
from plimsoll.alerts.notify.receivers import WATCHDOG, Receivers
from plimsoll.alerts.rules import Sites
from plimsoll.slo.error_budget import burn_rate
from plimsoll.slo.spec.objectives import Spec

# Labels of the site, external ones of Prometheus or target labels: what happens in one region never mutes another's, and pages apart.
SITE = ["cluster", "region"]
# Alerts of a pool share one incident per severity: a saturated pool raises several at once, and one person handles all. A graver
# impact (`impact.py`) is an incident of its own: the on-call who acknowledged the smaller one is paged again.
BY_POOL = ["pool", "severity", "impact", *SITE]
BY_ALERT = ["alertname", "instance", "severity", "impact", *SITE]
REPLICA = ["instance", "replica"]
PAGE, TICKET, NULL = "page", "ticket", "null"
# Everything that a node's exporter reports: unknown while the exporter is down.
ON_NODE = (
    "LLMReplica.+",
    "GPU.+",
    "NVSwitch.+",
    self_monitoring.COLLECTOR_FAILING,
    self_monitoring.ENGINE_METRIC_MISSING,
)
# Early warnings that a stall or a long queue explains.
WARNINGS = (saturation.LATENCY_NEAR_THRESHOLD, saturation.QUEUE_GROWING, saturation.REQUESTS_ABANDONED)


def config(spec: Spec, receivers: Receivers, sites: Sites) -> dict[str, Any]:
    """Return the whole configuration. An alert without a known severity is routed as a ticket, so that none is lost."""
    owners = {
        one.owner: [pool.name for pool in spec.pools if pool.owner == one.owner] for one in spec.pools if one.owner
    }
    return {
        "global": {"resolve_timeout": "5m"},
        "route": {
            "receiver": TICKET,
            "group_by": BY_ALERT,
            # Longer than a page's, so that a page that fires at the same time inhibits the ticket first.
            "group_wait": "1m",
            "group_interval": "5m",
            "repeat_interval": "24h",
            "routes": _routes(owners),
        },
        "inhibit_rules": _inhibitions(),
        "receivers": [
            receivers.receiver(PAGE, receivers.pages, sites),
            *(receivers.receiver(f"{PAGE}-{owner}", receivers.pages, sites, owner) for owner in owners),
            receivers.receiver(TICKET, receivers.tickets, sites),
            *(receivers.receiver(f"{TICKET}-{owner}", receivers.tickets, sites, owner) for owner in owners),
            receivers.watchdog(),
            {"name": NULL},
        ],
    }


def _routes(owners: dict[str, list[str]]) -> list[dict[str, Any]]:
    pages = 'severity="page"'
    return [
        # A dead man's switch should allow for group_interval + repeat_interval, twice.
        _route(
            WATCHDOG, [_named(self_monitoring.WATCHDOG)], group_wait="0s", group_interval="1m", repeat_interval="1m"
        ),
        *(_page(f"{PAGE}-{owner}", [pages, f'pool=~"{"|".join(pools)}"'], BY_POOL) for owner, pools in owners.items()),
        _page(PAGE, [pages, 'pool!=""'], BY_POOL),
        _page(PAGE, [pages], BY_ALERT),
        _route(NULL, ['severity="info"']),
        *(
            _route(f"{TICKET}-{owner}", [f'pool=~"{"|".join(pools)}"'], group_by=BY_POOL)
            for owner, pools in owners.items()
        ),
        _route(TICKET, ['pool!=""'], group_by=BY_POOL),
    ]


def _route(receiver: str, matchers: list[str], **settings: Any) -> dict[str, Any]:
    return {"receiver": receiver, "matchers": matchers, **settings}


def _page(receiver: str, matchers: list[str], group_by: list[str]) -> dict[str, Any]:
    return _route(receiver, matchers, group_by=group_by, group_wait="10s", group_interval="1m", repeat_interval="4h")


def _inhibitions() -> list[dict[str, Any]]:
    """Return which alert inhibits which others. A source never fires later than its targets."""
    tiers = burn_rate.TIERS
    slower = [
        _inhibit(f'tier="{tier}"', [f'tier=~"{"|".join(tiers[index + 1 :])}"'], ["objective"])
        for index, tier in enumerate(tiers[:-1])
    ]
    down, stalled, kv_cache = pool.REPLICA_DOWN, pool.REPLICA_STALLED, pool.KV_CACHE_USAGE_HIGH
    preemptions, collector = saturation.PREEMPTION_RATE_HIGH, self_monitoring.COLLECTOR_FAILING
    missing = self_monitoring.ENGINE_METRIC_MISSING
    same = ["alertname", "pool", "objective", "instance", "replica"]
    return [
        _inhibit(_named(exclusions.NAME), ['severity=~"page|ticket"'], ["pool"]),
        _inhibit(_named(rollouts.ANNOUNCED), [_named(*rollouts.LOWERED), 'severity="ticket"'], ["pool"]),
        *slower,
        _inhibit('severity="page"', ['severity="ticket"'], same),
        # What is left of a budget is one ticket: the gravest state, and no forecast while it burns.
        _inhibit(_named(budget_states.EXHAUSTED), [_named(budget_states.LOW, budget_states.FORECAST)], ["objective"]),
        _inhibit(_named(burn_alerts.NAME), [_named(budget_states.FORECAST)], ["objective"]),
        _inhibit(_named(down), [_named(stalled, kv_cache, preemptions)], REPLICA),
        # A collector that reads an engine that is down fails too; the collector of the GPUs doesn't.
        _inhibit(_named(down), [_named(collector), 'collector!="nvml"'], ["instance"]),
        _inhibit(_named(kv_cache), [_named(preemptions)], REPLICA),
        _inhibit(_named(stalled, down), [_named(saturation.REPLICA_SLOW)], REPLICA),
        _inhibit(
            _named(burn_alerts.NAME, burn_alerts.OUTAGE), [_named(saturation.LATENCY_NEAR_THRESHOLD)], ["objective"]
        ),
        _inhibit(_named(stalled), [_named(*WARNINGS)], ["pool"]),
        _inhibit(_named(pool.QUEUE_DEPTH_HIGH), [_named(*WARNINGS)], ["pool"]),
        _inhibit(
            _named(pool.ALL_EXPORTERS_DOWN), [_named(pool.REPLICAS_BELOW_MINIMUM, pool.EXPORTER_DOWN, *ON_NODE)], []
        ),
        _inhibit(_named(pool.EXPORTER_DOWN), [_named(*ON_NODE)], ["instance"]),
        # GPUs that can't be asked: the collector fails for the same reason.
        _inhibit(_named(gpus.NOT_READABLE), [_named(collector), 'collector=~"nvml|amdsmi"'], ["instance"]),
        _inhibit(_named(collector), [_named(missing)], ["instance", "collector"]),
    ]


def _named(*names: str) -> str:
    """Return a matcher of one alert name, or of several names or patterns."""
    return f'alertname{"=~" if len(names) > 1 else "="}"{"|".join(names)}"'


def _inhibit(source: str, targets: list[str], equal: list[str]) -> dict[str, Any]:
    """Return a rule that holds within one site only. A label that both alerts lack counts as equal."""
    return {"source_matchers": [source], "target_matchers": targets, "equal": [*equal, *SITE]}


def fragment(whole: dict[str, Any]) -> dict[str, Any]:
    """Return the same for an Alertmanager with routes of its own: one route for our alerts, our receivers, and our inhibitions.

    `routes` goes first into the list of the existing route, `receivers` and `inhibit_rules` into theirs.
    """
    ours = 'source="plimsoll"'
    route = {key: value for key, value in whole["route"].items() if key != "routes"}
    routes = [one | {"receiver": _prefixed(one["receiver"])} for one in whole["route"]["routes"]]
    route |= {"matchers": [ours], "receiver": _prefixed(route["receiver"]), "routes": routes}
    inhibitions = [
        one | {side: [*one[side], ours] for side in ("source_matchers", "target_matchers")}
        for one in whole["inhibit_rules"]
    ]
    receivers = [one | {"name": _prefixed(one["name"])} for one in whole["receivers"]]
    return {"routes": [route], "inhibit_rules": inhibitions, "receivers": receivers}


def _prefixed(receiver: str) -> str:
    return f"plimsoll-{receiver}"
