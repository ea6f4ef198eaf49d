"""Prometheus rules as data, and their YAML. Constant labels, links, and label order are defined here, once for all rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

from plimsoll.slo import links
from plimsoll.slo.units import duration_text

SOURCE = {"source": "plimsoll"}  # distinguishes our alerts from those of other mixins in the same Alertmanager
ALL_SLOS = "/"  # the page that an alert of no pool links to
Severity = Literal["page", "ticket", "info"]

LOOKS_BACK = 2100.0  # seconds; longer than any page averages over

FILLED = ("replica", "instance", "uuid", "objective")  # labels that a runbook fills in, where the alert has them


@dataclass(frozen=True, slots=True)
class Sites:
    """Base URLs of an alert's links."""

    service: str = links.SERVICE_URL
    grafana: str = links.GRAFANA_URL


@dataclass(frozen=True, slots=True)
class Recording:
    """One recorded series."""

    name: str
    expr: str
    labels: Mapping[str, str]

    def as_rule(self, sites: Sites) -> dict[str, Any]:
        """Return the rule in Prometheus' format."""
        return {"record": self.name, "expr": self.expr, "labels": dict(self.labels)}


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. `hold` is Prometheus' `for` in seconds; `pool` is empty for an alert of no pool.

    `summary` is one sentence of at most 80 characters, with identity labels but no values: a phone shows it. `description`
    has the values and the next step. `variables` are the dashboard variables of the panel's link, `runbook` what its runbook fills in
    beside the labels. `path` is the page of the SLO service that the alert links to (default: the pool's page). A page doesn't begin
    within `looks_back` seconds after a graver one of its pool (`notify.impact`).
    """

    name: str
    severity: Severity
    expr: str
    summary: str
    description: str
    panel: links.Panel
    pool: str = ""
    path: str = ""
    hold: float = 0
    looks_back: float = LOOKS_BACK
    labels: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    runbook: Mapping[str, str] = field(default_factory=dict)

    def as_rule(self, sites: Sites) -> dict[str, Any]:
        """Return the rule in Prometheus' format, with links to runbook, panel, and SLO service."""
        pool = {"pool": self.pool} if self.pool else {}
        path = self.path or (links.pool_page(self.pool, "") if pool else ALL_SLOS)
        rule: dict[str, Any] = {"alert": self.name, "expr": self.expr}
        if self.hold:
            rule["for"] = duration_text(self.hold)
        return rule | {
            "labels": {**self.labels, **pool, "severity": self.severity, **SOURCE},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": self._runbook_url(sites),
                "dashboard_url": links.panel_url(self.panel, sites.grafana, **pool, **self.variables),
                "slo_url": f"{sites.service}{path}",
            },
        }

    def _runbook_url(self, sites: Sites) -> str:
        """Return the address of the runbook: a template knows the labels of the series, and none of the rule's own."""
        own = {label: self.labels[label] for label in FILLED if label in self.labels}
        url = links.runbook_url(self.name, sites.service, pool=self.pool, **self.runbook, **own)
        if not self.pool:
            url = url.replace("?pool=", "?pool={{ $labels.pool | urlquery }}")
        of_series = (label for label in FILLED if label not in own)
        return url + "".join(
            f"{{{{ with $labels.{label} }}}}&{label}={{{{ . | urlquery }}}}{{{{ end }}}}" for label in of_series
        )


def ticket(name: str, expr: str, summary: str, description: str, panel: links.Panel, hold: float = 0) -> Alert:
    """Return an alert of no pool that opens a ticket."""
    return Alert(name, "ticket", expr, summary, description, panel, hold=hold)


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated in order, every `interval` seconds."""

    name: str
    interval: float
    rules: Sequence[Recording | Alert]

    def as_group(self, sites: Sites) -> dict[str, Any]:
        """Return the group in Prometheus' format."""
        rules = [rule.as_rule(sites) for rule in self.rules]
        return {"name": self.name, "interval": duration_text(self.interval), "rules": rules}


class _Dumper(yaml.SafeDumper):
    """Writes multi-line texts as blocks, so that they are readable."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def to_yaml(document: Mapping[str, Any], heading: str) -> str:
    """Return a document as YAML under a comment with its origin."""
    body = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)
    return f"# Generated by `plimsoll build` from the objectives file; edit that file instead. {heading}\n{body}"
