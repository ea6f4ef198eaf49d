"""What every dashboard shares: variables that narrow it, marks on its graphs, links, and the tile that says what is simulated."""

from collections.abc import Sequence
from typing import Any

from plimsoll.dashboards import drilldown, panels, queries
from plimsoll.dashboards.panels import BAD, GOOD, GREY, NEUTRAL, PINK, WARN, Query, Step, Text
from plimsoll.slo import links, metrics
from plimsoll.slo.error_budget import burn_rate
from plimsoll.slo.metrics import recorded
from plimsoll.slo.spec.objectives import Objective, Spec

# Labels that tell two alerts apart, for those that have them.
ALERT_LABELS = "alertname, severity, tier, objective, pool, replica, instance, collector, uuid"
_TITLES = {
    "On-call": links.ONCALL,
    "Budgets": links.BUDGETS,
    "Pool": links.POOL,
    "Replica": links.REPLICA,
    "GPU node": links.GPU,
    "Capacity and cost": links.CAPACITY,
}
LINKS = (
    *(drilldown.down(title, uid) for title, uid in _TITLES.items()),
    drilldown.link("Runbooks", links.runbooks_url()),
    drilldown.link("SLO service", links.SERVICE_URL),
)
_OBJECTIVE = "${__field.labels.objective}"
TO_BUDGET = drilldown.link("This objective's budget", links.panel_url(links.BUDGET, base="", objective=_OBJECTIVE))
TO_BURN = drilldown.link("This objective's burn rate", links.panel_url(links.BURN, base="", objective=_OBJECTIVE))
TO_REPLICA = drilldown.link(
    "This replica in depth", f"{links.dashboard_url(links.REPLICA, base='')}?var-replica=${{__field.labels.replica}}"
)
TO_POOL = drilldown.down("Its replicas side by side", links.POOL)
TO_GPU = drilldown.down("Its GPUs in depth", links.GPU)
TO_LEDGER = drilldown.link("The ledger's numbers", links.objective_page(_OBJECTIVE))


def pool_variable(spec: Spec) -> Any:
    """The pools of the objectives file: known without asking Prometheus, so that it works while that is down."""
    return panels.choice("pool", "Pool", [pool.name for pool in spec.pools])


def model_variable(spec: Spec) -> Any:
    """Models that replicas serve, less those that belong to pools which are not chosen.

    Engine metrics carry a model and no pool; the objectives file says which belongs to which. Models of no pool stay.
    """
    pairs = " or ".join(
        f'label_replace(label_replace(vector(1), "pool", "{pool.name}", "", ""), "model", "{pool.model}", "", "")'
        for pool in spec.pools
    )
    chosen = 'label_replace(vector(1), "chosen", "yes", "", "")'
    others = f'label_replace({pairs}, "chosen", "yes", "pool", "$pool") unless on (chosen) {chosen}'
    query = f"query_result(group by (model) ({recorded.SERVED}) unless on (model) ({others}))"
    return panels.variable("model", "Model", query, regex='/model="([^"]*)"/')


def scope(spec: Spec, *further: Any) -> list[Any]:
    """The data sources, and the variables that narrow every engine metric: region, pool, model, node, replica; then `further`."""
    seen = f'{recorded.SERVED}{{model=~"$model",region=~"$region"'
    return [
        panels.datasource("datasource", "Data source", "prometheus"),
        panels.datasource("traces", "Traces", "tempo"),
        panels.variable("region", "Region", f"label_values({recorded.SERVED}, region)", allValue=".*"),
        pool_variable(spec),
        model_variable(spec),
        panels.variable("node", "Node", f"label_values({seen}}}, node)", allValue=".*"),
        *further,
        panels.variable("replica", "Replica", f'label_values({seen},node=~"$node"}}, replica)', allValue=".*"),
    ]


def version_variable() -> Any:
    """Versions of the chosen models; it narrows the panels by version."""
    query = f'label_values({metrics.REPLICA_INFO}{{model=~"$model",region=~"$region"}}, version)'
    return panels.variable("version", "Version", query, allValue=".*")


def objective_variable() -> Any:
    """Objectives of the chosen pools."""
    return panels.variable("objective", "Objective", f"label_values({queries.evaluated(recorded.TARGET)}, objective)")


def annotations() -> list[dict[str, Any]]:
    """Firing alerts, starts, new versions and exclusions, by query: they need no Grafana API and survive with the data."""
    return [
        panels.annotation("Alerts", firing("page|ticket"), BAD, "{{alertname}}", "severity,objective,replica"),
        panels.annotation("Starts", queries.started(), NEUTRAL, "{{replica}} started", "replica,model"),
        panels.annotation(
            "Exclusions", f"max by (objective) ({metrics.EXCLUDED}) > 0", GREY, "{{objective}} excluded", "objective"
        ),
        panels.annotation("Versions", queries.begun(), PINK, "version {{version}} begins", "model,version"),
    ]


def firing(severities: str) -> str:
    """Alerts that fire in the chosen pools, and those that belong to no pool."""
    return f'max by ({ALERT_LABELS}) (ALERTS{{alertstate="firing",severity=~"{severities}",pool=~"$pool|"}})'


def vital_signs() -> list[Any]:
    """Tiles that tell at a glance whether anything is wrong."""
    up, gpus = queries.replicas_up(), queries.gpus_up()
    rules_run = f"0 * count({recorded.TARGET})"
    return [
        panels.stat(
            "Alerts firing",
            "Pages and tickets that fire now in the chosen pools, and those of no pool. Each has a runbook (link above).",
            [Query(f"count({firing('page|ticket')}) or {rules_run}")],
            unit="none",
            no_data="unknown: rules do not run",
            base=GOOD,
            steps=[Step(1, BAD)],
            links=[drilldown.link("Which, and since when", links.panel_url(links.ALERTS, base=""))],
        ),
        panels.stat(
            "Replicas down",
            f"Replicas whose metrics page cannot be read ({metrics.REPLICA_UP} is 0).",
            [Query(f"count({up} == 0) or 0 * count({up})")],
            unit="none",
            no_data="no exporter reports",
            base=GOOD,
            steps=[Step(1, BAD)],
            links=[drilldown.link("Which", links.panel_url(links.REPLICAS, base=""))],
        ),
        panels.stat(
            "GPUs lost",
            f"Expected GPUs that do not answer ({metrics.GPU_UP} is 0), on the chosen replicas' nodes.",
            [Query(f"count({gpus} == 0) or 0 * count({gpus})")],
            unit="none",
            no_data="no GPU expected",
            base=GOOD,
            steps=[Step(1, BAD)],
            links=[drilldown.link("Which", links.panel_url(links.GPUS, base=""))],
        ),
    ]


def reality() -> Any:
    """The tile that says whether the numbers are real. It stands in the first row of every dashboard."""
    return panels.stat(
        "Simulated replicas",
        "Replicas of Plimsoll's demo fleet among those shown: their numbers come from a model, not from an engine. "
        f"Real: every replica is an engine. Source: {metrics.REPLICA_INFO}.",
        [Query(f"{queries.replicas_known(simulated='true')} or 0 * {queries.replicas_known()}")],
        unit="suffix: SIMULATED",
        no_data="no replica reports",
        texts={0: Text("none, all real", NEUTRAL)},
        steps=[Step(1, WARN)],
        links=[drilldown.link("Replicas up", links.panel_url(links.REPLICAS, base=""))],
    )


def objective_colours(spec: Spec) -> dict[str, str]:
    """One color per objective, the same on every panel and at both ends of a has_bounds one."""
    found = {one.id: panels.SERIES[index % len(panels.SERIES)] for index, one in enumerate(spec.objectives)}
    return found | {f"{one.id} at best": found[one.id] for one in spec.objectives if one.has_bounds}


def both_ends(spec: Spec, at_best: str) -> tuple[list[Query], str]:
    """Query of the other end of has_bounds objectives, and what a description says of it: nothing where there are none."""
    if not any(one.has_bounds for one in spec.objectives):
        return [], ""
    told = " Where an objective's limit lies between two bucket bounds: at worst, and at best; the truth lies between them."
    return [Query(at_best, "{{objective}} at best")], told


def limits(spec: Spec, latency: str) -> Sequence[float]:
    """Limits in seconds that the objectives set on a latency, each once."""
    return sorted(
        {float(one.indicator.thresholds[latency]) for one in spec.objectives if latency in one.indicator.thresholds}
    )


def of_model(spec: Spec) -> str:
    """End of a legend that tells models apart, where there are several."""
    return " {{model}}" if len(spec.pools) > 1 else ""


def tiers(objective: Objective) -> tuple[burn_rate.Tier, ...]:
    """Burn-rate tiers of an objective, fastest first."""
    return burn_rate.tiers(objective.window.seconds, objective.budget_ratio)


def long_windows(spec: Spec) -> list[float]:
    """The long windows of all tiers in seconds, shortest first; none where every objective is too short for a tier."""
    return sorted({tier.long for one in spec.objectives for tier in tiers(one)})


def ticket_spend(spec: Spec) -> float:
    """The largest share of a budget that any tier lets go before it fires: with less than this left, look."""
    return max((tier.fraction for one in spec.objectives for tier in tiers(one)), default=0.0)
