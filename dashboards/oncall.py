"""The on-call dashboard, which a page opens: from user impact down to the cause."""

from typing import Any

from plimsoll.dashboards import common, drilldown, engine_panels, gpu_panels, no_data, panels, queries
from plimsoll.dashboards.panels import (
    BAD,
    GOOD,
    GREY,
    NEUTRAL,
    ORANGE,
    PINK,
    SKY,
    VERMILLION,
    WARN,
    Query,
    Section,
    Step,
    Text,
)
from plimsoll.slo import links, metrics
from plimsoll.slo.error_budget import burn_rate
from plimsoll.slo.metrics import recorded
from plimsoll.slo.sli import evidence
from plimsoll.slo.spec.objectives import Spec


def dashboard(spec: Spec) -> dict[str, Any]:
    """Build the on-call dashboard."""
    return panels.dashboard(
        links.ONCALL,
        "Plimsoll / On-call",
        "Read from top to bottom: user impact, pools and replicas, request phases, saturation, GPU health, changes.",
        variables=common.scope(spec),
        annotations=common.annotations(),
        links=common.LINKS,
        default_links=[common.TO_POOL],
        sections=[
            Section("", [(4, [*common.health_stats(), *_traffic(), common.simulated_stat()])]),
            Section("User impact", [(5, _budgets(spec)), (13, [_alerts(), _likely_cause(spec)]), (8, _outcomes())]),
            Section("Pools and replicas", [(9, _replicas(spec))]),
            Section(
                "Request phases",
                [(8, engine_panels.latencies(spec, True)), (8, engine_panels.phases(spec, True))],
            ),
            Section("Saturation", [(9, engine_panels.scheduler(spec)), (9, engine_panels.memory())]),
            Section("GPU health", [(9, gpu_panels.worst()), (8, [gpu_panels.stragglers()])]),
            Section("Changes", [(9, _changes(spec)), (8, [_collectors()])]),
        ],
    )


def _traffic() -> list[Any]:
    return [
        panels.stat(
            "Requests per second",
            f"Requests that ended, with any outcome. Source: {metrics.FINISHED}.",
            [Query(queries.rate(metrics.FINISHED))],
            unit="reqps",
            no_data=no_data.ENGINE,
            links=[_to(links.SERVED)],
        ),
        panels.stat(
            "Output tokens",
            f"Output tokens per second of the shown replicas. Source: {metrics.GENERATION_TOKENS}.",
            [Query(queries.rate(metrics.GENERATION_TOKENS))],
            unit="suffix: tok/s",
            no_data=no_data.ENGINE,
            links=[_to(links.TOKENS)],
        ),
    ]


def _to(panel: links.Panel) -> dict[str, Any]:
    return drilldown.link(panel.title, links.panel_url(panel, base=""))


def _budgets(spec: Spec) -> list[Any]:
    ticket = common.ticket_budget(spec)
    remaining = panels.stat(
        "Error budget remaining",
        "Fraction of each SLO's error budget that remains in its window, lowest first. Below 0% the SLO is missed. With less than a "
        "day of data (see data coverage) it is too early to judge. "
        f"Orange: less than one ticket's consumption remains ({ticket:.0%}). "
        f"Source: {metrics.BUDGET_REMAINING}.",
        [Query(f"sort({queries.by_slo(metrics.BUDGET_REMAINING)})", "{{objective}}")],
        unit="percentunit",
        decimals=1,
        no_data=no_data.SERVICE,
        base=BAD,
        steps=[Step(0, WARN), Step(ticket, GOOD)],
        links=[common.TO_BUDGET, common.TO_SLO],
    )
    return [remaining, _burn(spec)] if common.long_windows(spec) else [remaining]


def _burn(spec: Spec) -> Any:
    fastest = {one.id: tiers[0] for one in spec.objectives if (tiers := common.tiers(one))}
    has_bounds = {one.id for one in spec.objectives if one.has_bounds}
    by_window: dict[str, list[str]] = {}
    for name, tier in fastest.items():  # what its page reads: with bounds, the confirmed bad requests
        read = recorded.burn_rate(tier.long, name in has_bounds and burn_rate.USES_LOWER_BOUND[tier.severity])
        by_window.setdefault(read, []).append(name)
    return panels.stat(
        "Current burn rate",
        "Burn rate over the long window of the fastest page, highest first. A burn rate of 1 consumes the whole budget by the "
        "end of the SLO window. Red: above the page's threshold.",
        [
            Query(f"sort_desc({queries.of_pools(read, objective=tuple(names))})", "{{objective}}")
            for read, names in by_window.items()
        ],
        unit="suffix: ×",
        decimals=1,
        no_data=no_data.EVALUATION,
        base=GOOD,
        steps=[Step(1, WARN)],
        overrides=[
            panels.override(name, thresholds=panels.steps_of([Step(1, WARN), Step(round(tier.threshold, 3), BAD)]))
            for name, tier in fastest.items()
        ],
        links=[common.TO_BURN, common.TO_SLO],
    )


def _alerts() -> Any:
    by = "alertname, objective"  # one row per replica would bury the first alert; the runbook names the replica
    ranked = " or ".join(
        f"{rank} * {common.firing(severity)}" for rank, severity in ((2, "page"), (1, "ticket"), (0, "info"))
    )
    return panels.timeline(
        links.ALERTS.title,
        "Firing alerts over time. The first one is often the cause, the others its consequences. Source: ALERTS.",
        [Query(f"max by ({by}) ({ranked})", "{{alertname}} {{objective}}")],
        unit="none",
        no_data=no_data.ALERTS,
        texts={2: Text("page", BAD), 1: Text("ticket", WARN), 0: Text("info", NEUTRAL)},
    )


def _likely_cause(spec: Spec) -> Any:
    pool = " {{pool}}" if len(spec.pools) > 1 else ""
    return panels.timeline(
        links.LIKELY_CAUSE.title,
        "Incident signatures, from comparing the pool with an hour ago and its replicas with each other. Click one for its "
        f"runbook. No bar: no requests, or less than an hour of data. Source: {recorded.INCIDENT_SIGNATURE}.",
        [
            Query(
                f"max by (pool, signature) ({queries.of_pools(recorded.INCIDENT_SIGNATURE)})",
                f"{{{{signature}}}}{pool}",
            )
        ],
        unit="none",
        no_data=no_data.EVALUATION,
        texts={1: Text("detected", BAD), 0: Text("not detected", GOOD)},
        links=[drilldown.link("Runbook", f"{links.runbooks_url()}#${{__field.labels.signature}}"), common.TO_POOL],
    )


def _outcomes() -> list[Any]:
    finished, abandoned = metrics.FINISHED, metrics.ABANDONED
    return [
        panels.graph(
            links.LOST.title,
            "Requests that ended without a complete response. Requests abandoned while queued are derived from what the server "
            f"accepted, because engines don't count them. Source: {finished}, {metrics.REJECTED}, {abandoned}.",
            [
                Query(queries.rate(finished, reason=tuple(evidence.FAILED)), "failed"),
                Query(queries.rate(metrics.REJECTED), "rejected"),
                Query(queries.rate(abandoned, stage="queued"), "abandoned while queued"),
            ],
            unit="reqps",
            no_data=no_data.ENGINE,
            colors={"failed": VERMILLION, "rejected": ORANGE, "abandoned while queued": PINK},
        ),
        panels.graph(
            links.SERVED.title,
            "Completed requests, and those whose client disconnected while the response streamed (a user's stop or a broken "
            f"connection; neither good nor bad). Source: {finished}, {abandoned}.",
            [
                Query(queries.rate(finished, reason=tuple(evidence.SERVED)), "completed"),
                Query(queries.rate(abandoned, stage="streaming"), "abandoned while streaming"),
            ],
            unit="reqps",
            no_data=no_data.ENGINE,
            colors={"completed": SKY, "abandoned while streaming": GREY},
        ),
    ]


def _replicas(spec: Spec) -> list[Any]:
    return [
        engine_panels.replicas_up(),
        engine_panels.by_replica(
            links.TTFT_BY_REPLICA.title,
            "One line far above the others: one degraded replica. All lines high: the pool is too small.",
            metrics.TTFT,
            limits=common.latency_thresholds(spec, "time_to_first_token"),
        ),
        engine_panels.tokens_by_replica(),
    ]


def _changes(spec: Spec) -> list[Any]:
    return [
        engine_panels.uptime(),
        engine_panels.versions(spec),
        panels.graph(
            "Recommended nodes",
            f"Nodes that the SLO service recommends. Open the pool's page for the reasons. Source: {metrics.RECOMMENDED_NODES}.",
            [Query(f"max by (pool) ({queries.of_pools(metrics.RECOMMENDED_NODES.name)})", "{{pool}}")],
            unit="short",
            decimals=0,
            no_data=no_data.SERVICE,
            many=True,
        ),
    ]


def _collectors() -> Any:
    return panels.timeline(
        links.COLLECTORS.title,
        "Exporter collectors over time. The metrics of a failing collector are missing on every panel. "
        f"Source: {metrics.COLLECTOR_SUCCESS}.",
        [Query(queries.select(metrics.COLLECTOR_SUCCESS), "{{collector}} {{instance}}")],
        unit="none",
        no_data=no_data.EXPORTER,
        texts={1: Text("OK", GOOD), 0: Text("failed", BAD)},
    )
