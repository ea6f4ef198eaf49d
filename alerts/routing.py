"""Alertmanager's configuration: one page per cause, to PagerDuty, with the links and numbers that a person needs.

Written for Alertmanager 0.25 to 0.34: quoted `matchers`, details that are plain texts, no newer keys. PagerDuty's
dedup_key is a hash of the route and the group's labels, so changing routes or `group_by` orphans open incidents.
"""

from typing import Any

from plimsoll.alerts import exclusions
from plimsoll.alerts.receivers import Receivers
from plimsoll.alerts.rules import Sites
from plimsoll.slo.error_budget import burn_rate
from plimsoll.slo.spec.objectives import Spec

# Alerts of a pool share one incident per severity: a pool in trouble trips several at once, and one person deals with all.
BY_POOL = ["pool", "severity"]
BY_ALERT = ["alertname", "instance", "severity"]
EACH = ["instance", "replica"]
ON_NODE = "Replica(Down|Flapping|Stalled|Slow)|Gpu.+|Nvlink.+|GPUPCIeLinkDegraded|PlimsollCollectorFailing|PlimsollEngineMetricMissing"


def config(spec: Spec, receivers: Receivers, sites: Sites) -> dict[str, Any]:
    """Write the whole configuration. An alert without a known severity becomes a ticket: it is never lost."""
    owners = {
        pool.owner: [one.name for one in spec.pools if one.owner == pool.owner] for pool in spec.pools if pool.owner
    }
    return {
        "global": {"resolve_timeout": "5m"},
        "route": {
            "receiver": "ticket",
            "group_by": BY_ALERT,
            # A ticket waits longer than a page, so that a page that fires with it hides it in time.
            "group_wait": "1m",
            "group_interval": "5m",
            "repeat_interval": "24h",
            "routes": [
                # Whoever watches for it should allow for group_interval + repeat_interval, twice.
                _route(
                    "watchdog", ['alertname="Watchdog"'], group_wait="0s", group_interval="1m", repeat_interval="1m"
                ),
                *(
                    _page(f"page-{owner}", ['severity="page"', f'pool=~"{"|".join(pools)}"'], BY_POOL)
                    for owner, pools in owners.items()
                ),
                _page("page", ['severity="page"', 'pool!=""'], BY_POOL),
                _page("page", ['severity="page"'], BY_ALERT),
                _route("nobody", ['severity="info"']),
                _route("ticket", ['pool!=""'], group_by=BY_POOL),
            ],
        },
        "inhibit_rules": _inhibitions(),
        "receivers": [
            receivers.receiver("page", receivers.pages, sites),
            *(receivers.receiver(f"page-{owner}", receivers.pages, sites, owner) for owner in owners),
            receivers.receiver("ticket", receivers.tickets, sites),
            receivers.watchdog(),
            {"name": "nobody"},
        ],
    }


def _route(receiver: str, matchers: list[str], **settings: Any) -> dict[str, Any]:
    return {"receiver": receiver, "matchers": matchers, **settings}


def _page(receiver: str, matchers: list[str], group_by: list[str]) -> dict[str, Any]:
    return _route(receiver, matchers, group_by=group_by, group_wait="10s", group_interval="1m", repeat_interval="4h")


def _inhibitions() -> list[dict[str, Any]]:
    """Say which alert makes which others needless. A source is never slower than what it hides."""
    tiers = [row.tier for row in burn_rate.TABLE]
    slower = [
        _hide(f'tier="{tier}"', [f'tier=~"{"|".join(tiers[index + 1 :])}"'], ["objective"])
        for index, tier in enumerate(tiers[:-1])
    ]
    same = ["alertname", "pool", "objective", "instance", "replica"]
    return [
        _hide(f'alertname="{exclusions.NAME}"', ['severity=~"page|ticket"'], ["pool"]),
        *slower,
        _hide('severity="page"', ['severity="ticket"'], same),
        _hide(
            'alertname="LLMReplicaDown"',
            ['alertname=~"LLMReplicaStalled|LLMKVCacheUsageHigh|LLMPreemptionRateHigh"'],
            EACH,
        ),
        # What reads an engine that is down fails too; the collector of the GPUs does not.
        _hide(
            'alertname="LLMReplicaDown"', ['alertname="PlimsollCollectorFailing"', 'collector!="nvml"'], ["instance"]
        ),
        _hide('alertname="LLMKVCacheUsageHigh"', ['alertname="LLMPreemptionRateHigh"'], EACH),
        _hide('alertname=~"LLMReplicaStalled|LLMReplicaDown"', ['alertname="LLMReplicaSlow"'], EACH),
        # What users feel, and what a stall or a queue explains, needs no warning beside it.
        _hide('alertname="SLOErrorBudgetBurn"', ['alertname="SLOLatencyNearThreshold"'], ["objective"]),
        _hide(
            'alertname="LLMReplicaStalled"',
            ['alertname=~"SLOLatencyNearThreshold|LLMQueueGrowing|LLMRequestsAbandoned"'],
            ["pool"],
        ),
        _hide(
            'alertname="LLMQueueDepthHigh"',
            ['alertname=~"SLOLatencyNearThreshold|LLMQueueGrowing|LLMRequestsAbandoned"'],
            ["pool"],
        ),
        _hide(
            'alertname="PlimsollAllExportersDown"',
            [f'alertname=~"LLMReplicasBelowMinimum|PlimsollExporterDown|{ON_NODE}"'],
            [],
        ),
        _hide('alertname="PlimsollExporterDown"', [f'alertname=~"{ON_NODE}"'], ["instance"]),
        _hide(
            'alertname="PlimsollCollectorFailing"',
            ['alertname="PlimsollEngineMetricMissing"'],
            ["instance", "collector"],
        ),
    ]


def _hide(source: str, targets: list[str], equal: list[str]) -> dict[str, Any]:
    return {"source_matchers": [source], "target_matchers": targets} | ({"equal": equal} if equal else {})
