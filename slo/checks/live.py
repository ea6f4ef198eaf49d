"""What is wrong with an objectives file by live data: pure findings from the samples of the last hour, or of one scrape."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from plimsoll.slo import metrics as c
from plimsoll.slo.calendar import SLOT, slot_of
from plimsoll.slo.checks.finding import Finding, Level, pool_path, slo_path
from plimsoll.slo.checks.gateways import gateway_findings
from plimsoll.slo.checks.starting import proposals
from plimsoll.slo.checks.thresholds import between_bounds, names, uncounted
from plimsoll.slo.checks.traffic import LOOKBACK, offers, per_second, retention_findings, traffic_findings
from plimsoll.slo.sli import gateway_counts, roles
from plimsoll.slo.sli.duplicates import counted_once
from plimsoll.slo.sli.evidence import countings
from plimsoll.slo.sli.increments import MAX_GAP, Unit, unit
from plimsoll.slo.sli.indicators.latency import HISTOGRAMS
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Objective, Pool, Spec

# Metrics that an engine may lack while every SLO is counted -> what is unknown without them.
USEFUL = {
    c.REQUESTS_RUNNING: "stalls aren't detected, and capacity recommendations are missing",
    c.REQUESTS_WAITING: "the queue is unknown, and capacity recommendations are missing",
    c.KV_CACHE_USAGE: "a full KV cache isn't detected, and capacity recommendations are missing",
    c.PROMPT_TOKENS: "the throughput of a replica isn't measured",
    c.GENERATION_TOKENS: "the throughput of a replica isn't measured",
}
OF_GENERATION = (c.KV_CACHE_USAGE, c.GENERATION_TOKENS)  # that embedding models don't have
OF_DECODE = (c.PROMPT_TOKENS, c.GENERATION_TOKENS)  # that prefill engines don't have, as decode counts a request


FILE = "FILE"  # an objectives file without a name


@dataclass(frozen=True)
class Live:
    """Series of `selectors` up to `now` (Unix seconds), the retention of their source in seconds (None: unknown), and what a command calls
    that source and the objectives file."""

    series: Sequence[Series]
    now: float
    retention: float | None = None
    source: str = "SOURCE"
    file: str = FILE


def selectors(spec: Spec) -> list[Selector]:
    """Return the series to read, from LOOKBACK and MAX_GAP before now."""
    found = [Selector(metric.name, ()) for metric in (c.REPLICA_START, c.REPLICA_INFO, c.METRIC_MISSING)]
    optional = {metric for objective in spec.objectives for metric in objective.indicator.optional_metrics}
    for pool in spec.pools:
        names = [metric.name for metric in (*USEFUL, *sorted(optional, key=str))]
        names += [histogram.bucket for histogram in HISTOGRAMS.values()]
        found += [Selector(name, pool.labels) for name in names]
    for objective in spec.objectives:
        for counting in countings(objective, spec.pool(objective.pool)):
            found += counting.selectors
        found += (
            gateway_counts.selectors(objective, spec.pool(objective.pool)) if gateway_counts.are_read(objective) else []
        )
    return list(dict.fromkeys(found))


def live_findings(spec: Spec, live: Live) -> list[Finding]:
    """Return the findings, pool by pool."""
    once = counted_once(live.series)
    units: dict[Unit, list[Series]] = defaultdict(list)
    for item in once.series:
        units[unit(item.labels)].append(item)
    labels = {key: some for key, series in units.items() if (some := _labels(series, live.now)) is not None}
    found: list[Finding] = []
    for pool in spec.pools:
        fleet = {key: units[key] for key, mine in labels.items() if pool.owns(mine)}
        found += _pool(spec, pool, fleet, live.now) if fleet else _not_live(spec, pool, labels.values())
    for objective in spec.objectives:
        path = slo_path(spec, objective)
        found += retention_findings(objective, path, live.retention)
        found += gateway_findings(spec, objective, live.series, live.now)
    models = {key: mine["model"] for key, mine in labels.items() if "model" in mine}
    found += [*_without_pool(spec, live, models), *_unmatched(spec, labels)]
    found += [Finding("warning", "duplicate-target", "source", *one.problem()[2:4]) for one in once.duplicates]
    return [*found, *_missing_at_exporters(live.series)]


def _labels(series: Sequence[Series], now: float) -> Mapping[str, str] | None:
    """Return the labels of a replica that was read within MAX_GAP; None where it was not."""
    starts = [item for item in series if item.name == c.REPLICA_START.name and item.samples[-1][0] >= now - MAX_GAP]
    return starts[0].labels if starts else None


def _at_engines(spec: Spec, pool: Pool) -> list[Objective]:
    return [item for item in spec.objectives if item.pool == pool.name and item.count_at == "engine"]


def _not_live(spec: Spec, pool: Pool, labels: Iterable[Mapping[str, str]]) -> Iterator[Finding]:
    shown = sorted({" ".join(_shown(some, pool)) for some in labels if "model" in some})
    live = f"Live models: {', '.join(shown)}." if shown else "No replica is live."
    objectives = _at_engines(spec, pool)
    level: Level = "error" if objectives else "warning"
    matched = f" with {', '.join(label for label, _ in pool.match.labels)} as in its match" if pool.match.labels else ""
    message = f"Pool {pool.name}: no live replica serves the model {pool.model}{matched}. {live}"
    fix = f"Check the model's name{', the labels of the scrape targets,' if pool.match.labels else ','} and that an exporter reads its engine."
    named = {pool.model for pool in spec.pools}
    if free := sorted({some["model"] for some in labels if "model" in some} - named):
        fix += f" To count the live one instead: `model: {json.dumps(free[0])}`."
    yield Finding(level, "pool-not-live", f"{pool_path(spec, pool)}.model", message, fix)
    for objective in objectives:
        message = f"SLO {objective.id} counts nothing: no replica of pool {pool.name} is live."
        yield Finding("error", "slo-not-live", slo_path(spec, objective), message, f"Fix pool {pool.name}.")


def _shown(labels: Mapping[str, str], pool: Pool) -> Iterator[str]:
    """Yield a replica's model, and its labels that the pool matches: `model region=eu`."""
    yield labels["model"]
    for label, _ in pool.match.labels:
        yield f"{label}={labels[label]}" if label in labels else f"(no {label})"


def _without_pool(spec: Spec, live: Live, models: dict[Unit, str]) -> Iterator[Finding]:
    """Yield the live models that no pool names, each with the lines that add one."""
    named = {pool.model for pool in spec.pools}
    for one in proposals(
        [item for item in live.series if unit(item.labels) in models], named, {pool.name for pool in spec.pools}
    ):
        replicas = names([key for key, model in models.items() if model == one.model])
        message = f"Model {one.model} ({replicas}) belongs to no pool: nothing counts its requests."
        slo = next((slo for slo in one.slos if slo.indicator), None)
        lines = f"Add to `pools`: `- {{name: {one.pool}, model: {json.dumps(one.model)}}}`"
        if slo is not None:
            lines += f", and to `objectives`: `- {{id: {slo.id}, pool: {one.pool}, {slo.line}}}`"
        fix = f"{lines}. Or add every such model: `plimsoll init --source {live.source} --out {live.file}`. The service then reads the file again."
        yield Finding("warning", "model-without-pool", "pools", message, fix)


def _unmatched(spec: Spec, labels: Mapping[Unit, Mapping[str, str]]) -> Iterator[Finding]:
    """Yield the live replicas of a pool's model that no pool matches, by model."""
    for model in sorted({pool.model for pool in spec.pools}):
        mine = [key for key, some in labels.items() if some.get("model") == model]
        unmatched = [key for key in mine if not any(pool.owns(labels[key]) for pool in spec.pools)]
        if unmatched:
            message = (
                f"No pool matches {names(unmatched)}, which serves the model {model}: nothing counts its requests."
            )
            fix = "Add a pool whose match has the labels of its scrape target, or add their values to one."
            yield Finding("warning", "replica-without-pool", "pools", message, fix)


def _pool(spec: Spec, pool: Pool, fleet: dict[Unit, list[Series]], now: float) -> Iterator[Finding]:
    objectives = _at_engines(spec, pool)
    yield from _missing(pool, pool_path(spec, pool), objectives, fleet)
    slots = range(slot_of(now - LOOKBACK), slot_of(now) + SLOT, SLOT)
    observed = Observed([item for series in fleet.values() for item in series], slots)
    for objective in objectives:
        ways, path = countings(objective, pool), slo_path(spec, objective)
        if why := roles.why_not(objective, roles.roles(item for series in fleet.values() for item in series)):
            message = f"SLO {objective.id} counts nothing at engines. {why.message}"
            yield Finding("error", "gateway-needed", f"{path}.count_at", message, why.fix)
            continue
        counted = {key: way for key, series in fleet.items() if (way := offers(ways, series)) is not None}
        others = {key: s for key, s in fleet.items() if key not in counted and not _is_prefill(s)}
        yield from uncounted(objective, path, ways, others)
        mismatched = {key: fleet[key] for key, way in counted.items() if way.bucket_mismatch}
        yield from between_bounds(objective, path, ways[-1], mismatched, slots)
        rate = per_second(observed, ways, {key: (counted[key], fleet[key]) for key in counted})
        if rate is not None:
            yield from traffic_findings(objective, path, rate)


def _is_prefill(series: Sequence[Series]) -> bool:
    return roles.PREFILL in roles.roles(series)


def _missing(
    pool: Pool, path: str, objectives: Sequence[Objective], fleet: dict[Unit, list[Series]]
) -> Iterator[Finding]:
    wanted = {metric: why for metric, why in USEFUL.items() if pool.kind != "embedding" or metric not in OF_GENERATION}
    for objective in objectives:
        wanted |= objective.indicator.optional_metrics
    for metric, effect in wanted.items():
        needed = {key: series for key, series in fleet.items() if not (metric in OF_DECODE and _is_prefill(series))}
        without = [key for key, series in needed.items() if not any(item.name == metric.name for item in series)]
        if without:
            where = f"on {names(without)}" if len(without) < len(fleet) else "on every replica"
            message = f"Pool {pool.name}: {metric} is missing {where}: {effect}."
            yield Finding(
                "warning", "metric-missing", path, message, "Check the engine's version and its /metrics endpoint."
            )


def _missing_at_exporters(series: Sequence[Series]) -> Iterator[Finding]:
    for item in series:
        if item.name == c.METRIC_MISSING.name and item.samples[-1][1]:
            engine, metric = item.labels.get("collector", "?"), item.labels.get("metric", "?")
            message = f"Collector {engine}: the engine doesn't expose {metric}, which its version should."
            yield Finding("warning", "engine-metric-missing", "source", message, "Check the engine's arguments.")
