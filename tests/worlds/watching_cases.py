"""Cases of the alerts on whoever watches (`health_cases.Case`)."""

from typing import Any

from health_cases import END, NODE, Case, Given, flat, given, ramp
from plimsoll.alerts import self_monitoring
from plimsoll.slo import links
from plimsoll.slo import metrics as c


def _watched(alert: str, over: list[Given], under: list[Given], **rest: Any) -> Case:
    severity = rest.pop("severity", "ticket")
    return Case(
        alert,
        severity,
        over,
        under,
        {"severity": severity, **rest.pop("labels")},
        panel=rest.pop("panel", links.ALERTS),
        **rest,
    )


_PROMETHEUS, _MANAGER = {"instance": "prometheus:9090"}, {"instance": "alertmanager:9093"}
_RULES = {**_PROMETHEUS, "rule_group": "/etc/rules/health.rules.yml;health"}
_TARGET = {**_PROMETHEUS, "alertmanager": "http://a:9093"}
_PAGER = {**_MANAGER, "integration": "pagerduty"}
_GONE = {**NODE, "collector": "vllm", "metric": c.KV_CACHE_USAGE.name}

WATCHERS = [
    _watched(
        "PlimsollEngineMetricMissing",
        over=[given(c.METRIC_MISSING, flat(1), **_GONE)],
        under=[given(c.METRIC_MISSING, f"0x{END - 30} 1x30", **_GONE)],
        labels=_GONE,
        summary=f"node-a:9800: {c.KV_CACHE_USAGE} is gone",
        description=f"The page that collector vllm of node-a:9800 reads lacks {c.KV_CACHE_USAGE}, which its engine and version should "
        "have: alerts that read it are blind there.",
        panel=links.COLLECTORS,
    ),
    _watched(
        "SLODataCoverageLow",
        over=[given(c.COVERAGE, f"0.95x{END} _x{3 * END - 20} 0.9x20", objective="chat-ttft", instance="slo:8080")],
        under=[given(c.COVERAGE, f"0.5x{END} _x{3 * END - 20} 0.6x20", objective="chat-ttft", instance="slo:8080")],
        at="8h",
        labels={"objective": "chat-ttft"},
        url={"objective": "chat-ttft"},
        summary="chat-ttft: only 90% of its window observed",
        description="The ledger has seen 90% of the window of chat-ttft, less than six hours ago: its budget is known for that part only.",
        panel=links.COVERAGE,
    ),
    _watched(
        "PrometheusRuleFailures",
        severity="page",
        over=[given(self_monitoring.RULE_FAILURES, ramp(1), **_RULES)],
        under=[given(self_monitoring.RULE_FAILURES, flat(5), **_RULES)],
        labels=_RULES,
        summary="Prometheus: rules of health fail",
        description="40 evaluations of rules in health failed within 10 minutes at prometheus:9090: alerts that depend on them are blind.",
    ),
    _watched(
        "PrometheusMissingRuleEvaluations",
        over=[given(self_monitoring.RULES_MISSED, ramp(1), **_RULES)],
        under=[given(self_monitoring.RULES_MISSED, flat(5), **_RULES)],
        labels=_RULES,
        summary="Prometheus: rules of health are late",
        description="40 evaluations of health were left out within 10 minutes at prometheus:9090: it is too busy, and alerts come late.",
    ),
    _watched(
        "PrometheusErrorSendingAlertsToSomeAlertmanagers",
        over=[
            given(self_monitoring.ALERTS_SENT, ramp(100), **_TARGET),
            given(self_monitoring.ALERTS_FAILED, ramp(2), **_TARGET),
        ],
        under=[
            given(self_monitoring.ALERTS_SENT, ramp(100), **_TARGET),
            given(self_monitoring.ALERTS_FAILED, ramp(0.9), **_TARGET),
        ],
        labels=_TARGET,
        summary="Prometheus: 2% of alerts do not reach Alertmanager",
        description="prometheus:9090 could not hand 2% of its alerts to http://a:9093 over 10 minutes.",
    ),
    _watched(
        "ConfigReloadFailed",
        over=[given(self_monitoring.RELOADED[1], flat(0), **_MANAGER, job="alertmanager")],
        under=[given(self_monitoring.RELOADED[0], flat(1), **_PROMETHEUS, job="prometheus")],
        labels={**_MANAGER, "job": "alertmanager"},
        summary="alertmanager:9093: configuration rejected",
        description="alertmanager at alertmanager:9093 could not read its configuration and runs on with the old one: changed rules "
        "and routes are not in force.",
    ),
    _watched(
        "AlertmanagerFailedToSendAlerts",
        severity="page",
        over=[
            given(self_monitoring.NOTIFIED, ramp(50), **_PAGER),
            given(self_monitoring.NOTIFY_FAILED, ramp(1), **_PAGER),
        ],
        under=[
            given(self_monitoring.NOTIFIED, ramp(50), **_PAGER),
            given(self_monitoring.NOTIFY_FAILED, ramp(0.4), **_PAGER),
        ],
        labels=_PAGER,
        summary="Alertmanager: 2% of messages to pagerduty fail",
        description="alertmanager:9093 could not deliver 2% of what it sent to pagerduty over 10 minutes: nobody hears of it.",
    ),
]
