"""Services that Alertmanager notifies, each as one receiver entry with the same texts and links.

Field names: Alertmanager's configuration reference. PagerDuty, Slack, Opsgenie, and mail: 0.25 and later; Teams (Workflows): 0.28;
incident.io: 0.29.
"""

from collections.abc import Callable
from typing import Any

from plimsoll.alerts.notify.texts import FIRST, SEVERITY, SUMMARY, lines, of_first
from plimsoll.alerts.rules import Sites

OPEN_IN_PLIMSOLL = "Open in Plimsoll"
LINKS = {
    "Runbook": "Annotations.runbook_url",
    "Dashboard": "Annotations.dashboard_url",
    OPEN_IN_PLIMSOLL: "Annotations.slo_url",
}
_TITLE = f'{{{{ if eq .Status "resolved" }}}}Resolved: {{{{ end }}}}{SUMMARY}'
_TEXT = f"{lines('Firing')}{lines('Resolved')}"
# A group's priority where the service has P1 to P5.
_PRIORITY = '{{ if eq .CommonLabels.severity "page" }}{{ if eq .CommonLabels.impact "outage" }}P1{{ else }}P2{{ end }}{{ else }}P4{{ end }}'


def _pagerduty(secret: str, sites: Sites) -> dict[str, Any]:
    """Return a PagerDuty receiver: the summary is what the phone shows, the details and links follow."""
    return {
        "routing_key_file": secret,
        "send_resolved": True,
        "severity": SEVERITY,
        "description": SUMMARY,
        "source": f"{FIRST}{{{{ or $first.Labels.instance $first.Labels.pool `plimsoll` }}}}",
        "component": of_first("Labels.pool"),
        "group": of_first("Labels.pool"),
        "class": of_first("Labels.alertname"),
        "client": "Plimsoll",
        "client_url": sites.service,
        "details": {
            "firing": lines("Firing"),
            "resolved": lines("Resolved"),
            "objective": of_first("Labels.objective"),
            "tier": of_first("Labels.tier"),
        },
        "links": [
            {"href": of_first(field), "text": f"Runbook: {of_first('Labels.alertname')}" if text == "Runbook" else text}
            for text, field in LINKS.items()
        ],
    }


def _slack(secret: str, sites: Sites) -> dict[str, Any]:
    """Return a Slack receiver: the same texts, and the same links as buttons."""
    return {
        "api_url_file": secret,
        "send_resolved": True,
        "color": '{{ if eq .Status "resolved" }}good{{ else if eq .CommonLabels.severity "page" }}danger{{ else }}warning{{ end }}',
        "title": _TITLE,
        "title_link": of_first("Annotations.dashboard_url"),
        "text": lines("Firing"),
        "fallback": SUMMARY,
        "actions": [{"type": "button", "text": text, "url": of_first(field)} for text, field in LINKS.items()],
    }


def _opsgenie(secret: str, sites: Sites) -> dict[str, Any]:
    """Return an Opsgenie or Jira Service Management receiver, which share their API."""
    return {
        "api_key_file": secret,
        "send_resolved": True,
        "message": SUMMARY,
        "description": _TEXT,
        "priority": _PRIORITY,
        "source": "Plimsoll",
        "entity": of_first("Labels.pool"),
        "details": {text.lower().replace(" ", "_"): of_first(field) for text, field in LINKS.items()},
    }


def _msteams(secret: str, sites: Sites) -> dict[str, Any]:
    """Return a Teams receiver (Workflows): Markdown links below the texts."""
    buttons = " ".join(f"[{text}]({of_first(field)})" for text, field in LINKS.items())
    return {"webhook_url_file": secret, "send_resolved": True, "title": _TITLE, "text": f"{_TEXT}{buttons}"}


def _incidentio(secret: str, sites: Sites) -> dict[str, Any]:
    """Return an incident.io receiver, which gets every label and annotation; the file `-url` beside the token's has the source's URL."""
    return {"alert_source_token_file": secret, "url_file": f"{secret}-url", "send_resolved": True}


def email(to: str, relay: str, sender: str) -> dict[str, Any]:
    """Return a mail receiver; Alertmanager requires TLS unless the relay is local."""
    links = "\n".join(f"{text}: {of_first(field)}" for text, field in LINKS.items())
    return {
        "to": to,
        "from": sender,
        "smarthost": relay,
        "send_resolved": True,
        "headers": {"Subject": _TITLE},
        "html": "",
        "text": f"{_TEXT}{links}\n",
    }


# By name: key in Alertmanager's receiver, file of the secret, and the settings.
BY_NAME: dict[str, tuple[str, str, Callable[[str, Sites], dict[str, Any]]]] = {
    "pagerduty": ("pagerduty_configs", "pagerduty-routing-key", _pagerduty),
    "slack": ("slack_configs", "slack-url", _slack),
    "opsgenie": ("opsgenie_configs", "opsgenie-api-key", _opsgenie),
    "msteams": ("msteamsv2_configs", "msteams-url", _msteams),
    "incidentio": ("incidentio_configs", "incidentio-token", _incidentio),
}
