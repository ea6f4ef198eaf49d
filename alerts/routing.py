"""Alertmanager's configuration: one page per cause, to PagerDuty, with the links and numbers that a person needs.

Written for Alertmanager 0.25 to 0.34: quoted `matchers`, details that are plain texts, no newer keys. PagerDuty's
dedup_key is a hash of the route and the group's labels, so changing routes or `group_by` orphans open incidents.
"""

from dataclasses import dataclass
from typing import Any

from alerts import burning
from alerts.rules import Sites
from slo import burn

PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"
ROUTING_KEY_FILE = "/etc/alertmanager/pagerduty-routing-key"
# Alerts of a pool share one incident per severity: a pool in trouble trips several at once, and one person deals with all.
BY_POOL = ["pool", "severity"]
BY_ALERT = ["alertname", "instance", "severity"]
EACH = ["instance", "replica"]
ON_NODE = "Replica(Down|Flapping|Stalled|Slow)|Gpu.+|Nvlink.+|PcieLinkNarrow|CollectorFailing|MetricMissing"


@dataclass(frozen=True, slots=True)
class Receivers:
    """Where alerts go. Secrets stay in files; a webhook that is not given leaves its alerts in Alertmanager's own page."""

    routing_key_file: str = ROUTING_KEY_FILE
    pagerduty_url: str = PAGERDUTY_URL
    ticket_url: str | None = None
    watchdog_url: str | None = None


def config(receivers: Receivers, sites: Sites) -> dict[str, Any]:
    """Write the whole configuration. An alert without a known severity becomes a ticket: it is never lost."""
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
                _page(['severity="page"', 'pool!=""'], BY_POOL),
                _page(['severity="page"'], BY_ALERT),
                _route("nobody", ['severity="info"']),
                _route("ticket", ['pool!=""'], group_by=BY_POOL),
            ],
        },
        "inhibit_rules": _inhibitions(),
        "receivers": [
            {"name": "pagerduty", "pagerduty_configs": [_pagerduty(receivers, sites)]},
            _webhook("ticket", receivers.ticket_url, send_resolved=True),
            _webhook("watchdog", receivers.watchdog_url, send_resolved=False),
            {"name": "nobody"},
        ],
    }


def _route(receiver: str, matchers: list[str], **settings: Any) -> dict[str, Any]:
    return {"receiver": receiver, "matchers": matchers, **settings}


def _page(matchers: list[str], group_by: list[str]) -> dict[str, Any]:
    return _route("pagerduty", matchers, group_by=group_by, group_wait="10s", group_interval="1m", repeat_interval="4h")


def _inhibitions() -> list[dict[str, Any]]:
    """Say which alert makes which others needless. A source is never slower than what it hides."""
    tiers = [row.tier for row in burn.TABLE]
    slower = [
        _hide(f'tier="{tier}"', [f'tier=~"{"|".join(tiers[index + 1 :])}"'], ["objective"])
        for index, tier in enumerate(tiers[:-1])
    ]
    same = ["alertname", "pool", "objective", "instance", "replica"]
    return [
        *slower,
        _hide('severity="page"', ['severity="ticket"'], same),
        _hide('alertname="ReplicaDown"', ['alertname=~"ReplicaStalled|KvCacheHigh|PreemptionStorm"'], EACH),
        _hide('alertname="KvCacheHigh"', ['alertname="PreemptionStorm"'], EACH),
        _hide('alertname=~"ReplicaStalled|ReplicaDown"', ['alertname="ReplicaSlow"'], EACH),
        # What users feel, and what a stall or a queue explains, needs no warning beside it.
        _hide('alertname="ObjectiveBurn"', ['alertname="LatencyNearLimit"'], ["objective"]),
        _hide('alertname="ReplicaStalled"', ['alertname=~"LatencyNearLimit|QueueGrowing|ClientsGiveUp"'], ["pool"]),
        _hide('alertname="QueueTooLong"', ['alertname=~"LatencyNearLimit|QueueGrowing|ClientsGiveUp"'], ["pool"]),
        _hide('alertname="AllExportersAbsent"', [f'alertname=~"ReplicasMissing|ExporterAbsent|{ON_NODE}"'], []),
        _hide('alertname="ExporterAbsent"', [f'alertname=~"{ON_NODE}"'], ["instance"]),
        _hide('alertname="CollectorFailing"', ['alertname="MetricMissing"'], ["instance", "collector"]),
    ]


def _hide(source: str, targets: list[str], equal: list[str]) -> dict[str, Any]:
    return {"source_matchers": [source], "target_matchers": targets} | ({"equal": equal} if equal else {})


def _webhook(name: str, url: str | None, send_resolved: bool) -> dict[str, Any]:
    hook = {"webhook_configs": [{"url": url, "send_resolved": send_resolved}]} if url else {}
    return {"name": name, **hook}


# The alert that speaks for its group: one that still fires, and what users feel before what causes it.
_FIRST = (
    "{{ $first := index .Alerts 0 }}"
    "{{ if .Alerts.Firing }}{{ $first = index .Alerts.Firing 0 }}{{ end }}"
    f'{{{{ range .Alerts.Firing }}}}{{{{ if eq .Labels.alertname "{burning.NAME}" }}}}{{{{ $first = . }}}}{{{{ end }}}}{{{{ end }}}}'
)
_SEVERITY = (
    '{{ if eq .CommonLabels.severity "page" }}critical{{ else if eq .CommonLabels.severity "ticket" }}warning'
    '{{ else if eq .CommonLabels.severity "info" }}info{{ else }}error{{ end }}'
)
_SUMMARY = (
    f"{_FIRST}{{{{ with $first.Labels.pool }}}}{{{{ . }}}}: {{{{ end }}}}{{{{ $first.Annotations.summary }}}}"
    "{{ if gt (len .Alerts.Firing) 1 }} ({{ len .Alerts.Firing }} alerts){{ end }}"
)


def _lines(alerts: str) -> str:
    return f"{{{{ range .Alerts.{alerts} }}}}{{{{ .Labels.alertname }}}}: {{{{ .Annotations.summary }}}}\n{{{{ .Annotations.description }}}}\n{{{{ end }}}}"


def _of_first(field: str) -> str:
    return f"{_FIRST}{{{{ $first.{field} }}}}"


def _pagerduty(receivers: Receivers, sites: Sites) -> dict[str, Any]:
    """Build one PagerDuty event: the summary is what the phone shows, the details are what a person reads next."""
    return {
        "routing_key_file": receivers.routing_key_file,
        "url": receivers.pagerduty_url,
        "send_resolved": True,
        "severity": _SEVERITY,
        "description": _SUMMARY,
        "source": f"{_FIRST}{{{{ or $first.Labels.instance $first.Labels.pool `plimsoll` }}}}",
        "component": _of_first("Labels.pool"),
        "group": _of_first("Labels.pool"),
        "class": _of_first("Labels.alertname"),
        "client": "Plimsoll",
        "client_url": sites.service,
        "details": {
            "firing": _lines("Firing"),
            "resolved": _lines("Resolved"),
            "objective": _of_first("Labels.objective"),
            "tier": _of_first("Labels.tier"),
        },
        "links": [
            {"href": _of_first("Annotations.runbook_url"), "text": f"Runbook: {_of_first('Labels.alertname')}"},
            {"href": _of_first("Annotations.dashboard_url"), "text": "Dashboard"},
            {"href": _of_first("Annotations.slo_url"), "text": "SLO service: the numbers"},
        ],
    }
