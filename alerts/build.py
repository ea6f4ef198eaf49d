"""Every file of `alerts/generated`, a pure function of the objectives: the same input gives the same bytes."""

from collections.abc import Sequence
from typing import Any

from plimsoll.alerts.burn_rate import burn_alerts
from plimsoll.alerts.fleet import fleet_recordings, last_seen_recordings
from plimsoll.alerts.gpu import gpu_alerts
from plimsoll.alerts.incident_signatures import signature_recordings
from plimsoll.alerts.pool import pool_alerts
from plimsoll.alerts.receivers import Receivers
from plimsoll.alerts.recording import recordings
from plimsoll.alerts.routing import config
from plimsoll.alerts.rules import Alert, Group, Recording, Sites, to_yaml
from plimsoll.alerts.self_monitoring import meta_alerts, self_monitoring_alerts
from plimsoll.slo.spec.objectives import Objective, Spec

# Seconds between evaluations. Recorded values don't depend on them; they bound the delay of an alert.
OBJECTIVES_EVERY = 30
HEALTH_EVERY = 15
FLEET_EVERY = 30
LAST_SEEN_EVERY = 60


def render(
    spec: Spec, sites: Sites | None = None, receivers: Receivers | None = None, *, meta: bool = True
) -> dict[str, str]:
    """Return every generated file as {name: text}. Without `meta`, alerts on Prometheus and Alertmanager are left out."""
    sites, receivers = sites or Sites(), receivers or Receivers()
    objectives = [_objective_group(spec, objective).as_group(sites) for objective in spec.objectives]
    parts = {"pools": pool_alerts(spec), "gpus": gpu_alerts(spec), "plimsoll": self_monitoring_alerts()}
    parts |= {"meta": meta_alerts()} if meta else {}
    health = [Group(name, HEALTH_EVERY, alerts).as_group(sites) for name, alerts in parts.items()]
    fleet = [group.as_group(sites) for group in _fleet_groups(spec)]
    return {
        "objectives.rules.yml": to_yaml({"groups": objectives}, "Recorded series and burn-rate alerts."),
        "health.rules.yml": to_yaml({"groups": health}, "Saturation and health alerts."),
        "fleet.rules.yml": to_yaml({"groups": fleet}, "Recorded series for dashboards, and incident signatures."),
        "alertmanager.yml": to_yaml(config(spec, receivers, sites), "For Alertmanager 0.25 and later."),
        "kubernetes/objectives.yaml": _prometheus_rule("plimsoll-objectives", objectives),
        "kubernetes/health.yaml": _prometheus_rule("plimsoll-health", health),
        "kubernetes/fleet.yaml": _prometheus_rule("plimsoll-fleet", fleet),
    }


def _objective_group(spec: Spec, objective: Objective) -> Group:
    """Return one group per SLO, so that they are evaluated in parallel and a failing one doesn't stop the others."""
    rules: list[Recording | Alert] = [*recordings(objective, spec.pool(objective.pool)), *burn_alerts(objective)]
    return Group(f"objective-{objective.id}", OBJECTIVES_EVERY, rules)


def _fleet_groups(spec: Spec) -> list[Group]:
    """Return the fleet's series and the signatures that read them, in order, and a second group of what changes slowly."""
    signatures = [one for pool in spec.pools for one in signature_recordings(pool)]
    return [
        Group("fleet-last-seen", LAST_SEEN_EVERY, last_seen_recordings()),
        Group("fleet", FLEET_EVERY, [*fleet_recordings(), *signatures]),
    ]


def _prometheus_rule(name: str, groups: Sequence[dict[str, Any]]) -> str:
    """Wrap the same groups for the Prometheus operator."""
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "plimsoll"}},
        "spec": {"groups": list(groups)},
    }
    return to_yaml(document, "For the Prometheus operator.")
