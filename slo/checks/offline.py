"""What a valid objectives file still gets wrong: pure findings, each with the objective and what it means at 3 am."""

from dataclasses import dataclass
from typing import Literal

from plimsoll.slo.error_budget.burn_rate import Tier, tiers
from plimsoll.slo.spec.objectives import LATENCIES, Objective, Spec


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark. `error` means that the objective cannot do what it says."""

    level: Literal["error", "warning", "info"]
    where: str
    message: str


def findings(spec: Spec) -> list[Finding]:
    """Collect the findings that need no live data."""
    found = []
    for objective in spec.objectives:
        found += _tiers(objective)
        if objective.bucket_mismatch != "unknown" and objective.indicator.kind not in LATENCIES:
            why = f"bucket_mismatch: {objective.bucket_mismatch} does nothing here: {objective.indicator.kind} is not counted by a histogram"
            found.append(Finding("info", f"objective {objective.id}", why))
    used = {objective.pool for objective in spec.objectives}
    found += [
        Finding("warning", f"pool {pool.name}", "has no objective: nothing is promised for it, nothing will alert")
        for pool in spec.pools
        if pool.name not in used
    ]
    return found


def _tiers(objective: Objective) -> list[Finding]:
    """Say how long an incident goes unnoticed, and which tiers had to be lowered to be able to fire at all."""
    budget, where = objective.budget_ratio, f"objective {objective.id}"
    found = tiers(objective.window.seconds, budget)
    lowered = [
        Finding(
            "info",
            f"{where}, tier {tier.tier}",
            f"a burn rate of {tier.wished:.4g} can hardly or never be reached (the highest is {1 / budget:.4g}); "
            f"lowered to {tier.factor:.4g}",
        )
        for tier in found
        if tier.factor < tier.wished
    ]
    times = "; ".join(f"{bad:.0%} bad: {_first(found, budget, bad)}" for bad in (0.1, 0.5, 1.0))
    return [*lowered, Finding("info", where, times)]


def _first(found: tuple[Tier, ...], budget: float, bad: float) -> str:
    """Name the time until the first page, and until the first ticket where that comes earlier or there is no page."""
    parts = []
    for severity in ("page", "ticket"):
        after = [tier.detection_seconds(budget, bad) for tier in found if tier.severity == severity]
        known = [seconds for seconds in after if seconds is not None]
        parts.append((min(known, default=None), severity))
    (page, _), (ticket, _) = parts
    if page is not None and (ticket is None or page <= ticket):
        return f"page after {_time(page)}"
    first = "no page" if page is None else f"page after {_time(page)}"
    return f"{first}, {'no ticket' if ticket is None else f'ticket after {_time(ticket)}'}"


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 2 * 3600 else f"{max(1, round(seconds / 60))} min"
