"""Alerts on spending an error budget: one per objective and tier, firing while two windows burn faster than the tier's factor.

No rule has a `for`: the long window is the patience and the short one the proof that it still burns.
"""

from plimsoll.alerts.exclusions import excluded
from plimsoll.alerts.recording import of
from plimsoll.alerts.rules import Alert
from plimsoll.alerts.templates import answer
from plimsoll.slo import links, metrics
from plimsoll.slo.error_budget import burn_rate
from plimsoll.slo.metrics import recorded
from plimsoll.slo.spec.objectives import Objective
from plimsoll.slo.units import duration_text, percent_text

NAME = "SLOErrorBudgetBurn"
TIMES = '{{ $value | printf "%.1f" }}'


def burn_alerts(objective: Objective) -> list[Alert]:
    """List an objective's burn alerts, fastest tier first."""
    return [_alert(objective, tier) for tier in burn_rate.tiers(objective.window.seconds, objective.budget_ratio)]


def _alert(objective: Objective, tier: burn_rate.Tier) -> Alert:
    at_best = objective.has_bounds and burn_rate.AT_BEST[tier.severity]
    long, short = (of(recorded.burn_rate(window, at_best), objective) for window in (tier.long, tier.short))
    bad = of(recorded.bad_requests(tier.long, at_best), objective)
    factor = f"{tier.factor:.10g}"
    enough = burn_rate.MIN_BAD[tier.severity] - 0.5  # rates extrapolate: a count of ten may come out as 9.98
    muted = excluded(objective, duration_text(tier.short))  # no proof that it burns now is taken from excluded time
    return Alert(
        name=NAME,
        severity=tier.severity,
        expr=f"{long} > {factor}\nand {short} > {factor}\nand {bad} > {enough}\nunless on () ({muted})",
        summary=f"{objective.id}: error budget burns {TIMES} times too fast",
        description=_description(objective, tier, bad, long),
        panel=links.BURN,
        path=links.objective_page(objective.id, ""),
        pool=objective.pool,
        labels={"objective": objective.id, "tier": tier.tier},
        variables={"objective": objective.id},
    )


def _description(objective: Objective, tier: burn_rate.Tier, bad: str, long: str) -> str:
    """Say what is promised, what happened in the long window, what is left and for how long; of a has_bounds one at the least."""
    left = f'min by (objective) ({metrics.BUDGET_REMAINING}{{objective="{objective.id}"}})'
    fastest = of(recorded.burn_rate(tier.long), objective)
    lasts = f"round(({left} > 0) * {objective.window.seconds:.0f} / on (objective) {fastest}, 60)"
    share, span = f"{long} * {objective.budget_ratio!r}", objective.window
    were, least = "bad", ""
    if objective.has_bounds:
        were, least = "surely bad" if burn_rate.AT_BEST[tier.severity] else "not surely good", " at the least"
    return " ".join(
        (
            f"Promised: {objective.indicator}, {percent_text(objective.target)} over {span}.",
            f"In the last {duration_text(tier.long)} {answer(share, 'humanizePercentage')} of the requests were {were} ({answer(bad)}),",
            f"{TIMES} times what the budget allows (alarm above {tier.factor:.3g}).",
            f"Budget left{least}: {answer(left, 'humanizePercentage')};",
            f"at this rate it lasts{least} {answer(lasts, 'humanizeDuration')}.",
        )
    )
