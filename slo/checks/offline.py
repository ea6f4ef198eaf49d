"""What is wrong with a valid objectives file by itself: pure findings that need no live data."""

from collections.abc import Iterator

from plimsoll.slo.calendar import DAY, HOUR
from plimsoll.slo.checks.finding import Finding, pool_path, slo_path
from plimsoll.slo.error_budget.burn_rate import BurnRateAlert, alerts
from plimsoll.slo.spec.objectives import Objective, Spec

LONGEST = 366 * DAY  # seconds of a window for which burn-rate alerts are tested (a leap year), from HOUR on


def findings(spec: Spec) -> list[Finding]:
    """Return the findings that need no live data."""
    found = [finding for objective in spec.objectives for finding in _slo(objective, slo_path(spec, objective))]
    used = {objective.pool for objective in spec.objectives}
    found += [
        Finding(
            *("warning", "pool-without-slo", pool_path(spec, pool)),
            f"Pool {pool.name} has no SLO, so nothing will alert.",
            "Add an SLO for it.",
        )
        for pool in spec.pools
        if pool.name not in used
    ]
    return found


def _slo(objective: Objective, path: str) -> Iterator[Finding]:
    """Yield which burn-rate thresholds are capped, how long an incident goes unnoticed, and settings without effect."""
    budget, window = objective.budget_ratio, objective.window.seconds
    if not HOUR <= window <= LONGEST:
        message = f"SLO {objective.id}: no burn-rate alert holds for a window of {objective.window}."
        yield Finding("error", "window-without-alerts", f"{path}.window", message, "Use a window from 1h to 366d.")
    found = alerts(window, budget)
    for tier in found:
        if tier.threshold < tier.uncapped_threshold:
            message = (
                f"SLO {objective.id}: the burn-rate threshold of {tier.tier} is capped at {tier.threshold:.4g}, from {tier.uncapped_threshold:.4g}. "
                f"The highest possible burn rate is {1 / budget:.4g}."
            )
            yield Finding("info", "burn-rate-threshold-capped", path, message)
    times = "; ".join(f"{bad:.0%} bad: {_first(found, budget, bad)}" for bad in (0.1, 0.5, 1.0))
    yield Finding("info", "detection-time", path, f"SLO {objective.id}: {times}.")
    if objective.bucket_mismatch != "unknown" and objective.indicator.latency is None:
        message = f"SLO {objective.id}: bucket_mismatch has no effect. No histogram counts {objective.indicator.kind}."
        yield Finding("info", "bucket-mismatch-unused", f"{path}.bucket_mismatch", message, "Remove it.")


def _first(found: tuple[BurnRateAlert, ...], budget: float, bad: float) -> str:
    """Return the time until the first page, and until the first ticket if that is earlier or the only alert."""
    first: dict[str, float | None] = {}
    for severity in ("page", "ticket"):
        after = [tier.detection_seconds(budget, bad) for tier in found if tier.severity == severity]
        first[severity] = min((seconds for seconds in after if seconds is not None), default=None)
    page, ticket = first["page"], first["ticket"]
    if page is not None and (ticket is None or page <= ticket):
        return f"page after {_time(page)}"
    paged = "no page" if page is None else f"page after {_time(page)}"
    return f"{paged}, {'no ticket' if ticket is None else f'ticket after {_time(ticket)}'}"


def _time(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 2 * 3600 else f"{max(1, round(seconds / 60))} min"
