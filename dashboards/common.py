"""Parts that every dashboard shares: variables, annotations, links, and the tiles of its first row."""

from collections.abc import Sequence
from typing import Any

from plimsoll.dashboards import drilldown, no_data, panels, queries
from plimsoll.dashboards.panels import BAD, GOOD, GREY, NEUTRAL, PINK, WARN, Query, Step, Text
from plimsoll.dashboards.topology import match_filters
from plimsoll.slo import links, metrics
from plimsoll.slo.error_budget import burn_rate
from plimsoll.slo.metrics import recorded
from plimsoll.slo.spec.objectives import Objective, Spec

# Labels that identify an alert.
ALERT_LABELS = "alertname, severity, tier, objective, pool, replica, instance, collector, uuid"
_TITLES = {
    "On-call": links.ONCALL,
    "SLOs": links.BUDGETS,
    "Pool": links.POOL,
    "Replica": links.REPLICA,
    "GPU node": links.GPU,
    "Capacity and cost": links.CAPACITY,
}
LINKS = (
    *(drilldown.to_dashboard(title, uid) for title, uid in _TITLES.items()),
    drilldown.link("Runbooks", links.runbooks_url()),
    drilldown.link("SLO service", links.SERVICE_URL),
)
_OBJECTIVE = "${__field.labels.objective}"
TO_BUDGET = drilldown.link("Error budget of this SLO", links.panel_url(links.BUDGET, base="", objective=_OBJECTIVE))
TO_BURN = drilldown.link("Burn rate of this SLO", links.panel_url(links.BURN, base="", objective=_OBJECTIVE))
TO_REPLICA = drilldown.link(
    "Replica dashboard", f"{links.dashboard_url(links.REPLICA, base='')}?var-replica=${{__field.labels.replica}}"
)
TO_POOL = drilldown.to_dashboard("Pool dashboard", links.POOL)
TO_GPU = drilldown.to_dashboard("GPU node dashboard", links.GPU)
TO_SLO = drilldown.link("Open in Plimsoll", links.slo_page(_OBJECTIVE))


def pool_variable(spec: Spec) -> Any:
    """Return the pool variable. Its values come from the objectives file, not from a query."""
    return panels.choice("pool", "Pool", [pool.name for pool in spec.pools])


def model_variable(spec: Spec) -> Any:
    """Return the model variable: the models that replicas serve, without those of pools that are not chosen.

    Engine metrics carry a model and no pool; the objectives file maps one to the other. Models without a pool stay.
    """
    pairs = " or ".join(
        f'label_replace(label_replace(vector(1), "pool", "{pool.name}", "", ""), "model", "{match_filters.replacement(pool.model)}", "", "")'
        for pool in spec.pools
    )
    chosen = 'label_replace(vector(1), "chosen", "yes", "", "")'
    marked = f'label_replace({pairs}, "chosen", "yes", "pool", "$pool")'
    others = f"{marked} unless on (chosen) {chosen}"
    if len({pool.model for pool in spec.pools}) < len(
        spec.pools
    ):  # a model that isn't chosen with one pool is with another
        others = f"({others}) unless on (model) ({marked} and on (chosen) {chosen})"
    query = f"query_result(group by (model) ({recorded.LAST_INFO}) unless on (model) ({others}))"
    return panels.variable("model", "Model", query, regex='/model="(.*)"}/')


def scope(spec: Spec, *further: Any) -> list[Any]:
    """Return the variables: data sources, region, pool, model, node, then `further`, then replica."""
    served, on_node = queries.of_models(recorded.LAST_INFO), queries.of_models(recorded.LAST_INFO, "node")
    return [
        panels.datasource("datasource", "Data source", "prometheus"),
        panels.datasource("traces", "Traces", "tempo"),
        panels.variable("region", "Region", f"label_values({recorded.LAST_INFO}, region)", allValue=".*"),
        pool_variable(spec),
        *match_filters.variables(spec),
        model_variable(spec),
        panels.variable("node", "Node", f"label_values({served}, node)", allValue=".*"),
        *further,
        panels.variable("replica", "Replica", f"label_values({on_node}, replica)", allValue=".*"),
    ]


def version_variable() -> Any:
    """Return the version variable: versions of the chosen models."""
    query = f"label_values({queries.of_models(metrics.REPLICA_INFO.name)}, version)"
    return panels.variable("version", "Version", query, allValue=".*")


def objective_variable() -> Any:
    """Return the SLO variable: SLOs of the chosen pools."""
    return panels.variable("objective", "SLO", f"label_values({queries.of_pools(recorded.TARGET)}, objective)")


def annotations() -> list[dict[str, Any]]:
    """Return the annotations, all by query: they need no Grafana API and last as long as the metrics."""
    return [
        panels.annotation("Alerts", firing("page|ticket"), BAD, "{{alertname}}", "severity,objective,replica"),
        panels.annotation("Replica starts", queries.replica_starts(), NEUTRAL, "{{replica}} started", "replica,model"),
        panels.annotation(
            "Exclusions", f"max by (objective) ({metrics.EXCLUDED}) > 0", GREY, "{{objective}} excluded", "objective"
        ),
        panels.annotation(
            "Version changes", queries.version_changes(), PINK, "version {{version}} started", "model,version"
        ),
    ]


def firing(severities: str) -> str:
    """Return the firing alerts of the chosen pools, and those without a pool."""
    return f'max by ({ALERT_LABELS}) (ALERTS{{alertstate="firing",severity=~"{severities}",pool=~"$pool|"}})'


def health_stats() -> list[Any]:
    """Return the tiles that count what is wrong now: alerts, replicas, GPUs."""
    up, gpus = queries.replicas_up(), queries.gpus_up()
    rules_run = f"0 * count({recorded.TARGET})"
    return [
        panels.stat(
            "Firing alerts (count)",
            "Firing pages and tickets of the chosen pools, and those without a pool. Open the alert's runbook (link above). "
            "Source: ALERTS.",
            [Query(f"count({firing('page|ticket')}) or {rules_run}")],
            unit="none",
            no_data=no_data.RULES,
            base=GOOD,
            steps=[Step(1, BAD)],
            links=[drilldown.link(links.ALERTS.title, links.panel_url(links.ALERTS, base=""))],
        ),
        panels.stat(
            "Replicas down",
            f"Replicas whose metrics endpoint can't be scraped. Check the replica's log. Source: {metrics.REPLICA_UP}.",
            [Query(f"count({up} == 0) or 0 * count({up})")],
            unit="none",
            no_data=no_data.EXPORTER,
            base=GOOD,
            steps=[Step(1, BAD)],
            links=[drilldown.link(links.REPLICAS.title, links.panel_url(links.REPLICAS, base=""))],
        ),
        panels.stat(
            "GPUs lost",
            f"Expected GPUs of the chosen replicas that don't respond. Drain the node. Source: {metrics.GPU_UP}.",
            [Query(f"count({gpus} == 0) or 0 * count({gpus})")],
            unit="none",
            no_data=no_data.GPUS,
            base=GOOD,
            steps=[Step(1, BAD)],
            links=[drilldown.link(links.GPUS.title, links.panel_url(links.GPUS, base=""))],
        ),
    ]


def simulated_stat() -> Any:
    """Return the tile that counts simulated replicas. Every dashboard has it in its first row."""
    return panels.stat(
        "Simulated replicas",
        "Replicas of the demo fleet among those shown. Their metrics come from an engine model, not from GPUs. "
        f"0: every replica is a real engine. Source: {metrics.REPLICA_INFO}.",
        [Query(f"{queries.replica_count(simulated='true')} or 0 * {queries.replica_count()}")],
        unit="suffix: SIMULATED",
        no_data=no_data.REPLICA,
        texts={0: Text("0", NEUTRAL)},
        steps=[Step(1, WARN)],
        links=[drilldown.link(links.REPLICAS.title, links.panel_url(links.REPLICAS, base=""))],
    )


def slo_colors(spec: Spec) -> dict[str, str]:
    """Return one color per SLO, the same on every panel and for both bounds of an SLO that has bounds."""
    found = {one.id: panels.SERIES[index % len(panels.SERIES)] for index, one in enumerate(spec.objectives)}
    return found | {f"{one.id} upper bound": found[one.id] for one in spec.objectives if one.has_bounds}


def bounds(spec: Spec, upper_bound: str) -> tuple[list[Query], str]:
    """Return the query of the upper bound and its sentence for the description; empty where no SLO has bounds."""
    if not any(one.has_bounds for one in spec.objectives):
        return [], ""
    note = (
        " An SLO with two lines has a threshold between two bucket boundaries: the true value lies between its bounds."
    )
    return [Query(upper_bound, "{{objective}} upper bound")], note


def latency_thresholds(spec: Spec, latency: str) -> Sequence[float]:
    """Return the distinct thresholds in seconds that the SLOs set on a latency of engines, ascending."""
    at_engines = [one.indicator.thresholds for one in spec.objectives if one.count_at == "engine"]
    return sorted({float(thresholds[latency]) for thresholds in at_engines if latency in thresholds})


def model_suffix(spec: Spec) -> str:
    """Return the end of a legend that names the model, and the labels that distinguish its pools; empty with a single pool."""
    return f" {{{{model}}}}{match_filters.legend(spec)}" if len(spec.pools) > 1 else ""


def tiers(objective: Objective) -> tuple[burn_rate.BurnRateAlert, ...]:
    """Return the burn-rate tiers of an SLO, fastest first."""
    return burn_rate.tiers(objective.window.seconds, objective.budget_ratio)


def long_windows(spec: Spec) -> list[float]:
    """Return the long windows of all tiers in seconds, ascending; empty where every SLO window is too short for a tier."""
    return sorted({tier.long for one in spec.objectives for tier in tiers(one)})


def ticket_budget(spec: Spec) -> float:
    """Return the largest fraction of a budget that a tier lets be consumed before it fires."""
    return max((tier.fraction for one in spec.objectives for tier in tiers(one)), default=0.0)
