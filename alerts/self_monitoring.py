"""Alerts on whoever watches: collectors, the ledger, Prometheus, Alertmanager, and the chain between them."""

from plimsoll.alerts.rules import Alert
from plimsoll.alerts.templates import INSTANCE, PERCENT, SECONDS, VALUE
from plimsoll.slo import links
from plimsoll.slo import metrics as c

LAG = 900  # seconds: three slots of the ledger
# Share of an objective's window that must be observed; less of it, and still falling, is a ledger that loses sight.
COVERAGE = 0.95
# Prometheus' and Alertmanager's own metrics, as in their mixins (prometheus/prometheus and prometheus/alertmanager,
# documentation/ and doc/): there where Prometheus scrapes itself and Alertmanager.
RULE_FAILURES = "prometheus_rule_evaluation_failures_total"
RULES_MISSED = "prometheus_rule_group_iterations_missed_total"
ALERTS_SENT, ALERTS_FAILED = "prometheus_notifications_sent_total", "prometheus_notifications_errors_total"
NOTIFIED, NOTIFY_FAILED = "alertmanager_notifications_total", "alertmanager_notifications_failed_total"
RELOADED = ("prometheus_config_last_reload_successful", "alertmanager_config_last_reload_successful")
FOREIGN = {RULE_FAILURES, RULES_MISSED, ALERTS_SENT, ALERTS_FAILED, NOTIFIED, NOTIFY_FAILED, *RELOADED, "up"}


def watching_alerts() -> list[Alert]:
    """List every alert about our own sight, and about the chain that carries alerts."""
    return [*_collectors(), *_service(), *_prometheus(), _notifications(), _watchdog()]


def _collectors() -> list[Alert]:
    return [
        Alert(
            name="PlimsollCollectorFailing",
            severity="ticket",
            expr=f"{c.COLLECTOR_SUCCESS} == 0",
            hold=600,
            summary=f"{INSTANCE}: collector {{{{ $labels.collector }}}} fails",
            description=f"The collector {{{{ $labels.collector }}}} of {INSTANCE} has not answered for 10 minutes; its numbers are missing.",
            panel=links.COLLECTORS,
        ),
        Alert(
            name="PlimsollEngineMetricMissing",
            severity="ticket",
            expr=f"max by (instance, collector, metric) ({c.METRIC_MISSING}) == 1",
            hold=600,
            summary=f"{INSTANCE}: {{{{ $labels.metric }}}} is gone",
            description=(
                f"The page that collector {{{{ $labels.collector }}}} of {INSTANCE} reads lacks {{{{ $labels.metric }}}}, which its engine "
                "and version should have: alerts that read it are blind there."
            ),
            panel=links.COLLECTORS,
        ),
    ]


def _service() -> list[Alert]:
    coverage = f"min by (objective) ({c.COVERAGE}%s)"
    return [
        Alert(
            name="PlimsollIngestLagHigh",
            severity="ticket",
            expr=f"min({c.INGEST_LAG}) > {LAG}",
            hold=60,
            summary=f"SLO service: ledger {SECONDS} behind",
            description=f"The ledger last booked {SECONDS} ago (alarm above {LAG} s); budgets and recommendations are that old.",
            panel=links.BUDGET,
            path="/-/ready",
        ),
        Alert(
            name="PlimsollServiceDown",
            severity="ticket",
            expr=f"absent({c.INGEST_LAG})",
            hold=900,
            summary="SLO service gives no sign of life",
            description="For 15 minutes Prometheus has had no number from the SLO service: no budgets, no recommendations, no runbooks from it.",
            panel=links.BUDGET,
            path="/-/ready",
        ),
        Alert(
            name="SLODataCoverageLow",
            severity="ticket",
            expr=f"{coverage % ''} < {COVERAGE}\nand {coverage % ''} < {coverage % ' offset 6h'}",
            summary=f"{{{{ $labels.objective }}}}: only {PERCENT} of its window observed",
            description=(
                f"The ledger has seen {PERCENT} of the window of {{{{ $labels.objective }}}}, less than six hours ago: its budget is known "
                "for that part only."
            ),
            panel=links.COVERAGE,
            variables={"objective": "{{ $labels.objective }}"},
        ),
    ]


def _prometheus() -> list[Alert]:
    failures, missed = (
        f"sum by (instance, rule_group) (increase({name}[10m])) > 0" for name in (RULE_FAILURES, RULES_MISSED)
    )
    group = "{{ $labels.rule_group | reReplaceAll `.*;` `` }}"
    sent, lost = (f"sum by (instance, alertmanager) (rate({name}[10m]))" for name in (ALERTS_SENT, ALERTS_FAILED))
    reloads = " or ".join(f"max by (job, instance) ({name}) == 0" for name in RELOADED)
    return [
        Alert(
            name="PrometheusRuleFailures",
            severity="page",
            expr=failures,
            hold=300,
            summary=f"Prometheus: rules of {group} fail",
            description=f"{VALUE} evaluations of rules in {group} failed within 10 minutes at {INSTANCE}: alerts that depend on them are blind.",
            panel=links.ALERTS,
        ),
        Alert(
            name="PrometheusMissingRuleEvaluations",
            severity="ticket",
            expr=missed,
            hold=600,
            summary=f"Prometheus: rules of {group} are late",
            description=f"{VALUE} evaluations of {group} were left out within 10 minutes at {INSTANCE}: it is too busy, and alerts come late.",
            panel=links.ALERTS,
        ),
        Alert(
            name="PrometheusErrorSendingAlertsToSomeAlertmanagers",
            severity="ticket",
            expr=f"{lost} / {sent} > 0.01",
            hold=600,
            summary=f"Prometheus: {PERCENT} of alerts do not reach Alertmanager",
            description=f"{INSTANCE} could not hand {PERCENT} of its alerts to {{{{ $labels.alertmanager }}}} over 10 minutes.",
            panel=links.ALERTS,
        ),
        Alert(
            name="ConfigReloadFailed",
            severity="ticket",
            expr=reloads,
            hold=300,
            summary=f"{INSTANCE}: configuration refused",
            description=f"{{{{ $labels.job }}}} at {INSTANCE} could not read its configuration and runs on with the old one: changed rules and routes are not in force.",
            panel=links.ALERTS,
        ),
    ]


def _notifications() -> Alert:
    tried, failed = (f"sum by (instance, integration) (rate({name}[10m]))" for name in (NOTIFIED, NOTIFY_FAILED))
    return Alert(
        name="AlertmanagerFailedToSendAlerts",
        severity="page",
        expr=f"{failed} / {tried} > 0.01",
        hold=300,
        summary=f"Alertmanager: {PERCENT} of messages to {{{{ $labels.integration }}}} fail",
        description=f"{INSTANCE} could not deliver {PERCENT} of what it sent to {{{{ $labels.integration }}}} over 10 minutes: nobody hears of it.",
        panel=links.ALERTS,
    )


def _watchdog() -> Alert:
    return Alert(
        name="Watchdog",
        severity="info",
        expr="vector(1)",
        summary="The alarm chain works",
        description="Always firing. Whoever receives it should raise the alarm when it stops coming.",
        panel=links.COLLECTORS,
        path="/-/healthy",
    )
