"""All objectives side by side: what is left, how fast it goes, which tier that wakes, and how much of it was observed."""

from collections.abc import Iterable
from typing import Any

from plimsoll.dashboards import common, drilldown, panels, queries
from plimsoll.dashboards.panels import BAD, GOOD, WARN, Query, Section, Step, Text
from plimsoll.slo import links, metrics
from plimsoll.slo.error_budget import burn_rate
from plimsoll.slo.metrics import recorded
from plimsoll.slo.spec.objectives import Objective, Spec
from plimsoll.slo.units import duration_text, percent_text

_DASHES = ((), (12, 6), (6, 6), (2, 4))  # solid for the fastest window, ever shorter dashes for slower ones
_RANK = {"page": 2, "ticket": 1}


def dashboard(spec: Spec) -> dict[str, Any]:
    """Build the dashboard of budgets."""
    burns = common.long_windows(spec)
    return panels.page(
        links.BUDGETS,
        "Plimsoll: budgets",
        "Every objective's error budget: what is left by the ledger, how fast it burns, which alert that wakes, and coverage.",
        variables=common.scope(spec, common.objective_variable()),
        annotations=common.annotations(),
        links=common.LINKS,
        down=[drilldown.down("Why: the on-call dashboard", links.ONCALL)],
        sections=[
            Section("", [(4, [*common.vital_signs(), common.reality()])]),
            Section("What is left?", [(8, [_glance(spec)]), (9, [_left(spec), _coverage(spec)])]),
            *([Section("How fast does it go?", [(10, [_burn(spec)]), (7, [_due(spec), _bad(spec)])])] if burns else []),
            Section("What was counted?", [(8, [_good(spec), _total(spec), _lag()])]),
        ],
    )


def _recorded(name: str, **labels: str) -> str:
    return queries.evaluated(name, "objective", **labels)


def _glance(spec: Spec) -> Any:
    good, total = _recorded(recorded.GOOD_RATE), _recorded(recorded.TOTAL_RATE)
    columns = {
        "Target": f"max by (objective) ({_recorded(recorded.TARGET)})",
        "Good, last 5 min": f"min by (objective) ({queries.ratio(good, total)})",
        "Budget left": queries.ledger(metrics.BUDGET_REMAINING, "objective"),
        "Coverage": queries.ledger(metrics.COVERAGE, "objective"),
    }
    burns = {
        f"Burn, {duration_text(window)}": f"max by (objective) ({_recorded(recorded.burn_rate(window))})"
        for window in common.long_windows(spec)
    }
    times: dict[str, Any] = {heading: {"unit": "suffix: ×", "decimals": 2} for heading in burns}
    ratios: dict[str, Any] = {heading: {"unit": "percentunit", "decimals": 2} for heading in columns}
    color = {"type": "color-text"}
    left: dict[str, Any] = ratios.pop("Budget left") | {
        "thresholds": panels.steps_of([Step(0, WARN), Step(common.ticket_spend(spec), GOOD)], BAD),
        "custom.cellOptions": color,
    }
    burning: dict[str, Any] = {"thresholds": panels.steps_of([Step(1, WARN)]), "custom.cellOptions": color}
    return panels.table(
        "Objectives at a glance",
        "One row per objective. Target and good ratio are shares of requests; budget and coverage are the ledger's, over the "
        "objective's whole window; a burn rate of 1 spends exactly the budget. A click opens the ledger's numbers.",
        columns | burns,
        by="objective",
        unit="none",
        no_data="unknown: no ledger, or rules do not run",
        links=[drilldown.link("The ledger's numbers", links.objective_page("${__data.fields.Objective}"))],
        overrides=[
            panels.override("Budget left", **left),
            *(panels.override(heading, **look) for heading, look in ratios.items()),
            *(panels.override(heading, **look, **burning) for heading, look in times.items()),
        ],
    )


def _left(spec: Spec) -> Any:
    other, told = common.both_ends(spec, queries.ledger(metrics.BUDGET_REMAINING_UPPER_BOUND, "objective"))
    return panels.graph(
        links.BUDGET.title,
        "Share of the error budget left in each objective's window, by the ledger. Dashed at zero: below it the objective is "
        f"missed.{told} Source: {metrics.BUDGET_REMAINING}.",
        [Query(queries.ledger(metrics.BUDGET_REMAINING, "objective"), "{{objective}}"), *other],
        unit="percentunit",
        min=None,
        max=1,
        no_data="unknown: no ledger",
        limits=[0],
        low=True,
        **_common(spec),
    )


def _common(spec: Spec) -> dict[str, Any]:
    return {
        "many": True,
        "colors": common.objective_colours(spec),
        "links": [common.TO_LEDGER],
    }


def _due(spec: Spec) -> Any:
    alike: dict[tuple[tuple[burn_rate.Tier, ...], bool], list[Objective]] = {}
    for one in spec.objectives:
        alike.setdefault((common.tiers(one), one.has_bounds), []).append(one)
    ranked = [_crossed(same, tiers, has_bounds) for (tiers, has_bounds), same in alike.items()]
    return panels.timeline(
        "Burn alerts due",
        "Which severity each objective's burn asks for: both windows of a tier are above its factor. The alert itself also "
        "waits for a minimum of bad requests. Factors: " + "; ".join(_factors(spec)) + ".",
        [Query(expr, "{{objective}}") for expr in ranked],
        unit="none",
        no_data="unknown: no requests, or rules do not run",
        texts={2: Text("page", BAD), 1: Text("ticket", WARN), 0: Text("quiet", GOOD)},
    )


def _crossed(objectives: Iterable[Objective], tiers: tuple[burn_rate.Tier, ...], has_bounds: bool) -> str:
    """Highest rank of the tiers whose two windows are both above the factor, per objective."""
    ids = "|".join(one.id for one in objectives)

    def above(window: float, tier: burn_rate.Tier) -> str:
        burning = recorded.burn_rate(window, has_bounds and burn_rate.AT_BEST[tier.severity])
        return f"({_recorded(burning, objective=ids)} > bool {tier.factor:.6g})"

    ranks = [
        f"label_replace({_RANK[tier.severity]} * {above(tier.long, tier)}"
        f' * {above(tier.short, tier)}, "tier", "{tier.tier}", "", "")'
        for tier in tiers
    ]
    return f"max by (objective) ({' or '.join(ranks)})"


def _factors(spec: Spec) -> list[str]:
    """Each different set of tiers in words, such as `99.9% over 30d: page above 14.4 in 1h and 5m, ...`."""
    return [
        f"{percent_text(one.target)} over {one.window}: "
        + ", ".join(
            f"{tier.severity} above {tier.factor:.3g} in {duration_text(tier.long)} and {duration_text(tier.short)}"
            for tier in common.tiers(one)
        )
        for one in {(float(one.target), str(one.window)): one for one in spec.objectives}.values()
    ]


def _burn(spec: Spec) -> Any:
    windows = common.long_windows(spec)
    return panels.graph(
        links.BURN.title,
        "How fast each objective's budget is spent, over the long window of every tier: solid the shortest, dotted the "
        "longest. Dashed at 1: exactly the whole budget by the window's end. Choose one objective above to see it alone.",
        [
            Query(_recorded(recorded.burn_rate(window)), f"{{{{objective}}}} {duration_text(window)}")
            for window in windows
        ],
        unit="suffix: ×",
        no_data="unknown: no requests, or rules do not run",
        limits=[1],
        many="wide",
        colors={
            f"{name} {duration_text(window)}": color
            for name, color in common.objective_colours(spec).items()
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
        links=[common.TO_LEDGER],
    )


def _good(spec: Spec) -> Any:
    total = _recorded(recorded.TOTAL_RATE)
    other, told = common.both_ends(spec, queries.ratio(_recorded(recorded.GOOD_UPPER_BOUND), total))
    return panels.graph(
        "Good requests, share over 5 minutes",
        f"Good over all evaluated requests. Dashed: the targets.{told} Source: {recorded.GOOD_RATE}, {recorded.TOTAL_RATE}.",
        [Query(queries.ratio(_recorded(recorded.GOOD_RATE), total), "{{objective}}"), *other],
        unit="percentunit",
        min=None,
        max=1,
        no_data="no request was evaluated in this time",
        limits=sorted({float(one.target) for one in spec.objectives}),
        low=True,
        **_common(spec),
    )


def _total(spec: Spec) -> Any:
    return panels.graph(
        "Evaluation requests per second",
        f"Requests that count for each objective. Lines that part: some have no evidence. Source: {recorded.TOTAL_RATE}.",
        [Query(_recorded(recorded.TOTAL_RATE), "{{objective}}")],
        unit="reqps",
        no_data="no request was evaluated in this time",
        **_common(spec),
    )


def _bad(spec: Spec) -> Any:
    window = common.long_windows(spec)[0]
    return panels.graph(
        f"Bad requests in {duration_text(window)}",
        f"How many requests were bad: with few of them a high burn rate says little. Source: {recorded.bad_requests(window)}.",
        [Query(_recorded(recorded.bad_requests(window)), "{{objective}}")],
        unit="short",
        no_data="no request was evaluated in this time",
        **_common(spec),
    )


def _coverage(spec: Spec) -> Any:
    return panels.graph(
        "Coverage",
        "Share of each objective's window that was observed. What was not is unknown, neither good nor bad: the budget is "
        f"only as sure as this is high. Source: {metrics.COVERAGE}.",
        [Query(queries.ledger(metrics.COVERAGE, "objective"), "{{objective}}")],
        unit="percentunit",
        max=1,
        low=True,
        no_data="unknown: no ledger",
        **_common(spec),
    )


def _lag() -> Any:
    return panels.graph(
        "Ledger behind by",
        f"Time since the ledger last booked from its source. Rising: the numbers above stand still. Source: {metrics.INGEST_LAG}.",
        [Query(f"max by (instance) ({metrics.INGEST_LAG})", "{{instance}}")],
        unit="s",
        no_data="unknown: no SLO service",
        many=True,
    )
