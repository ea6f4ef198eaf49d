"""What only live data can tell of an objectives file: pure findings from the samples of the last hour, or of one scrape."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Literal

from plimsoll.slo import metrics as c
from plimsoll.slo.calendar import SLOT, slot_of
from plimsoll.slo.checks.offline import Finding
from plimsoll.slo.error_budget.budget import RequestCounts
from plimsoll.slo.error_budget.burn_rate import MIN_BAD, Tier, tiers
from plimsoll.slo.sli import gateway_counts
from plimsoll.slo.sli.bucket_bounds import Edges, edges
from plimsoll.slo.sli.evidence import HISTOGRAMS, Counting, Near, Way, best, countings
from plimsoll.slo.sli.increments import MAX_GAP, Observed, Unit, unit
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Objective, Pool, Spec
from plimsoll.slo.units import duration_text

LOOK = 3600.0  # seconds: the traffic of the last hour stands for the traffic
WATCHED = 60.0  # seconds that must have been watched of it; else what the replicas counted in their lives stands for it
# Missing on a page without any objective being uncounted, and what is then not known.
USEFUL = {
    c.REQUESTS_RUNNING: "stalls are not seen, and no capacity is recommended",
    c.REQUESTS_WAITING: "the queue is not seen, and no capacity is recommended",
    c.KV_CACHE_USAGE: "a full cache is not seen, and no capacity is recommended",
    c.PROMPT_TOKENS: "what a replica can do is not measured",
    c.GENERATION_TOKENS: "what a replica can do is not measured",
}
COUNTED = {
    c.REJECTED: "requests that are refused are not counted as bad",
    c.ABANDONED: "requests given up in the queue are not counted as bad",
}


@dataclass(frozen=True)
class Live:
    """Series of `selectors` up to `now` (Unix seconds), and how long their source remembers in seconds (None: not known)."""

    series: Sequence[Series]
    now: float
    retention: float | None = None


def selectors(spec: Spec) -> list[Selector]:
    """Return what has to be read, from LOOK and MAX_GAP before now."""
    found = [Selector(metric.name, ()) for metric in (c.REPLICA_START, c.REPLICA_INFO, c.METRIC_MISSING)]
    for pool in spec.pools:
        names = [metric.name for metric in (*USEFUL, *COUNTED)]
        names += [histogram.bucket for histogram in HISTOGRAMS.values()]
        found += [Selector(name, (("model", (pool.model,)),)) for name in names]
    for objective in spec.objectives:
        for counting in countings(objective, spec.pool(objective.pool)):
            found += counting.selectors
        found += gateway_counts.selectors(objective, spec.pool(objective.pool)) if objective.per else []
    return list(dict.fromkeys(found))


def live_findings(spec: Spec, live: Live) -> list[Finding]:
    """Collect the findings, pool by pool."""
    units: dict[Unit, list[Series]] = defaultdict(list)
    for item in live.series:
        units[unit(item.labels)].append(item)
    seen = {key: model for key, series in units.items() if (model := _served(series, live.now)) is not None}
    found: list[Finding] = []
    for pool in spec.pools:
        objectives = [item for item in spec.objectives if item.pool == pool.name]
        fleet = {key: units[key] for key, model in seen.items() if model == pool.model}
        found += _pool(pool, objectives, fleet, live.now) if fleet else _nobody(pool, objectives, set(seen.values()))
    for objective in spec.objectives:
        found += _retention(objective, live.retention)
        if objective.per and (why := gateway_counts.why_not(objective, spec.pool(objective.pool), live.series)):
            found.append(Finding("warning", f"objective {objective.id}", f"keeps no budget of any tenant: {why}"))
    return [*found, *_missing_at_exporters(live.series)]


def _served(series: Sequence[Series], now: float) -> str | None:
    """Return the model of a replica that was read within MAX_GAP; None where it was not."""
    starts = [item for item in series if item.name == c.REPLICA_START.name and item.samples[-1][0] >= now - MAX_GAP]
    return starts[0].labels.get("model") if starts else None


def _nobody(pool: Pool, objectives: Sequence[Objective], models: set[str]) -> Iterator[Finding]:
    live = f"live models are {', '.join(sorted(models))}" if models else "no replica at all is live"
    why = f"matches nothing live: no replica serves the model {pool.model}; {live}"
    yield Finding("error" if objectives else "warning", f"pool {pool.name}", why)
    for objective in objectives:
        yield Finding(
            "error", f"objective {objective.id}", f"counts nothing: its pool {pool.name} matches nothing live"
        )


def _pool(
    pool: Pool, objectives: Sequence[Objective], fleet: dict[Unit, list[Series]], now: float
) -> Iterator[Finding]:
    available = any(item.indicator.kind == "availability" for item in objectives)
    for metric, why in (USEFUL | (COUNTED if available else {})).items():
        without = [key for key, series in fleet.items() if not any(item.name == metric.name for item in series)]
        if without:
            where = f"on {_names(without)}" if len(without) < len(fleet) else "on every replica"
            yield Finding("warning", f"pool {pool.name}", f"{metric} is missing {where}: {why}")
    slots = range(slot_of(now - LOOK), slot_of(now) + SLOT, SLOT)
    observed = Observed([item for series in fleet.values() for item in series], slots)
    for objective in objectives:
        ways = countings(objective, pool)
        counted = {key: way for key, series in fleet.items() if (way := _best(ways, series)) is not None}
        yield from _uncounted(objective, ways, {key: s for key, s in fleet.items() if key not in counted})
        yield from _off_bucket(
            objective, ways[-1], {key: fleet[key] for key, way in counted.items() if way.bucket_mismatch}, slots
        )
        rate = _per_second(observed, ways, {key: (counted[key], fleet[key]) for key in counted})
        if rate is not None:
            yield from _traffic(objective, rate)


def _best(ways: Sequence[Way], series: Sequence[Series]) -> Counting | None:
    return best(ways, [(item.name, item.labels) for item in series])


def _names(units: Sequence[Unit]) -> str:
    names = sorted(dict(key).get("replica", "?") for key in units)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _uncounted(objective: Objective, ways: Sequence[Way], fleet: dict[Unit, list[Series]]) -> Iterator[Finding]:
    """Say which replicas are not counted: their limit is off bucket, or the numbers are missing by name."""
    groups: dict[str, list[Unit]] = defaultdict(list)
    for key, series in fleet.items():
        groups[_why(objective, ways, series)].append(key)
    for why, units in groups.items():
        yield Finding("error", f"objective {objective.id}", f"counts nothing on {_names(units)}: {why}")


def _why(objective: Objective, ways: Sequence[Way], series: Sequence[Series]) -> str:
    kind = objective.indicator.kind
    if kind not in HISTOGRAMS:
        return f"{ways[0].selectors[0].name} is missing there" + (
            ", which our plugin writes inside the engine: install it there (README)" if kind == "goodput" else ""
        )
    name, limit = HISTOGRAMS[kind].bucket, objective.indicator.thresholds[kind]
    found = edges({float(item.labels["le"]) for item in series if item.name == name}, limit)
    if found is None:
        return f"{name} is missing there"
    legal = [duration_text(bound) for bound in found if bound is not None and bound < inf]
    modes = (
        "conservative or bracket" if objective.bucket_mismatch == "unknown" and found.lower is not None else "bounds"
    )
    return (
        f"the limit {limit} is no bucket bound there; take {' or '.join(legal)}, or start vLLM with what `plimsoll vllm-args` prints, "
        f"or let bucket_mismatch say {modes}"
    )


def _off_bucket(
    objective: Objective, way: Way, fleet: dict[Unit, list[Series]], slots: Sequence[int]
) -> Iterator[Finding]:
    """Say which replicas are counted at the bounds next to the limit, at which, and how many requests lie between these."""
    groups: dict[Edges, list[Unit]] = defaultdict(list)
    for key, series in fleet.items():
        if isinstance(way, Near) and (found := way.edges([(item.name, item.labels) for item in series])) is not None:
            groups[found].append(key)
    for found, units in groups.items():
        assert isinstance(way, Near)  # noqa: S101 - or there would be no group
        seen = _between(replace(way, bracket=True), [fleet[key] for key in units], slots)
        yield _at_edges(objective, found, _names(units), *seen)


def _at_edges(objective: Objective, found: Edges, names: str, seen: RequestCounts, when: str) -> Finding:
    lower, upper = (duration_text(bound) if bound and bound < inf else "" for bound in found)
    where = f"between the bounds {lower} and {upper}" if lower and upper else f"above the highest bound, {lower},"
    where = where if lower else f"below the lowest bound, {upper},"
    limit = objective.indicator.thresholds[objective.indicator.kind]
    told = f"the limit {limit} lies {where} on {names}; bucket_mismatch: {objective.bucket_mismatch} "
    told += "counts at both" if objective.has_bounds else f"counts at {lower}"
    level: Literal["warning", "info"] = "info"
    if seen.total:
        ends = [some.good / seen.total for some in (seen, seen.at_best)]
        told += (
            f": {seen.indeterminate:,} of {when} {seen.total:,} requests ({seen.indeterminate / seen.total:.2%}) are between, so "
            f"{ends[0]:.2%} to {ends[1]:.2%} are good"
            + ("" if objective.has_bounds else f", and {ends[0]:.2%} is told")
        )
        if ends[0] < objective.target <= ends[1]:
            level, told = "warning", f"{told}; whether the target is kept cannot be told"
    if objective.has_bounds and not upper:
        level, told = "warning", f"{told}; nothing is surely bad, so no page can ever come"
    return Finding(
        level, f"objective {objective.id}", f"{told}. `plimsoll vllm-args` prints what makes the limit a bound"
    )


def _between(way: Near, fleet: Sequence[Sequence[Series]], slots: Sequence[int]) -> tuple[RequestCounts, str]:
    """Count replicas at both edges: in the last hour where they were watched, else over their lives."""
    watched = Observed([item for series in fleet for item in series], slots).count([way])
    if sum(slot.covered_seconds for slot in watched) >= WATCHED:
        sums = [sum(getattr(slot, name) for slot in watched) for name in ("good", "total", "indeterminate")]
        return RequestCounts(sums[0], sums[1], LOOK, indeterminate=sums[2]), "the last hour's"
    good, total, most = 0.0, 0.0, 0.0
    for series in fleet:
        if (counting := _best([way], series)) is not None:
            without = _last(counting.without, series)
            total += _last(counting.total, series) - without
            good += _last(counting.good, series) - (without if counting.good else 0)
            most += _last(counting.most or counting.good, series) - without
    return RequestCounts(round(good), round(total), 0.0, indeterminate=round(most - good)), "their lives'"


def _per_second(
    observed: Observed, ways: Sequence[Way], counted: dict[Unit, tuple[Counting, list[Series]]]
) -> float | None:
    """Return the pool's requests per second, in the last hour where it was watched, else over the replicas' lives."""
    if not counted:
        return None
    slots = observed.count(ways)
    seconds = sum(slot.covered_seconds for slot in slots)
    if seconds >= WATCHED:
        return sum(slot.total for slot in slots) / seconds
    lives = [_life(*found) for found in counted.values()]
    return sum(requests / seconds for requests, seconds in lives if seconds > 0)


def _life(way: Counting, series: Sequence[Series]) -> tuple[float, float]:
    """Return what a replica has counted since its process began, and how many seconds ago that was."""
    at, start = next(item.samples[-1] for item in series if item.name == c.REPLICA_START.name)
    return _last(way.total, series) - _last(way.without, series), at - start


def _last(selectors: Sequence[Selector], series: Sequence[Series]) -> float:
    """Sum the latest values of what is selected."""
    mine = (item for item in series if any(selector.matches(item.name, item.labels) for selector in selectors))
    return sum(item.samples[-1][1] for item in mine)


def _traffic(objective: Objective, rate: float) -> Iterator[Finding]:
    """Say which tiers the traffic is too prune for. `rate` is in requests per second."""
    for tier in tiers(objective.window.seconds, objective.budget_ratio):
        requests, least = rate * tier.long, MIN_BAD[tier.severity]
        where, per = f"objective {objective.id}, tier {tier.tier}", _per(tier, requests)
        if requests < least:
            yield Finding(
                "warning", where, f"never fires at this traffic: {per}, and it takes at least {least} bad ones"
            )
        elif tier.threshold(objective.budget_ratio) * requests < 1:
            yield Finding(
                "info",
                where,
                f"{per}: a single bad one burns fast enough; it fires at {least} bad ones, whatever the rate",
            )


def _per(tier: Tier, requests: float) -> str:
    return f"about {requests:.3g} requests in its {duration_text(tier.long)}"


def _retention(objective: Objective, retention: float | None) -> Iterator[Finding]:
    """Compare how far rules and ledger look back with what the source remembers."""
    if retention is None:
        return
    where, kept = f"objective {objective.id}", duration_text(retention)
    for tier in tiers(objective.window.seconds, objective.budget_ratio):
        if tier.long > retention:
            why = f"looks back {duration_text(tier.long)}, and the source remembers {kept}: its rule sees only a part of it"
            yield Finding("error", f"{where}, tier {tier.tier}", why)
    if objective.window.seconds > retention:
        why = (
            f"the window ({objective.window}) is longer than the source remembers ({kept}): a new ledger knows all of it only after "
            f"{duration_text(objective.window.seconds - retention)} more, and none but the ledger can show it"
        )
        yield Finding("warning", where, why)


def _missing_at_exporters(series: Sequence[Series]) -> Iterator[Finding]:
    for item in series:
        if item.name == c.METRIC_MISSING.name and item.samples[-1][1]:
            engine, metric = item.labels.get("collector", "?"), item.labels.get("metric", "?")
            yield Finding(
                "warning",
                f"exporter, {engine}",
                f"{metric} is not on the engine's page, though its version should have it",
            )
