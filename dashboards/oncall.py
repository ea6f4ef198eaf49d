"""The dashboard that a page opens: from what users feel down to the cause, in the order in which one asks at 3 am."""

from typing import Any

from plimsoll.dashboards import common, drilldown, engine_panels, gpu_panels, panels, queries
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
    return panels.page(
        links.ONCALL,
        "Plimsoll: on-call",
        "Read from top to bottom: are users hurt, which pool and replica, which phase is slow, which resource is short, what changed.",
        variables=common.scope(spec),
        annotations=common.annotations(),
        links=common.LINKS,
        down=[common.TO_POOL],
        sections=[
            Section("", [(4, [*common.vital_signs(), *_traffic(), common.reality()])]),
            Section("Are users hurt?", [(5, _budgets(spec)), (9, [_alerts(), _fingerprints(spec)]), (8, _outcomes())]),
            Section("Which pool, which replica?", [(9, _replicas(spec))]),
            Section(
                "Which phase is slow?",
                [(8, engine_panels.latencies(spec, True)), (8, engine_panels.phases(spec, True))],
            ),
            Section("Which resource is short?", [(9, engine_panels.scheduler(spec)), (9, engine_panels.memory())]),
            Section("Are the GPUs well?", [(9, gpu_panels.worst())]),
            Section("What changed?", [(9, _changes(spec))]),
        ],
    )


def _traffic() -> list[Any]:
    return [
        panels.stat(
            "Requests per second",
            f"Requests that ended, whatever their outcome. Source: {metrics.FINISHED}.",
            [Query(queries.rate(metrics.FINISHED))],
            unit="reqps",
            no_data="no engine reports",
            links=[_to(links.SERVED)],
        ),
        panels.stat(
            "Tokens generated",
            f"What the shown replicas give their users. Source: {metrics.GENERATION_TOKENS}.",
            [Query(queries.rate(metrics.GENERATION_TOKENS))],
            unit="suffix: tok/s",
            no_data="no engine reports",
            links=[_to(links.TOKENS)],
        ),
    ]


def _to(panel: links.Panel) -> dict[str, Any]:
    return drilldown.link(panel.title, links.panel_url(panel, base=""))


def _budgets(spec: Spec) -> list[Any]:
    spend = common.ticket_spend(spec)
    left = panels.stat(
        "Budget left",
        "Share of each objective's error budget that is left in its window, by the ledger, worst first. Below zero the "
        f"objective is missed. Amber: less is left than one ticket's worth of spending ({spend:.0%}). "
        f"Source: {metrics.BUDGET_REMAINING}.",
        [Query(f"sort({queries.ledger(metrics.BUDGET_REMAINING)})", "{{objective}}")],
        unit="percentunit",
        decimals=1,
        no_data="unknown: no ledger",
        base=BAD,
        steps=[Step(0, WARN), Step(spend, GOOD)],
        links=[common.TO_BUDGET, common.TO_LEDGER],
    )
    return [left, _burn(spec)] if common.long_windows(spec) else [left]


def _burn(spec: Spec) -> Any:
    fastest = {one.id: tiers[0] for one in spec.objectives if (tiers := common.tiers(one))}
    has_bounds = {one.id for one in spec.objectives if one.has_bounds}
    by_window: dict[str, list[str]] = {}
    for name, tier in fastest.items():  # what its page reads: of a has_bounds objective what is surely bad
        read = recorded.burn_rate(tier.long, name in has_bounds and burn_rate.AT_BEST[tier.severity])
        by_window.setdefault(read, []).append(name)
    return panels.stat(
        "Burn rate now",
        "How fast the budget is spent, over the shortest window that pages, worst first: 1 spends exactly the whole budget "
        "by the window's end. Red: fast enough to page at once.",
        [
            Query(f"sort_desc({queries.evaluated(read, objective='|'.join(names))})", "{{objective}}")
            for read, names in by_window.items()
        ],
        unit="suffix: ×",
        decimals=1,
        no_data="unknown: no requests, or rules do not run",
        base=GOOD,
        steps=[Step(1, WARN)],
        overrides=[
            panels.override(name, thresholds=panels.steps_of([Step(1, WARN), Step(round(tier.factor, 3), BAD)]))
            for name, tier in fastest.items()
        ],
        links=[common.TO_BURN, common.TO_LEDGER],
    )


def _alerts() -> Any:
    by = "alertname, objective"  # which replica, the link tells: a row for each would bury the first one
    ranked = " or ".join(
        f"{rank} * {common.firing(severity)}" for rank, severity in ((2, "page"), (1, "ticket"), (0, "info"))
    )
    return panels.timeline(
        links.ALERTS.title,
        "Which alert fires since when: the first one is often the cause, the others its consequences.",
        [Query(f"max by ({by}) ({ranked})", "{{alertname}} {{objective}}")],
        unit="none",
        no_data="no alert has fired in this time",
        texts={2: Text("page", BAD), 1: Text("ticket", WARN), 0: Text("info", NEUTRAL)},
    )


def _fingerprints(spec: Spec) -> Any:
    pool = " {{pool}}" if len(spec.pools) > 1 else ""
    return panels.timeline(
        links.INCIDENT_SIGNATURES.title,
        "What it looks like, by comparing the pool with itself an hour ago and its replicas with each other; a click opens "
        f"what helps. Grey: without requests, or without an hour to compare with, nobody can tell. Source: {recorded.INCIDENT_SIGNATURE}.",
        [
            Query(
                f"max by (pool, signature) ({queries.evaluated(recorded.INCIDENT_SIGNATURE)})",
                f"{{{{signature}}}}{pool}",
            )
        ],
        unit="none",
        no_data="unknown: no requests, or rules do not run",
        texts={1: Text("seen", BAD), 0: Text("no", GOOD)},
        links=[drilldown.link("What helps", f"{links.runbooks_url()}#${{__field.labels.signature}}"), common.TO_POOL],
    )


def _outcomes() -> list[Any]:
    finished, gone = metrics.FINISHED, metrics.ABANDONED
    return [
        panels.graph(
            links.LOST.title,
            "Requests that ended badly. Engines do not count clients that give up while queued; those are derived from what "
            f"the server accepted. Source: {finished}, {metrics.REJECTED}, {gone}.",
            [
                Query(queries.rate(finished, reason="|".join(evidence.FAILED)), "failed"),
                Query(queries.rate(metrics.REJECTED), "refused"),
                Query(queries.rate(gone, stage="queued"), "gave up in the queue"),
            ],
            unit="reqps",
            no_data="no engine reports",
            colors={"failed": VERMILLION, "refused": ORANGE, "gave up in the queue": PINK},
        ),
        panels.graph(
            links.SERVED.title,
            "Requests that were answered, and those whose client left while the answer streamed (a user's stop, or a broken "
            f"connection: neither good nor bad). Source: {finished}, {gone}.",
            [
                Query(queries.rate(finished, reason="|".join(evidence.SERVED)), "served"),
                Query(queries.rate(gone, stage="streaming"), "left while streaming"),
            ],
            unit="reqps",
            no_data="no engine reports",
            colors={"served": SKY, "left while streaming": GREY},
        ),
    ]


def _replicas(spec: Spec) -> list[Any]:
    return [
        engine_panels.replicas_up(),
        engine_panels.by_replica(
            "Time to first token by replica, p95",
            "One line far above the others is one sick replica; all of them high is a pool that is too small.",
            metrics.TTFT,
            limits=common.limits(spec, "time_to_first_token"),
        ),
        engine_panels.tokens_by_replica(),
    ]


def _changes(spec: Spec) -> list[Any]:
    return [
        engine_panels.uptime(),
        engine_panels.versions(spec),
        panels.graph(
            "Recommended nodes",
            f"What the capacity recommender asks for; its reasons are in the SLO service. Source: {metrics.RECOMMENDED_NODES}.",
            [Query(f'max by (pool) ({metrics.RECOMMENDED_NODES}{{pool=~"$pool"}})', "{{pool}}")],
            unit="short",
            decimals=0,
            no_data="unknown: no SLO service",
            many=True,
        ),
        panels.timeline(
            links.COLLECTORS.title,
            "A collector that fails makes its numbers disappear: what is missing elsewhere may be explained here. "
            f"Source: {metrics.COLLECTOR_SUCCESS}.",
            [Query(queries.select(metrics.COLLECTOR_SUCCESS), "{{collector}} {{instance}}")],
            unit="none",
            no_data="no exporter reports",
            texts={1: Text("ok", GOOD), 0: Text("failed", BAD)},
        ),
    ]
