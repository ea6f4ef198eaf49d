"""Cases of the alerts on Plimsoll's own parts, Prometheus, and Alertmanager (`health_cases.Case`)."""

from typing import Any

from health_cases import END, NODE, Case, Given, flat, given, ramp
from plimsoll.alerts import self_monitoring
from plimsoll.slo import links
from plimsoll.slo import metrics as c


def _case(alert: str, over: list[Given], under: list[Given], **rest: Any) -> Case:
    severity = rest.pop("severity", "ticket")
    return Case(
        alert,
        severity,
        over,
        under,
        {"severity": severity, **({"impact": "risk"} if severity == "page" else {}), **rest.pop("labels")},
        panel=rest.pop("panel", links.ALERTS),
        **rest,
    )


_PROMETHEUS, _MANAGER = {"instance": "prometheus:9090"}, {"instance": "alertmanager:9093"}
_RULES = {**_PROMETHEUS, "rule_group": "/etc/rules/health.rules.yml;plimsoll-pools"}
_TARGET = {**_PROMETHEUS, "alertmanager": "http://a:9093"}
_PAGER = {**_MANAGER, "integration": "pagerduty"}
_CHAT = {**_MANAGER, "integration": "slack"}
_MISSING = {**NODE, "collector": "vllm", "metric": c.KV_CACHE_USAGE.name}

SELF_MONITORING = [
    _case(
        "PlimsollEngineMetricMissing",
        over=[given(c.METRIC_MISSING, flat(1), **_MISSING)],
        under=[given(c.METRIC_MISSING, f"0x{END - 30} 1x30", **_MISSING)],
        labels=_MISSING,
        summary="An engine on node-a:9800 lacks an expected metric.",
        description=f"Collector vllm on node-a:9800 doesn't find {c.KV_CACHE_USAGE}, which this engine version should expose. "
        "Alerts that use it can't fire.",
        panel=links.COLLECTORS,
    ),
    _case(
        "SLODataCoverageLow",
        over=[given(c.COVERAGE, f"0.95x{END} _x{3 * END - 20} 0.9x20", objective="chat-ttft", instance="slo:8080")],
        under=[given(c.COVERAGE, f"0.5x{END} _x{3 * END - 20} 0.6x20", objective="chat-ttft", instance="slo:8080")],
        at="8h",
        labels={"objective": "chat-ttft"},
        url={"objective": "chat-ttft"},
        summary="chat-ttft is missing data in its SLO window.",
        description="Only 90% of the window of chat-ttft has data, less than 6 hours ago. Its error budget covers that part only.",
        panel=links.COVERAGE,
    ),
    _case(
        "PlimsollReviewNotDelivered",
        over=[given(c.REVIEW_DELIVERED, f"0x{4 * END}", receiver="email", instance="slo:8080")],
        under=[given(c.REVIEW_DELIVERED, f"0x{3 * END} 1x{END}", receiver="email", instance="slo:8080")],
        at="8h",
        labels={"receiver": "email"},
        summary="email didn't get the last weekly review.",
        description="The SLO service has stopped trying to send the last weekly review to email. The review itself is saved, and its page "
        "shows it.",
        path="/reviews",
    ),
    _case(
        "PrometheusRuleFailures",
        severity="page",
        over=[given(self_monitoring.RULE_FAILURES, ramp(1), **_RULES)],
        under=[given(self_monitoring.RULE_FAILURES, flat(5), **_RULES)],
        labels=_RULES,
        summary="Prometheus is failing rule evaluations.",
        description="Prometheus prometheus:9090 failed 20 evaluations of plimsoll-pools in 5 minutes. Alerts in it can't fire.",
    ),
    _case(
        "PrometheusMissingRuleEvaluations",
        over=[given(self_monitoring.RULES_MISSED, ramp(1), **_RULES)],
        under=[given(self_monitoring.RULES_MISSED, flat(5), **_RULES)],
        labels=_RULES,
        summary="Prometheus is missing rule evaluations.",
        description="Prometheus prometheus:9090 missed 20 evaluations of plimsoll-pools in 5 minutes because it is overloaded. "
        "Alerts are delayed.",
    ),
    _case(
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
        summary="Prometheus has errors sending alerts.",
        description="2% of alerts from Prometheus prometheus:9090 to http://a:9093 failed over 10 minutes.",
    ),
    *(
        _case(
            name,
            over=[given(metric, flat(0), **own)],
            under=[given(metric, flat(1), **own)],
            labels=own,
            summary="A configuration reload failed.",
            description=f"{own['job']} on {own['instance']} failed to reload its configuration and still runs the previous one.",
        )
        for name, metric, own in (
            ("PrometheusBadConfig", self_monitoring.PROMETHEUS_RELOADED, {**_PROMETHEUS, "job": "prometheus"}),
            ("AlertmanagerFailedReload", self_monitoring.ALERTMANAGER_RELOADED, {**_MANAGER, "job": "alertmanager"}),
        )
    ),
    _case(
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
        summary="Alertmanager is failing to send notifications.",
        description="Alertmanager alertmanager:9093 failed to send 2% of notifications to pagerduty over 10 minutes.",
    ),
    _case(
        "AlertmanagerFailedToSendAlerts",
        # of 40 in ten minutes all, and two
        over=[given(one, ramp(1), **_CHAT) for one in (self_monitoring.NOTIFIED, self_monitoring.NOTIFY_FAILED)],
        under=[
            given(self_monitoring.NOTIFIED, ramp(1), **_CHAT),
            given(self_monitoring.NOTIFY_FAILED, ramp(0.05), **_CHAT),
        ],
        labels=_CHAT,
        summary="Alertmanager is failing to send notifications.",
        description="Alertmanager alertmanager:9093 failed to send 100% of notifications to slack over 10 minutes.",
    ),
]
