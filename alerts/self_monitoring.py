"""Alerts on Plimsoll's own parts, and on the alerting pipeline: Prometheus and Alertmanager."""

from plimsoll.alerts.rules import Alert, Severity
from plimsoll.alerts.templates import COLLECTOR, DURATION, INSTANCE, PERCENT, VALUE
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.units import duration_text

# Alerts that routing inhibits or sends elsewhere.
COLLECTOR_FAILING = "PlimsollCollectorFailing"
ENGINE_METRIC_MISSING = "PlimsollEngineMetricMissing"
WATCHDOG = "Watchdog"

GROUP = "plimsoll-"  # prefix of our rule groups' names
PAGERS = "pagerduty|opsgenie|victorops|incidentio|jira|pushover|sns|webhook"  # integrations that reach an on-call
FAILED_LEAST = 3  # notifications in ten minutes: Alertmanager retries each, so that one that fails is an exception
LAG = 900.0  # seconds: three slots of the ledger
# Data coverage below which an SLO's window counts as incomplete, if coverage is still falling.
COVERAGE = 0.95
# Metrics of Prometheus and Alertmanager, as in their mixins (prometheus/prometheus, documentation/prometheus-mixin, and
# prometheus/alertmanager, doc/alertmanager-mixin). They exist where Prometheus scrapes itself and Alertmanager.
RULE_FAILURES = "prometheus_rule_evaluation_failures_total"
RULES_MISSED = "prometheus_rule_group_iterations_missed_total"
ALERTS_SENT, ALERTS_FAILED = "prometheus_notifications_sent_total", "prometheus_notifications_errors_total"
NOTIFIED, NOTIFY_FAILED = "alertmanager_notifications_total", "alertmanager_notifications_failed_total"
PROMETHEUS_RELOADED = "prometheus_config_last_reload_successful"
ALERTMANAGER_RELOADED = "alertmanager_config_last_reload_successful"
FOREIGN = {
    *(RULE_FAILURES, RULES_MISSED, ALERTS_SENT, ALERTS_FAILED, PROMETHEUS_RELOADED),
    *(NOTIFIED, NOTIFY_FAILED, ALERTMANAGER_RELOADED),
    "up",
}


def self_monitoring_alerts() -> list[Alert]:
    """Return every alert on Plimsoll's own parts, and the watchdog."""
    return [*_collectors(), *_service(), _watchdog()]


def meta_alerts() -> list[Alert]:
    """Return the alerts on Prometheus and Alertmanager, by the names that their own mixins use."""
    return [
        *_rule_evaluation(),
        _sending_alerts(),
        _reload_failed("PrometheusBadConfig", PROMETHEUS_RELOADED),
        _reload_failed("AlertmanagerFailedReload", ALERTMANAGER_RELOADED),
        *_notifications(),
    ]


def _collectors() -> list[Alert]:
    return [
        Alert(
            name=COLLECTOR_FAILING,
            severity="ticket",
            expr=f"min by (instance, collector, cluster, region) ({c.COLLECTOR_SUCCESS}) == 0",
            hold=600,
            summary=f"A collector on {INSTANCE} is failing.",
            description=f"Collector {COLLECTOR} on {INSTANCE} has failed for 10 minutes. Its metrics are missing.",
            panel=links.COLLECTORS,
        ),
        Alert(
            name=ENGINE_METRIC_MISSING,
            severity="ticket",
            expr=f"max by (instance, collector, metric, cluster, region) ({c.METRIC_MISSING}) == 1",
            hold=600,
            summary=f"An engine on {INSTANCE} lacks an expected metric.",
            description=(
                f"Collector {COLLECTOR} on {INSTANCE} doesn't find {{{{ $labels.metric }}}}, which this engine version should "
                "expose. Alerts that use it can't fire."
            ),
            panel=links.COLLECTORS,
        ),
    ]


def _service() -> list[Alert]:
    return [
        Alert(
            name="PlimsollIngestLagHigh",
            severity="ticket",
            expr=f"min({c.INGEST_LAG}) > {LAG:g}",
            hold=60,
            summary="The SLO service lags behind its data source.",
            description=(
                f"The ledger was last updated {DURATION} ago (threshold {duration_text(LAG)}). "
                "Budgets and recommendations are out of date."
            ),
            panel=links.BUDGET,
            path="/-/ready",
        ),
        Alert(
            name="PlimsollServiceDown",
            severity="ticket",
            expr=f"absent({c.INGEST_LAG})",
            hold=900,
            summary="The SLO service isn't reporting.",
            description=(
                "Prometheus has received no metrics from the SLO service for 15 minutes. "
                "Budgets and recommendations may be unavailable."
            ),
            panel=links.BUDGET,
            path="/-/ready",
        ),
        _review(),
        _coverage(),
    ]


def _review() -> Alert:
    return Alert(
        name="PlimsollReviewNotDelivered",
        severity="ticket",
        expr=f"min by (receiver) ({c.REVIEW_DELIVERED}) == 0",
        hold=7 * 3600,  # the service makes ten attempts over six hours
        summary="{{ $labels.receiver }} didn't get the last weekly review.",
        description=(
            "The SLO service has stopped trying to send the last weekly review to {{ $labels.receiver }}. "
            "The review itself is saved, and its page shows it."
        ),
        panel=links.ALERTS,
        path="/reviews",
    )


def _coverage() -> Alert:
    coverage = f"min by (objective) ({c.COVERAGE}%s)"
    return Alert(
        name="SLODataCoverageLow",
        severity="ticket",
        expr=f"{coverage % ''} < {COVERAGE}\nand {coverage % ''} < {coverage % ' offset 6h'}",
        summary="{{ $labels.objective }} is missing data in its SLO window.",
        description=(
            f"Only {PERCENT} of the window of {{{{ $labels.objective }}}} has data, less than 6 hours ago. "
            "Its error budget covers that part only."
        ),
        panel=links.COVERAGE,
        variables={"objective": "{{ $labels.objective }}"},
    )


def _rule_evaluation() -> list[Alert]:
    """Rules of ours alone, failing for ten minutes: one failure corrects itself, and other teams have their own alerts."""
    ours = f'{{rule_group=~".*;{GROUP}.*"}}'
    failures, missed = (
        f"sum by (instance, rule_group) (increase({name}{ours}[5m])) > 0" for name in (RULE_FAILURES, RULES_MISSED)
    )
    group = "{{ $labels.rule_group | reReplaceAll `.*;` `` }}"
    return [
        Alert(
            name="PrometheusRuleFailures",
            severity="page",
            expr=failures,
            hold=600,
            summary="Prometheus is failing rule evaluations.",
            description=(
                f"Prometheus {INSTANCE} failed {VALUE} evaluations of {group} in 5 minutes. Alerts in it can't fire."
            ),
            panel=links.ALERTS,
        ),
        Alert(
            name="PrometheusMissingRuleEvaluations",
            severity="ticket",
            expr=missed,
            hold=600,
            summary="Prometheus is missing rule evaluations.",
            description=(
                f"Prometheus {INSTANCE} missed {VALUE} evaluations of {group} in 5 minutes because it is overloaded. "
                "Alerts are delayed."
            ),
            panel=links.ALERTS,
        ),
    ]


def _sending_alerts() -> Alert:
    sent, failed = (f"sum by (instance, alertmanager) (rate({name}[10m]))" for name in (ALERTS_SENT, ALERTS_FAILED))
    return Alert(
        name="PrometheusErrorSendingAlertsToSomeAlertmanagers",
        severity="ticket",
        expr=f"{failed} / {sent} > 0.01",
        hold=600,
        summary="Prometheus has errors sending alerts.",
        description=(
            f"{PERCENT} of alerts from Prometheus {INSTANCE} to {{{{ $labels.alertmanager }}}} failed over 10 minutes."
        ),
        panel=links.ALERTS,
    )


def _reload_failed(name: str, metric: str) -> Alert:
    return Alert(
        name=name,
        severity="ticket",
        expr=f"max by (job, instance) ({metric}) == 0",
        hold=300,
        summary="A configuration reload failed.",
        description=(
            f"{{{{ $labels.job }}}} on {INSTANCE} failed to reload its configuration and still runs the previous one."
        ),
        panel=links.ALERTS,
    )


def _notifications() -> list[Alert]:
    """Notifications that fail repeatedly: a page for what pages people, a ticket for chats and mails. One failure is neither."""
    severities: dict[str, Severity] = {"=~": "page", "!~": "ticket"}
    return [_undelivered(f'{{integration{op}"{PAGERS}"}}', severity) for op, severity in severities.items()]


def _undelivered(of: str, severity: Severity) -> Alert:
    tried, failed = (
        f"sum by (instance, integration) (increase({name}{of}[10m]))" for name in (NOTIFIED, NOTIFY_FAILED)
    )
    return Alert(
        name="AlertmanagerFailedToSendAlerts",
        severity=severity,
        expr=f"{failed} / {tried} > 0.01\nand {failed} >= {FAILED_LEAST - 0.5}",
        hold=300,
        summary="Alertmanager is failing to send notifications.",
        description=(
            f"Alertmanager {INSTANCE} failed to send {PERCENT} of notifications to {{{{ $labels.integration }}}} "
            "over 10 minutes."
        ),
        panel=links.ALERTS,
    )


def _watchdog() -> Alert:
    return Alert(
        name=WATCHDOG,
        severity="info",
        expr="vector(1)",
        summary="The alerting pipeline is working.",
        description="Always fires. Configure a dead man's switch that pages you when it stops.",
        panel=links.COLLECTORS,
        path="/-/healthy",
    )
