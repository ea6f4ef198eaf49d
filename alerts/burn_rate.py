"""Burn-rate alerts: one per SLO and tier, firing while the burn rates of two windows exceed the tier's threshold.

No rule has a `for`: the long window replaces it, and the short window shows that the budget is still burning. The outage tier
has one window of some minutes and a name of its own: its text states what users feel, not what remains of a budget.
"""

from collections.abc import Sequence

from plimsoll.alerts.exclusions import excluded
from plimsoll.alerts.recording import of
from plimsoll.alerts.rules import Alert
from plimsoll.alerts.templates import result_of
from plimsoll.slo import links, metrics
from plimsoll.slo.error_budget import burn_rate
from plimsoll.slo.metrics import recorded
from plimsoll.slo.spec.exclusion import Exclusion
from plimsoll.slo.spec.objectives import Objective
from plimsoll.slo.units import duration_text, percent_text

NAME = "SLOErrorBudgetBurn"
OUTAGE = "SLOOutage"
# Seconds added to the short window: after an outage's page a burn pages only if that window burns without the outage's time.
AFTER = 120.0
TIMES = '{{ $value | printf "%.1f" }}'


def burn_alerts(objective: Objective, exclusions: Sequence[Exclusion] = ()) -> list[Alert]:
    """Return an SLO's burn-rate alerts, fastest tier first, muted by the file's exclusions."""
    return [
        _alert(objective, tier, exclusions)
        for tier in burn_rate.alerts(objective.window.seconds, objective.budget_ratio)
    ]


def _uses_lower_bound(objective: Objective, tier: burn_rate.BurnRateAlert) -> bool:
    """Return whether the tier counts confirmed bad requests only."""
    return objective.has_bounds and burn_rate.USES_LOWER_BOUND[tier.severity]


def _alert(objective: Objective, tier: burn_rate.BurnRateAlert, exclusions: Sequence[Exclusion]) -> Alert:
    lower_bound = _uses_lower_bound(objective, tier)
    long, short = (of(recorded.burn_rate(window, lower_bound), objective) for window in (tier.long, tier.short))
    bad = of(recorded.bad_requests(tier.long, lower_bound), objective)
    threshold = f"{tier.threshold:.10g}"
    enough = burn_rate.MIN_BAD[tier.severity] - 0.5  # rates extrapolate: a count of ten may come out as 9.98
    muted = excluded(
        objective, duration_text(tier.short), exclusions
    )  # excluded time doesn't show that the budget burns now
    over = dict.fromkeys(f"{window} > {threshold}" for window in (long, short))
    outage = tier.tier == burn_rate.OUTAGE
    return Alert(
        name=OUTAGE if outage else NAME,
        severity=tier.severity,
        expr="\nand ".join((*over, f"{bad} > {enough}\nunless on () ({muted})")),
        summary=f"{objective.id}: users are hit by an outage."
        if outage
        else f"{objective.id} is burning its error budget too fast.",
        description=(_outage_description if outage else _description)(objective, tier, bad, long),
        panel=links.BURN,
        path=links.slo_page(objective.id, ""),
        pool=objective.pool,
        looks_back=tier.short + AFTER,
        labels={"objective": objective.id, "tier": tier.tier},
        variables={"objective": objective.id},
    )


def _outage_description(objective: Objective, tier: burn_rate.BurnRateAlert, bad: str, long: str) -> str:
    """Return how many requests fail now, and where to look first; no budget."""
    ratio = f"{long} * {objective.budget_ratio!r}"
    counted = "confirmed bad" if _uses_lower_bound(objective, tier) else "bad"
    return (
        f"{result_of(ratio, 'humanizePercentage')} of requests ({result_of(bad)}) to {objective.pool} were {counted} in the last "
        f"{duration_text(tier.long)} by {objective.id} ({objective.indicator}); pages above "
        f"{percent_text(tier.max_bad_ratio(objective.budget_ratio))}. Next: see which replicas are affected; roll back the last change."
    )


def _description(objective: Objective, tier: burn_rate.BurnRateAlert, bad: str, long: str) -> str:
    """Return target, bad requests of the long window, remaining budget and time to exhaustion; bounds are named as such."""
    left = f'min by (objective) ({metrics.BUDGET_REMAINING}{{objective="{objective.id}"}})'
    fastest = of(recorded.burn_rate(tier.long), objective)
    lasts = f"round(({left} > 0) * {objective.window.seconds:.0f} / on (objective) {fastest}, 60)"
    ratio = f"{long} * {objective.budget_ratio!r}"
    counted, bound = "bad", ""
    if objective.has_bounds:
        counted = "confirmed bad" if _uses_lower_bound(objective, tier) else "bad or indeterminate"
        bound = " (lower bound)"
    return (
        f"{objective.id} ({objective.indicator}, target {percent_text(objective.target)} over {objective.window}): "
        f"{result_of(ratio, 'humanizePercentage')} of requests were {counted} in the last {duration_text(tier.long)} "
        f"({result_of(bad)}), a burn rate of {TIMES}x (threshold {tier.threshold:.3g}x). "
        f"Error budget remaining{bound}: {result_of(left, 'humanizePercentage')}; "
        f"time to exhaustion at this rate{bound}: {result_of(lasts, 'humanizeDuration')}."
        + (f" Policy: {objective.policy}" if objective.policy else "")
    )
