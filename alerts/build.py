"""Every file of `alerts/generated`, from the objectives alone: the same input gives the same bytes."""

from typing import Any

from plimsoll.alerts.burn_rate import burn_alerts
from plimsoll.alerts.fleet import fleet_recordings, memory_recordings
from plimsoll.alerts.gpu import gpu_alerts
from plimsoll.alerts.incident_signatures import fingerprint_recordings
from plimsoll.alerts.pool import health_alerts
from plimsoll.alerts.receivers import Receivers
from plimsoll.alerts.recording import recordings
from plimsoll.alerts.routing import config
from plimsoll.alerts.rules import Alert, Group, Recording, Sites, to_yaml
from plimsoll.alerts.self_monitoring import watching_alerts
from plimsoll.slo.spec.objectives import Objective, Spec

# Seconds between evaluations. Nothing recorded depends on it; it bounds how late an alert can be.
OBJECTIVES_EVERY = 30
HEALTH_EVERY = 15
FLEET_EVERY = 30
MEMORY_EVERY = 60


def render(spec: Spec, sites: Sites | None = None, receivers: Receivers | None = None) -> dict[str, str]:
    """Write every generated file as name -> text. `sites` begin the links, `receivers` say where alerts go."""
    sites, receivers = sites or Sites(), receivers or Receivers()
    heads = {
        "objectives": "Recorded series and burn-rate alerts.",
        "health": "Saturation and health alerts.",
        "fleet": "Recorded series for dashboards, and the fingerprints.",
    }
    rules = {f"{name}.rules.yml": to_yaml(found, heads[name]) for name, found in _rules(spec, sites).items()}
    return {**rules, "alertmanager.yml": to_yaml(config(spec, receivers, sites), "For Alertmanager 0.25 and later.")}


def render_kubernetes(spec: Spec, sites: Sites) -> dict[str, str]:
    """Write the same rules for the Prometheus operator, as name -> text of one PrometheusRule each."""
    return {
        f"kubernetes/{name}.yaml": _prometheus_rule(f"plimsoll-{name}", found)
        for name, found in _rules(spec, sites).items()
    }


def _rules(spec: Spec, sites: Sites) -> dict[str, dict[str, Any]]:
    """Return what each rule file holds, by the file's first name."""
    objectives = [_objective_group(spec, objective) for objective in spec.objectives]
    parts = {"health": health_alerts(spec), "gpu": gpu_alerts(spec), "watching": watching_alerts()}
    health = [Group(name, HEALTH_EVERY, alerts) for name, alerts in parts.items()]
    files = {"objectives": objectives, "health": health, "fleet": _fleet_groups(spec)}
    return {name: {"groups": [group.as_group(sites) for group in groups]} for name, groups in files.items()}


def _objective_group(spec: Spec, objective: Objective) -> Group:
    """Return one group per objective, so that they are evaluated side by side and one that fails hurts no other."""
    rules: list[Recording | Alert] = [*recordings(objective, spec.pool(objective.pool)), *burn_alerts(objective)]
    return Group(f"objective-{objective.id}", OBJECTIVES_EVERY, rules)


def _fleet_groups(spec: Spec) -> list[Group]:
    """Return the fleet's series and what reads them in one group, in order; what changes slowly in another."""
    fingerprints = [one for pool in spec.pools for one in fingerprint_recordings(pool)]
    return [
        Group("fleet-memory", MEMORY_EVERY, memory_recordings()),
        Group("fleet", FLEET_EVERY, [*fleet_recordings(), *fingerprints]),
    ]


def _prometheus_rule(name: str, rules: dict[str, Any]) -> str:
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "plimsoll"}},
        "spec": rules,
    }
    return to_yaml(document, "For the Prometheus operator.")
