"""Every file of `alerts/generated`, a pure function of the objectives: the same input gives the same bytes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from plimsoll.alerts.budget_states import budget_alerts
from plimsoll.alerts.burn_rate import burn_alerts
from plimsoll.alerts.fleet import fleet_recordings, last_seen_recordings
from plimsoll.alerts.gpus.groups import baseline_recordings
from plimsoll.alerts.gpus.health import gpu_alerts
from plimsoll.alerts.identity import identity_recordings
from plimsoll.alerts.incident_signatures import signature_recordings
from plimsoll.alerts.notify.impact import impact_recordings, ranked
from plimsoll.alerts.notify.prometheus_operator import alertmanager_config, prometheus_rule
from plimsoll.alerts.notify.receivers import Receivers
from plimsoll.alerts.notify.routing import config, fragment
from plimsoll.alerts.pool import pool_alerts
from plimsoll.alerts.recording import recordings, window_recordings
from plimsoll.alerts.rules import Alert, Group, Recording, Sites, to_yaml
from plimsoll.alerts.self_monitoring import GROUP, meta_alerts, self_monitoring_alerts
from plimsoll.alerts.topology.groups import group_recordings
from plimsoll.alerts.traffic import idle_recordings, traffic_alerts, traffic_recordings
from plimsoll.slo.spec.objectives import Objective, Spec

# Seconds between evaluations. Recorded values don't depend on them; they bound the delay of an alert.
OBJECTIVES_EVERY = 30
DAYS_EVERY = 120  # for tickets only
HEALTH_EVERY = 15
FLEET_EVERY = 30
LAST_SEEN_EVERY = 60
BASELINES_EVERY = 120
HISTORY_EVERY = 300


def render(
    spec: Spec, sites: Sites | None = None, receivers: Receivers | None = None, *, meta: bool = True
) -> dict[str, str]:
    """Return every generated file as {name: text}. Without `meta`, alerts on Prometheus and Alertmanager are left out."""
    sites, receivers = sites or Sites(), receivers or Receivers()
    heads = {
        "objectives": "Recorded series and burn-rate alerts.",
        "health": "Saturation and health alerts.",
        "fleet": "Recorded series for dashboards, and incident signatures.",
    }
    rules = {f"{name}.rules.yml": to_yaml(found, heads[name]) for name, found in _rules(spec, sites, meta).items()}
    whole = config(spec, receivers, sites)
    return {
        **rules,
        "alertmanager.yml": to_yaml(whole, "For Alertmanager 0.25 and later."),
        "alertmanager-fragment.yml": to_yaml(
            fragment(whole), "For an Alertmanager with routes of its own: merge each list into its."
        ),
    }


def render_kubernetes(spec: Spec, sites: Sites, *, meta: bool = True) -> dict[str, str]:
    """Return the same rules for the Prometheus operator, as {name: text} of one PrometheusRule each."""
    return {
        f"kubernetes/{name}.yaml": to_yaml(prometheus_rule(f"plimsoll-{name}", found), "For the Prometheus operator.")
        for name, found in _rules(spec, sites, meta).items()
    }


def render_alertmanager_config(spec: Spec, receivers: Receivers | None = None, sites: Sites | None = None) -> str:
    """Return the text of an AlertmanagerConfig's spec, which routes as `alertmanager.yml` does."""
    found = alertmanager_config(spec, receivers or Receivers(), sites or Sites())
    return to_yaml(found, "The spec of an AlertmanagerConfig, for the Prometheus operator.")


def _rules(spec: Spec, sites: Sites, meta: bool) -> dict[str, dict[str, Any]]:
    """Return each rule file's content, by the name of the file without its suffix."""
    objectives = [
        *(_objective_group(spec, objective) for objective in spec.objectives),
        _group(spec, "burn-rates", OBJECTIVES_EVERY, window_recordings(spec.objectives, longest=False)),
        _group(spec, "burn-rates-of-days", DAYS_EVERY, window_recordings(spec.objectives, longest=True)),
    ]
    parts = {"pools": [*pool_alerts(spec), *traffic_alerts(spec)], "gpus": gpu_alerts(spec)}
    parts |= {"plimsoll": self_monitoring_alerts()} | ({"meta": meta_alerts()} if meta else {})
    health = [
        _group(spec, "identity", LAST_SEEN_EVERY, identity_recordings(spec)),
        _group(spec, "groups", HEALTH_EVERY, group_recordings()),
        _group(spec, "impact", HEALTH_EVERY, impact_recordings(spec)),
        _group(spec, "traffic", FLEET_EVERY, traffic_recordings(spec)),
        _group(spec, "traffic-history", HISTORY_EVERY, idle_recordings(spec)),
        _group(spec, "budgets", HISTORY_EVERY, budget_alerts(spec)),
        *(_group(spec, name, HEALTH_EVERY, alerts) for name, alerts in parts.items()),
    ]
    files = {"objectives": objectives, "health": health, "fleet": _fleet_groups(spec)}
    return {name: {"groups": [one.as_group(sites) for one in groups if one.rules]} for name, groups in files.items()}


def _group(spec: Spec, name: str, interval: float, rules: Sequence[Recording | Alert]) -> Group:
    """Return a group of ours, with the impact of its pages."""
    found = [_with_runbook(spec, ranked(rule)) if isinstance(rule, Alert) else rule for rule in rules]
    return Group(f"{GROUP}{name}", interval, found)


def _with_runbook(spec: Spec, alert: Alert) -> Alert:
    """Return a pool's alert with what its runbook needs of the objectives file: the model, and the owner to escalate to."""
    if not alert.pool:
        return alert
    pool = spec.pool(alert.pool)
    return replace(alert, runbook={"model": pool.model, **({"owner": pool.owner} if pool.owner else {})})


def _objective_group(spec: Spec, objective: Objective) -> Group:
    """Return one group per SLO, so that they are evaluated in parallel and a failing one doesn't stop the others."""
    rules: list[Recording | Alert] = [
        *recordings(objective, spec.pool(objective.pool)),
        *burn_alerts(objective, spec.exclusions),
    ]
    return _group(spec, f"objective-{objective.id}", OBJECTIVES_EVERY, rules)


def _fleet_groups(spec: Spec) -> list[Group]:
    """Return the fleet's series and the signatures that read them, in order, and a second group of what changes slowly."""
    signatures = [one for pool in spec.pools for one in signature_recordings(pool)]
    return [
        _group(spec, "fleet-last-seen", LAST_SEEN_EVERY, last_seen_recordings(spec)),
        _group(spec, "gpu-baselines", BASELINES_EVERY, baseline_recordings()),
        _group(spec, "fleet", FLEET_EVERY, [*fleet_recordings(spec), *signatures]),
    ]
