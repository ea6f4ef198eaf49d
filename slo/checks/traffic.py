"""Findings about burn-rate alerts at the traffic that there is, and about windows longer than the source's retention."""

from collections.abc import Iterator, Sequence

from plimsoll.slo import metrics as c
from plimsoll.slo.checks.finding import Finding
from plimsoll.slo.error_budget.burn_rate import MIN_BAD, alerts
from plimsoll.slo.sli.evidence import Counting, Way, best
from plimsoll.slo.sli.increments import Unit
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Objective
from plimsoll.slo.units import duration_text

LOOKBACK = 3600.0  # seconds: the traffic of the last hour is taken as typical
WATCHED = 60.0  # seconds of it that must be covered; below, the replicas' counts since their start are taken


def offers(ways: Sequence[Way], series: Sequence[Series]) -> Counting | None:
    """Return the best way to count that a replica's series offer."""
    return best(ways, [(item.name, item.labels) for item in series])


def latest(selectors: Sequence[Selector], series: Sequence[Series]) -> float:
    """Sum the latest values of the selected series."""
    mine = (item for item in series if any(selector.matches(item.name, item.labels) for selector in selectors))
    return sum(item.samples[-1][1] for item in mine)


def per_second(
    observed: Observed, ways: Sequence[Way], counted: dict[Unit, tuple[Counting, list[Series]]]
) -> float | None:
    """Return a pool's requests per second in the last hour, or since its replicas' start; None where nothing is counted."""
    if not counted:
        return None
    slots = observed.count(ways)
    seconds = sum(slot.covered_seconds for slot in slots)
    if seconds >= WATCHED:
        return sum(slot.total for slot in slots) / seconds
    lives = [_life(*found) for found in counted.values()]
    return sum(requests / seconds for requests, seconds in lives if seconds > 0)


def _life(way: Counting, series: Sequence[Series]) -> tuple[float, float]:
    """Return a replica's requests since its process began, and how many seconds ago that was."""
    at, start = next(item.samples[-1] for item in series if item.name == c.REPLICA_START.name)
    return latest(way.total, series) - latest(way.without, series), at - start


def traffic_findings(objective: Objective, path: str, rate: float) -> Iterator[Finding]:
    """Yield the burn-rate alerts for which `rate` (requests per second) is too low."""
    for tier in alerts(objective.window.seconds, objective.budget_ratio):
        requests, least = rate * tier.long, MIN_BAD[tier.severity]
        traffic = f"SLO {objective.id}: about {requests:.3g} requests per {duration_text(tier.long)}"
        if requests < least:
            message = f"{traffic}: {tier.tier} can't fire, as at least {least} must be bad."
            fix = "Send test requests (`plimsoll probe`), or expect no alert at this traffic."
            yield Finding("warning", "alert-never-fires", path, message, fix)
        elif tier.max_bad_ratio(objective.budget_ratio) * requests < 1:
            message = (
                f"{traffic}: one bad request exceeds the threshold of {tier.tier}. It fires at {least} bad requests."
            )
            yield Finding("info", "alert-fires-at-minimum", path, message)


def retention_findings(objective: Objective, path: str, retention: float | None) -> Iterator[Finding]:
    """Yield the windows of rules and SLO that are longer than the source's retention (seconds; None: unknown)."""
    if retention is None:
        return
    retained, window = duration_text(retention), objective.window.seconds
    for tier in alerts(window, objective.budget_ratio):
        if tier.long > retention:
            message = f"SLO {objective.id}: {tier.tier} looks back {duration_text(tier.long)}, and the source retains {retained}."
            fix = f"Raise the source's retention to {duration_text(tier.long)} or more."
            yield Finding("error", "retention-below-alert-window", path, message, fix)
    if window > retention:
        message = (
            f"SLO {objective.id}: the window ({objective.window}) is longer than the source's retention ({retained}). Only the ledger has "
            f"all of it, {duration_text(window - retention)} from now if it is new."
        )
        fix = "Keep the ledger, or raise the source's retention."
        yield Finding("warning", "retention-below-window", f"{path}.window", message, fix)
