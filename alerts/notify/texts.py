"""Texts of notifications as Alertmanager templates: headline, details, and links of a group of alerts."""

from plimsoll.alerts.notify.impact import BY_GRAVITY

# The alert that represents its group: one that still fires, the gravest first.
FIRST = (
    "{{ $first := index .Alerts 0 }}"
    "{{ if .Alerts.Firing }}{{ $first = index .Alerts.Firing 0 }}{{ end }}{{ $alerts := .Alerts.Firing }}"
    f"{{{{ range (stringSlice `{'` `'.join(reversed(BY_GRAVITY))}`) }}}}{{{{ $name := . }}}}"
    "{{ range $alerts }}{{ if eq .Labels.alertname $name }}{{ $first = . }}{{ end }}{{ end }}{{ end }}"
)
SEVERITY = (
    '{{ if eq .CommonLabels.severity "page" }}critical{{ else if eq .CommonLabels.severity "ticket" }}warning'
    '{{ else if eq .CommonLabels.severity "info" }}info{{ else }}error{{ end }}'
)
# An alert of another team's rules may lack a summary.
_HEADLINE = "{{ or $first.Annotations.summary $first.Annotations.message $first.Annotations.description $first.Labels.alertname `Alert without a name` }}"
SUMMARY = (
    f"{FIRST}{{{{ with $first.Labels.pool }}}}{{{{ . }}}}: {{{{ end }}}}{_HEADLINE}"
    "{{ if gt (len .Alerts.Firing) 1 }} ({{ len .Alerts.Firing }} alerts){{ end }}"
)
# PagerDuty rejects events above 512 KB: of a group, the first SHOWN alerts appear, each text cut at CHARACTERS.
SHOWN, CHARACTERS = 20, 1000


def lines(alerts: str) -> str:
    """Return a template with the texts of a group's first alerts, and the number of the others."""
    text = f"{{{{ .Labels.alertname }}}}: {{{{ printf `%.{CHARACTERS}s` .Annotations.summary }}}}\n{{{{ printf `%.{CHARACTERS}s` .Annotations.description }}}}\n"
    more = (
        f"{{{{ if gt (len .Alerts.{alerts}) {SHOWN} }}}}... {{{{ len .Alerts.{alerts} }}}} alerts in all\n{{{{ end }}}}"
    )
    return f"{{{{ range $index, $alert := .Alerts.{alerts} }}}}{{{{ if lt $index {SHOWN} }}}}{text}{{{{ end }}}}{{{{ end }}}}{more}"


def of_first(field: str) -> str:
    """Return a template with a field of the alert that represents its group."""
    return f"{FIRST}{{{{ $first.{field} }}}}"
