"""Findings about thresholds beside the bucket bounds that live replicas have, and about replicas that an SLO can't count."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf

from plimsoll.slo.checks.finding import Finding, Level
from plimsoll.slo.checks.traffic import LOOKBACK, WATCHED, latest, offers
from plimsoll.slo.error_budget.budget import RequestCounts
from plimsoll.slo.sli.bucket_bounds import Edges, edges
from plimsoll.slo.sli.evidence import Near, Way
from plimsoll.slo.sli.increments import Unit
from plimsoll.slo.sli.indicators.latency import HISTOGRAMS
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import Objective
from plimsoll.slo.units import duration_text

VLLM_ARGS = "Start vLLM with the output of `plimsoll vllm-args`"


def names(units: Sequence[Unit]) -> str:
    """Return the names of replicas, at most five of them."""
    found = sorted(dict(key).get("replica", "?") for key in units)
    return ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")


def uncounted(
    objective: Objective, path: str, ways: Sequence[Way], fleet: dict[Unit, list[Series]]
) -> Iterator[Finding]:
    """Yield the replicas that aren't counted: the threshold isn't a bucket bound, or a metric is missing."""
    groups: dict[tuple[str, str, str], list[Unit]] = defaultdict(list)
    for key, series in fleet.items():
        groups[_why(objective, ways, series)].append(key)
    for (code, why, fix), units in groups.items():
        message = f"SLO {objective.id} counts nothing on {names(units)}: {why}."
        yield Finding("error", code, f"{path}.indicator", message, fix)


def _why(objective: Objective, ways: Sequence[Way], series: Sequence[Series]) -> tuple[str, str, str]:
    """Return code, reason and fix."""
    latency = objective.indicator.latency
    name = HISTOGRAMS[latency].bucket if latency else ways[0].selectors[0].name
    found = None
    if latency:
        threshold = objective.indicator.thresholds[latency]
        found = edges({float(item.labels["le"]) for item in series if item.name == name}, threshold)
    if found is None:
        fix = objective.indicator.evidence_fix or "Check the engine's version and its /metrics endpoint"
        return "evidence-missing", f"{name} is missing", f"{fix}."
    bounds = [duration_text(bound) for bound in found if bound is not None and bound < inf]
    line = f"indicator: {{{latency}: {bounds[0]}}}"
    modes = "lower_bound or bounds" if objective.bucket_mismatch == "unknown" and found.lower is not None else "bounds"
    return (
        "threshold-not-a-bound",
        f"the threshold {threshold} isn't a bucket bound (nearest: {', '.join(bounds)})",
        f"Write `{line}`. Or: {VLLM_ARGS}, use {' or '.join(bounds)}, or set bucket_mismatch: {modes}.",
    )


def between_bounds(
    objective: Objective, path: str, way: Way, fleet: dict[Unit, list[Series]], slots: Sequence[int]
) -> Iterator[Finding]:
    """Yield which replicas are counted at the bounds next to the threshold, and how many requests are between these."""
    if not isinstance(way, Near):
        return
    groups: dict[Edges, list[Unit]] = defaultdict(list)
    for key, series in fleet.items():
        if (found := way.edges([(item.name, item.labels) for item in series])) is not None:
            groups[found].append(key)
    for found, units in groups.items():
        counts, when = _counts(replace(way, bracket=True), [fleet[key] for key in units], slots)
        yield _between(objective, path, found, names(units), counts, when)


def _between(objective: Objective, path: str, found: Edges, replicas: str, counts: RequestCounts, when: str) -> Finding:
    lower, upper = (duration_text(bound) if bound and bound < inf else "" for bound in found)
    where = f"between the bounds {lower} and {upper}" if upper else f"above the highest bound, {lower},"
    where = where if lower else f"below the lowest bound, {upper},"
    threshold = objective.indicator.thresholds[objective.indicator.latency or ""]
    message = f"SLO {objective.id}: the threshold {threshold} is {where} on {replicas}."
    level: Level = "info"
    if counts.total:
        low, high = (some.good / counts.total for some in (counts, counts.upper_bound))
        message += (
            f" {counts.indeterminate:,} of {counts.total:,} requests ({when}, {counts.indeterminate / counts.total:.2%}) are indeterminate: "
            f"{low:.2%} to {high:.2%} are good."
            + ("" if objective.has_bounds else f" The lower bound, {low:.2%}, is reported.")
        )
        if low < objective.target <= high:
            level, message = "warning", f"{message} Whether the target is met is unknown."
    if objective.has_bounds and not upper:
        level, message = "warning", f"{message} No request is confirmed bad, so it never pages."
    return Finding(level, "threshold-between-bounds", f"{path}.indicator", message, f"{VLLM_ARGS}.")


def _counts(way: Near, fleet: Sequence[Sequence[Series]], slots: Sequence[int]) -> tuple[RequestCounts, str]:
    """Count replicas at both bounds: in the last hour where they were observed, else over their lives."""
    observed = Observed([item for series in fleet for item in series], slots).count([way])
    if sum(slot.covered_seconds for slot in observed) >= WATCHED:
        good, total, indeterminate = (
            sum(getattr(slot, name) for slot in observed) for name in ("good", "total", "indeterminate")
        )
        return RequestCounts(good, total, LOOKBACK, indeterminate=indeterminate), "last hour"
    sums = [0.0, 0.0, 0.0]  # good, total, good at most
    for series in fleet:
        if (counting := offers([way], series)) is not None:
            without = latest(counting.without, series)
            sums[0] += latest(counting.good, series) - (without if counting.good else 0)
            sums[1] += latest(counting.total, series) - without
            sums[2] += latest(counting.most or counting.good, series) - without
    return RequestCounts(round(sums[0]), round(sums[1]), 0.0, indeterminate=round(sums[2] - sums[0])), "since the start"
