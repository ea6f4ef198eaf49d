"""Alertmanager receivers: PagerDuty, Slack, or a webhook, each with summary, description, and links.

Secrets are referenced as files and never written. An owner's file has the owner's name as a suffix.
"""

from dataclasses import dataclass
from typing import Any

from plimsoll.alerts.impact import BY_GRAVITY
from plimsoll.alerts.rules import Sites

PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"
SECRETS_DIR = "/etc/alertmanager"
PAGERDUTY, SLACK = "pagerduty", "slack"
OPEN_IN_PLIMSOLL = "Open in Plimsoll"
WATCHDOG = "watchdog"


@dataclass(frozen=True, slots=True)
class Receivers:
    """Where alerts go: `pages` and `tickets` are "pagerduty", "slack", or the URL of a webhook; "" sends nothing, so that
    alerts show in Alertmanager only. `secrets_dir` holds the files `pagerduty-routing-key`, `slack-url` and, if
    `webhook_token` is set, `webhook-token`, which is sent as a bearer token.
    """

    pages: str = PAGERDUTY
    tickets: str = ""
    watchdog_url: str = ""
    secrets_dir: str = SECRETS_DIR
    webhook_token: bool = False
    pagerduty_url: str = PAGERDUTY_URL

    def receiver(self, name: str, way: str, sites: Sites, owner: str = "") -> dict[str, Any]:
        """Return a receiver's configuration; `owner` selects the owner's secrets."""
        suffix = f"-{owner}" if owner else ""
        if way == PAGERDUTY:
            return {"name": name, "pagerduty_configs": [_pagerduty(self, sites, suffix)]}
        if way == SLACK:
            return {"name": name, "slack_configs": [_slack(self, suffix)]}
        return {"name": name} | ({"webhook_configs": [self._webhook(way)]} if way else {})

    def watchdog(self) -> dict[str, Any]:
        """Return the receiver of the dead man's switch. It sends no resolve: silence is the signal."""
        hook = {"webhook_configs": [self._webhook(self.watchdog_url) | {"send_resolved": False}]}
        return {"name": WATCHDOG} | (hook if self.watchdog_url else {})

    def _webhook(self, url: str) -> dict[str, Any]:
        """Return a webhook, which receives Alertmanager's own JSON: every label and annotation."""
        token = {"authorization": {"credentials_file": f"{self.secrets_dir}/webhook-token"}}
        return {"url": url, "send_resolved": True} | ({"http_config": token} if self.webhook_token else {})


# The alert that represents its group: one that still fires, the gravest first.
_FIRST = (
    "{{ $first := index .Alerts 0 }}"
    "{{ if .Alerts.Firing }}{{ $first = index .Alerts.Firing 0 }}{{ end }}{{ $alerts := .Alerts.Firing }}"
    f"{{{{ range (stringSlice `{'` `'.join(reversed(BY_GRAVITY))}`) }}}}{{{{ $name := . }}}}"
    "{{ range $alerts }}{{ if eq .Labels.alertname $name }}{{ $first = . }}{{ end }}{{ end }}{{ end }}"
)
_SEVERITY = (
    '{{ if eq .CommonLabels.severity "page" }}critical{{ else if eq .CommonLabels.severity "ticket" }}warning'
    '{{ else if eq .CommonLabels.severity "info" }}info{{ else }}error{{ end }}'
)
# An alert of another team's rules may lack a summary.
_HEADLINE = "{{ or $first.Annotations.summary $first.Annotations.message $first.Annotations.description $first.Labels.alertname `Alert without a name` }}"
_SUMMARY = (
    f"{_FIRST}{{{{ with $first.Labels.pool }}}}{{{{ . }}}}: {{{{ end }}}}{_HEADLINE}"
    "{{ if gt (len .Alerts.Firing) 1 }} ({{ len .Alerts.Firing }} alerts){{ end }}"
)
# PagerDuty rejects events above 512 KB: of a group, the first SHOWN alerts appear, each text cut at CHARACTERS.
SHOWN, CHARACTERS = 20, 1000


def _lines(alerts: str) -> str:
    """Return a template with the texts of a group's first alerts, and the number of the others."""
    text = f"{{{{ .Labels.alertname }}}}: {{{{ printf `%.{CHARACTERS}s` .Annotations.summary }}}}\n{{{{ printf `%.{CHARACTERS}s` .Annotations.description }}}}\n"
    more = (
        f"{{{{ if gt (len .Alerts.{alerts}) {SHOWN} }}}}... {{{{ len .Alerts.{alerts} }}}} alerts in all\n{{{{ end }}}}"
    )
    return f"{{{{ range $index, $alert := .Alerts.{alerts} }}}}{{{{ if lt $index {SHOWN} }}}}{text}{{{{ end }}}}{{{{ end }}}}{more}"


def _of_first(field: str) -> str:
    return f"{_FIRST}{{{{ $first.{field} }}}}"


def _pagerduty(receivers: Receivers, sites: Sites, suffix: str) -> dict[str, Any]:
    """Return a PagerDuty receiver: the summary is what the phone shows, the details and links follow."""
    return {
        "routing_key_file": f"{receivers.secrets_dir}/pagerduty-routing-key{suffix}",
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
            {"href": _of_first("Annotations.slo_url"), "text": OPEN_IN_PLIMSOLL},
        ],
    }


def _slack(receivers: Receivers, suffix: str) -> dict[str, Any]:
    """Return a Slack receiver: the same texts, and the same links as buttons."""
    buttons = {
        "Runbook": "Annotations.runbook_url",
        "Dashboard": "Annotations.dashboard_url",
        OPEN_IN_PLIMSOLL: "Annotations.slo_url",
    }
    return {
        "api_url_file": f"{receivers.secrets_dir}/slack-url{suffix}",
        "send_resolved": True,
        "color": '{{ if eq .Status "resolved" }}good{{ else if eq .CommonLabels.severity "page" }}danger{{ else }}warning{{ end }}',
        "title": f'{{{{ if eq .Status "resolved" }}}}Resolved: {{{{ end }}}}{_SUMMARY}',
        "title_link": _of_first("Annotations.dashboard_url"),
        "text": _lines("Firing"),
        "fallback": _SUMMARY,
        "actions": [{"type": "button", "text": text, "url": _of_first(field)} for text, field in buttons.items()],
    }
