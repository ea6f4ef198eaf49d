"""What only live data can tell of an objectives file: pure findings from the samples of the last hour, or of one scrape."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf

from slo import catalogue as c
from slo.burn import MIN_BAD, Tier, tiers
from slo.findings import Finding
from slo.indicators import HISTOGRAMS, Counting, Selector, Way, best, countings
from slo.ledger.booking import MAX_GAP, Observed, Unit, unit
from slo.quantities import duration_text
from slo.sources import Series
from slo.spec import Objective, Pool, Spec
from slo.windows import SLOT, slot_of

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
    name, limit = HISTOGRAMS[kind].bucket, float(objective.indicator.limits[kind])
    bounds = {float(item.labels.get("le", "nan")) for item in series if item.name == name}
    if not bounds:
        return f"{name} is missing there"
    below, above = max((b for b in bounds if b < limit), default=0.0), min(b for b in bounds | {inf} if b > limit)
    legal = [duration_text(bound) for bound in (below, above) if 0 < bound < inf]
    return (
        f"the limit {objective.indicator.limits[kind]} is no bucket bound there; take {' or '.join(legal)}, or start vLLM with what "
        f"`plimsoll vllm-args` prints"
    )


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
    signs = [(selector, 1) for selector in way.total] + [(selector, -1) for selector in way.without]
    return sum(
        sign * item.samples[-1][1]
        for selector, sign in signs
        for item in series
        if selector.matches(item.name, item.labels)
    ), at - start


def _traffic(objective: Objective, rate: float) -> Iterator[Finding]:
    """Say which tiers the traffic is too thin for. `rate` is in requests per second."""
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
