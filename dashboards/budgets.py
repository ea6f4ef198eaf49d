"""The SLOs dashboard: error budgets, burn rates, alert states and data coverage of all SLOs."""

from collections.abc import Iterable
from typing import Any

from plimsoll.dashboards import common, drilldown, no_data, panels, queries
from plimsoll.dashboards.panels import BAD, GOOD, WARN, Query, Section, Step, Text
from plimsoll.slo import links, metrics
from plimsoll.slo.error_budget import burn_rate
from plimsoll.slo.metrics import recorded
from plimsoll.slo.spec.objectives import Objective, Spec
from plimsoll.slo.units import duration_text, percent_text

_DASHES = ((), (12, 6), (6, 6), (2, 4))  # solid for the fastest window, ever shorter dashes for slower ones
_RANK = {"page": 2, "ticket": 1}


def dashboard(spec: Spec) -> dict[str, Any]:
    """Build the SLOs dashboard."""
    burns = common.long_windows(spec)
    return panels.dashboard(
        links.BUDGETS,
        "Plimsoll / SLOs",
        "Every SLO's error budget, burn rate, alert state, and data coverage.",
        variables=common.scope(spec, common.objective_variable()),
        annotations=common.annotations(),
        links=common.LINKS,
        default_links=[drilldown.to_dashboard("On-call dashboard", links.ONCALL)],
        sections=[
            Section("", [(4, [*common.health_stats(), common.simulated_stat()])]),
            Section("Error budget", [(8, [_overview(spec)]), (9, [_remaining(spec), _coverage(spec)])]),
            *([Section("Burn rate", [(10, [_burn(spec)]), (7, [_alert_state(spec), _bad(spec)])])] if burns else []),
            Section("SLI and traffic", [(8, [_sli(spec), _total(spec), _lag()])]),
        ],
    )


def _recorded(name: str, **labels: tuple[str, ...]) -> str:
    return queries.of_pools(name, "objective", **labels)


def _overview(spec: Spec) -> Any:
    good, total = _recorded(recorded.GOOD_RATE), _recorded(recorded.TOTAL_RATE)
    columns = {
        "Target": f"max by (objective) ({_recorded(recorded.TARGET)})",
        "SLI (5 min)": f"min by (objective) ({queries.ratio(good, total)})",
        "Budget remaining": queries.by_slo(metrics.BUDGET_REMAINING, "objective"),
        "Data coverage": queries.by_slo(metrics.COVERAGE, "objective"),
    }
    burns = {
        f"Burn rate ({duration_text(window)})": f"max by (objective) ({_recorded(recorded.burn_rate(window))})"
        for window in common.long_windows(spec)
    }
    times: dict[str, Any] = {heading: {"unit": "suffix: ×", "decimals": 2} for heading in burns}
    ratios: dict[str, Any] = {heading: {"unit": "percentunit", "decimals": 2} for heading in columns}
    color = {"type": "color-text"}
    remaining: dict[str, Any] = ratios.pop("Budget remaining") | {
        "thresholds": panels.steps_of([Step(0, WARN), Step(common.ticket_budget(spec), GOOD)], BAD),
        "custom.cellOptions": color,
    }
    burning: dict[str, Any] = {"thresholds": panels.steps_of([Step(1, WARN)]), "custom.cellOptions": color}
    return panels.table(
        "SLO overview",
        "One row per SLO. Budget remaining and data coverage are over the SLO window. A burn rate of 1 consumes the whole "
        "budget by the end of the window. With less than a day of data (coverage times window) it is too early to judge what remains. "
        "Click an SLO to open its page.",
        columns | burns,
        by="objective",
        heading="SLO",
        unit="none",
        no_data=no_data.OVERVIEW,
        links=[drilldown.link("Open in Plimsoll", links.slo_page("${__data.fields.SLO}"))],
        overrides=[
            panels.override("Budget remaining", **remaining),
            *(panels.override(heading, **look) for heading, look in ratios.items()),
            *(panels.override(heading, **look, **burning) for heading, look in times.items()),
        ],
    )


def _remaining(spec: Spec) -> Any:
    other, note = common.bounds(spec, queries.by_slo(metrics.BUDGET_REMAINING_UPPER_BOUND, "objective"))
    return panels.graph(
        links.BUDGET.title,
        "Fraction of the error budget that remains in each SLO's window. Below 0% (dashed) the SLO is "
        f"missed. With less than a day of data it is too early to judge.{note} Source: {metrics.BUDGET_REMAINING}.",
        [Query(queries.by_slo(metrics.BUDGET_REMAINING, "objective"), "{{objective}}"), *other],
        unit="percentunit",
        min=None,
        max=1,
        no_data=no_data.SERVICE,
        limits=[0],
        low=True,
        **_common(spec),
    )


def _common(spec: Spec) -> dict[str, Any]:
    return {
        "many": True,
        "colors": common.slo_colors(spec),
        "links": [common.TO_SLO],
    }


def _alert_state(spec: Spec) -> Any:
    alike: dict[tuple[tuple[burn_rate.BurnRateAlert, ...], bool], list[Objective]] = {}
    for one in spec.objectives:
        alike.setdefault((common.tiers(one), one.has_bounds), []).append(one)
    ranked = [_crossed(same, tiers, has_bounds) for (tiers, has_bounds), same in alike.items()]
    return panels.timeline(
        "Burn-rate alert state",
        "Highest severity whose two windows are both above the burn-rate threshold. The alert also requires a minimum number "
        "of bad requests. Thresholds: " + "; ".join(_thresholds(spec)) + ".",
        [Query(expr, "{{objective}}") for expr in ranked],
        unit="none",
        no_data=no_data.EVALUATION,
        texts={2: Text("page", BAD), 1: Text("ticket", WARN), 0: Text("OK", GOOD)},
    )


def _crossed(objectives: Iterable[Objective], tiers: tuple[burn_rate.BurnRateAlert, ...], has_bounds: bool) -> str:
    """Return the highest rank of the tiers whose two windows are both above the threshold, per SLO."""
    ids = tuple(one.id for one in objectives)

    def above(window: float, tier: burn_rate.BurnRateAlert) -> str:
        burning = recorded.burn_rate(window, has_bounds and burn_rate.USES_LOWER_BOUND[tier.severity])
        return f"({_recorded(burning, objective=ids)} > bool {tier.threshold:.6g})"

    ranks = [
        f"label_replace({_RANK[tier.severity]} * {above(tier.long, tier)}"
        f' * {above(tier.short, tier)}, "tier", "{tier.tier}", "", "")'
        for tier in tiers
    ]
    return f"max by (objective) ({' or '.join(ranks)})"


def _thresholds(spec: Spec) -> list[str]:
    """Return each distinct set of tiers as text, such as `99.9% over 30d: page above 14.4 in 1h and 5m, ...`."""
    return [
        f"{percent_text(one.target)} over {one.window}: "
        + ", ".join(
            f"{tier.severity} above {tier.threshold:.3g} in {duration_text(tier.long)} and {duration_text(tier.short)}"
            for tier in common.tiers(one)
        )
        for one in {(float(one.target), str(one.window)): one for one in spec.objectives}.values()
    ]


def _burn(spec: Spec) -> Any:
    windows = common.long_windows(spec)
    return panels.graph(
        links.BURN.title,
        "Burn rate of each SLO over the long window of every alert: solid is the shortest window, dotted the longest. A burn rate "
        "of 1 (dashed) consumes the whole budget by the end of the SLO window. Choose one SLO above to see it alone.",
        [
            Query(_recorded(recorded.burn_rate(window)), f"{{{{objective}}}} {duration_text(window)}")
            for window in windows
        ],
        unit="suffix: ×",
        no_data=no_data.EVALUATION,
        limits=[1],
        many="wide",
        colors={
            f"{name} {duration_text(window)}": color
            for name, color in common.slo_colors(spec).items()
            for window in windows
        },
        overrides=[
            panels.override(
                chr(65 + index),
                "byFrameRefID",
                custom__lineStyle={"fill": "dash" if dash else "solid", "dash": list(dash)},
            )
            for index, dash in enumerate(_DASHES[: len(windows)])
        ],
        links=[common.TO_SLO],
    )


def _sli(spec: Spec) -> Any:
    total = _recorded(recorded.TOTAL_RATE)
    other, note = common.bounds(spec, queries.ratio(_recorded(recorded.GOOD_UPPER_BOUND), total))
    return panels.graph(
        "SLI (5 min)",
        f"Good requests as a fraction of evaluated requests. Dashed: the SLO targets.{note} Source: {recorded.GOOD_RATE}, {recorded.TOTAL_RATE}.",
        [Query(queries.ratio(_recorded(recorded.GOOD_RATE), total), "{{objective}}"), *other],
        unit="percentunit",
        min=None,
        max=1,
        no_data=no_data.REQUESTS,
        limits=sorted({float(one.target) for one in spec.objectives}),
        low=True,
        **_common(spec),
    )


def _total(spec: Spec) -> Any:
    return panels.graph(
        "Evaluated requests",
        f"Requests per second that count toward each SLO. Different lines in a pool: some requests have no data. Source: {recorded.TOTAL_RATE}.",
        [Query(_recorded(recorded.TOTAL_RATE), "{{objective}}")],
        unit="reqps",
        no_data=no_data.REQUESTS,
        **_common(spec),
    )


def _bad(spec: Spec) -> Any:
    window = common.long_windows(spec)[0]
    return panels.graph(
        f"Bad requests in {duration_text(window)}",
        f"Number of bad requests. With few of them, a high burn rate isn't significant. Source: {recorded.bad_requests(window)}.",
        [Query(_recorded(recorded.bad_requests(window)), "{{objective}}")],
        unit="short",
        no_data=no_data.REQUESTS,
        **_common(spec),
    )


def _coverage(spec: Spec) -> Any:
    return panels.graph(
        links.COVERAGE.title,
        "Fraction of each SLO's window that has data. The error budget covers that part only; the rest is unknown, neither good "
        f"nor bad. Source: {metrics.COVERAGE}.",
        [Query(queries.by_slo(metrics.COVERAGE, "objective"), "{{objective}}")],
        unit="percentunit",
        max=1,
        low=True,
        no_data=no_data.SERVICE,
        **_common(spec),
    )


def _lag() -> Any:
    return panels.graph(
        "Ledger ingest lag",
        "Longest time of two minutes since the ledger was last updated from its source. Rising: the budgets above are out of date. "
        f"Source: {metrics.INGEST_LAG}.",
        # By itself a saw tooth: it begins again at 0 with every update.
        [Query(f"max by (instance) (max_over_time({metrics.INGEST_LAG}[2m]))", "{{instance}}")],
        unit="s",
        no_data=no_data.SERVICE,
        many=True,
    )
