"""The series of a simulated month, as the exporters and the SLO service would publish them: arrays with a sample a minute, and promtool's notation."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from month_pool import BOUNDS, COLD, DAY, Flags, MonthPool, Numbers
from plimsoll.slo import metrics as c
from plimsoll.slo.error_budget.budget import RequestCounts
from plimsoll.slo.error_budget.exhaustion import BLOCK, PER_DAY, SPREAD_DAYS, Exhaustion, exhaustion
from plimsoll.slo.metrics.metric import bucket_bound
from plimsoll.slo.spec.objectives import Objective, Spec
from promtool import series

Line = tuple[str, NDArray[Any], Flags]  # name with labels, values, and whether they are shown
Lines = Iterator[Line]
PROMPT, OUTPUT = 1000, 200  # tokens of a request
HISTOGRAMS = {"ttft": c.TTFT, "tpot": c.TPOT, "duration": c.DURATION}
KINDS = {"time_to_first_token": "ttft", "time_per_output_token": "tpot", "request_duration": "duration"}
SERVICE = {"job": "plimsoll-slo", "instance": "slo:8080"}
LEDGER = 5  # minutes between two updates of what the service publishes
FORECAST = 60  # minutes between two projections
MONTH_BEGINS = 14 * DAY  # the third Monday is the first of a calendar month


def notation(lines: Iterable[Line], window: slice) -> list[dict[str, str]]:
    """Return the series of a window of minutes, as promtool reads them: its time begins with the window."""
    found = []
    for name, values, shown in lines:
        moments = name.startswith((str(c.REPLICA_START), str(c.GPU_XID_LAST)))
        mine = values[window] - (60 * window.start if moments else 0)
        found.append({"series": name, "values": _text(mine, shown[window])})
    return found


def _text(values: NDArray[np.generic], shown: Flags) -> str:
    """Return runs of equal values as a count, and gaps where they aren't shown. A scrape marks the end of a series as stale."""
    changed = np.flatnonzero((values[1:] != values[:-1]) | (shown[1:] != shown[:-1])) + 1
    edges = [0, *changed.tolist(), len(values)]
    found, parts, gap = values.tolist(), [], False
    for begin, end in itertools.pairwise(edges):
        more = end - begin - 1
        if shown[begin]:
            parts.append(f"{found[begin]}x{more}" if more else str(found[begin]))
            gap = False
        elif gap:
            parts.append(f"_x{more + 1}")
        else:
            parts.append(f"stale _x{more}" if more else "stale")
            gap = True
    return " ".join(parts)


def counter(pool: MonthPool, replica: int, each: NDArray[np.generic]) -> NDArray[np.int64]:
    """Return a counter of an engine, which starts at 0 whenever the engine does."""
    total = np.cumsum(each.astype(np.int64))
    born = np.maximum(pool.born[replica], 0)
    return np.asarray(total - np.where(born > 0, total[np.maximum(born - 1, 0)], 0))


def of_pool(pool: MonthPool) -> Lines:
    """Yield every series of a pool's nodes."""
    for replica in range(pool.plan.replicas):
        yield from _of_node(pool, replica)


def instance(pool: MonthPool, replica: int) -> str:
    """Return the address of a replica's exporter."""
    return f"{pool.plan.name}-{replica + 1}:9800"


def _of_node(pool: MonthPool, replica: int) -> Lines:
    node = {"job": "plimsoll", "instance": instance(pool, replica)}
    listed, exporter = pool.listed[replica], pool.exporter[replica]
    engine = exporter & pool.engine[replica]
    name = {**node, "replica": f"{pool.plan.name}-{replica + 1}", "engine": "vllm"}
    own = {**name, "model": pool.plan.model}
    yield series("up", node), exporter.astype(int), listed
    yield series(str(c.COLLECTOR_SUCCESS), {**node, "collector": "vllm"}), engine.astype(int), exporter
    yield series(str(c.COLLECTOR_SUCCESS), {**node, "collector": "nvml"}), exporter.astype(int), exporter
    yield series(str(c.REPLICA_UP), name), engine.astype(int), exporter
    yield series(str(c.REPLICA_INFO), own), engine.astype(int), engine
    yield series(str(c.REPLICA_START), own), 60 * pool.born[replica], engine
    yield from _gpus(pool, replica, node)
    for key, values in _engine(pool, replica).items():
        metric, _, label = key.partition(",")
        further = dict([label.split("=")]) if label else {}
        yield series(metric, {**own, "rank": "0", **further}), values, engine


def _gpus(pool: MonthPool, replica: int, node: Mapping[str, str]) -> Lines:
    shown = pool.exporter[replica]
    for gpu in (0, 1):
        own = {**node, "uuid": f"GPU-{pool.plan.name}-{replica + 1}-{gpu}"}
        up = pool.gpu[replica] if gpu == 0 else np.ones(pool.minutes, bool)
        yield series(str(c.GPU_UP), own), up.astype(int), shown
        yield series(str(c.GPU_RECOVERY_ACTION), own), 2 * ~up, shown
        yield series(str(c.GPU_CLOCK), {**own, "domain": "sm"}), np.full(pool.minutes, 1980000000), shown & up
        yield series(str(c.GPU_CLOCK_MAX), {**own, "domain": "sm"}), np.full(pool.minutes, 1980000000), shown & up
        yield series(str(c.GPU_CLOCK_LIMITED), {**own, "reason": "hardware_thermal"}), 0 * up, shown & up
        if gpu == 0 and replica in pool.xids:
            at = pool.xids[replica]
            after = shown & (np.arange(pool.minutes) >= at)
            yield series(str(c.GPU_XID_LAST), {**own, "xid": "79"}), np.full(pool.minutes, 60 * at), after


def _engine(pool: MonthPool, replica: int) -> dict[str, NDArray[np.generic]]:
    """Return the gauges and counters of a replica's engine, by name and one further label."""
    random, requests, load = pool.random, pool.requests[replica], pool.load[replica]
    served = requests - pool.errors[replica]
    running = np.where(pool.stalled[replica], 30, random.binomial(requests, 0.2))
    hits = 0.6 * np.clip((pool.age[replica] + 1) / (2 * COLD), 0.1, 1)
    aborted = random.binomial(served, 0.01)
    cache = np.clip(0.15 + 0.4 * np.minimum(load, 2.0) + random.normal(0, 0.03, pool.minutes), 0, 1)
    each = {
        f"{c.FINISHED},reason=stop": served - aborted,
        f"{c.FINISHED},reason=length": 0 * served,
        f"{c.FINISHED},reason=error": pool.errors[replica],
        f"{c.FINISHED},reason=abort": aborted,
        f"{c.REJECTED},reason=5xx": 0 * served,
        f"{c.ABANDONED},stage=queued": pool.abandoned[replica],
        str(c.PREEMPTIONS): random.poisson(0.02 * np.minimum(load, 1.0)),
        str(c.PROMPT_TOKENS): PROMPT * requests,
        str(c.GENERATION_TOKENS): OUTPUT * requests,
        str(c.PROGRESS_TOKENS): (PROMPT + OUTPUT) * requests,
        str(c.PREFIX_QUERIED): PROMPT * requests,
        str(c.PREFIX_HIT): (hits * PROMPT * requests).astype(int),
        f"{c.KV_TRANSFER_FAILURES},reason=transport": pool.failures[replica],
        c.KV_TRANSFER_TIME.count: requests - pool.failures[replica],
    }
    for kind, metric in HISTOGRAMS.items():
        for bound, within in zip(BOUNDS[kind], pool.within[kind], strict=True):
            each[f"{metric.bucket},le={bucket_bound(bound)}"] = within[replica]
        each |= {f"{metric.bucket},le=+Inf": requests, metric.count: requests}
    counters = {name: counter(pool, replica, values) for name, values in each.items()}
    gauges: dict[str, NDArray[np.generic]] = {
        str(c.REQUESTS_RUNNING): running,
        str(c.REQUESTS_WAITING): (pool.queued[replica] + random.poisson(0.1 * np.minimum(load, 1.0))).astype(int),
        str(c.KV_CACHE_USAGE): np.round(np.where(pool.queued[replica] > 20, 0.97, cache), 2),
    }
    return gauges | counters


def counts(objective: Objective, pool: MonthPool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the good and all requests of an SLO in every minute."""
    if objective.indicator.kind == "availability":
        good = pool.requests - pool.errors
        return good.sum(axis=0), (pool.requests + pool.abandoned).sum(axis=0)
    kind = KINDS[objective.indicator.kind]
    threshold = float(objective.indicator.thresholds[objective.indicator.kind])
    return pool.within[kind][BOUNDS[kind].index(threshold)].sum(axis=0), pool.requests.sum(axis=0)


def of_service(spec: Spec, pools: Sequence[MonthPool], silent: Flags) -> Lines:
    """Yield what the SLO service publishes; it ingests nothing while `silent`."""
    minutes = len(silent)
    clock, always = np.arange(minutes), np.ones(minutes, bool)
    fresh = np.maximum.accumulate(np.where(silent, 0, clock))
    yield series(str(c.INGEST_LAG), SERVICE), 60 * (1 + clock - fresh), always
    by_name = {pool.plan.name: pool for pool in pools}
    for pool in pools:
        own = {**SERVICE, "pool": pool.plan.name}
        yield series(str(c.RECOMMENDED_NODES), own), pool.listed.sum(axis=0), always
        for replica in range(pool.plan.replicas):
            saturated = int(1.6 * pool.plan.per_minute * (PROMPT + OUTPUT) / 60)
            name = {**own, "replica": f"{pool.plan.name}-{replica + 1}"}
            yield series(str(c.REPLICA_CAPACITY), name), np.full(minutes, saturated), always
    for objective in spec.objectives:
        own = {**SERVICE, "objective": objective.id, "pool": objective.pool}
        good, total = counts(objective, by_name[objective.pool])
        yield series(str(c.EXCLUDED), own), np.zeros(minutes, int), always
        yield series(str(c.COVERAGE), own), np.ones(minutes, int), always
        yield from _budget(objective, own, (total - good).astype(float), total.astype(float))


def _budget(objective: Objective, own: Mapping[str, str], bad: Numbers, total: Numbers) -> Lines:
    """Yield the budget that remains, and its projection. Before the simulation, every day was as its days are in the median."""
    minutes, window = len(bad), int(objective.window.seconds // 60)
    bad, total = (np.concatenate([_usual(one, 2 * window), one]) for one in (bad, total))
    ends = 2 * window + np.arange(minutes) // LEDGER * LEDGER
    begins = ends - window
    if objective.window.calendar:
        first = 2 * window + MONTH_BEGINS
        begins = np.where(ends <= first, first - window, first)
    used, seen = (np.concatenate([[0.0], np.cumsum(one)]) for one in (bad, total))
    counted, spent = (one[ends] - one[begins] for one in (seen, used))
    remaining = 1 - spent / np.maximum(counted, 1) / objective.budget_ratio
    yield series(str(c.BUDGET_REMAINING), own), np.round(remaining, 4), counted > 0
    spans = zip(begins[::FORECAST].tolist(), ends[::FORECAST].tolist(), strict=True)
    found = [_projected(objective, bad, total, begin, end) for begin, end in spans]
    for bound in ("earliest", "latest"):
        each = np.array([getattr(one, bound) or 0.0 for one in found]).repeat(FORECAST)[:minutes]
        if each.any():
            yield series(str(c.EXHAUSTION), {**own, "bound": bound}), np.round(each), each > 0


def _projected(objective: Objective, bad: Numbers, total: Numbers, begin: int, end: int) -> Exhaustion:
    """Return the service's projection at minute `end`, of a window that began at minute `begin`."""
    requests = int(total[begin:end].sum())
    counted = RequestCounts(requests - int(bad[begin:end].sum()), requests, 60.0 * (end - begin))
    span, window = int(BLOCK // 60), int(objective.window.seconds // 60)
    rows = [slice(end - span * left, end - span * (left - 1)) for left in range(PER_DAY * SPREAD_DAYS, 0, -1)]
    blocks = np.array([[bad[row].sum(), total[row].sum(), BLOCK, BLOCK] for row in rows], float)
    if objective.window.calendar:
        return exhaustion(objective, counted, np.zeros((0, 3)), blocks, 60.0 * max(begin + window - end, 1))
    edges = range(begin, end, DAY // 4)
    pieces = [slice(edge, min(edge + DAY // 4, end)) for edge in edges]
    leaving = np.array([[60.0 * (one.stop - begin), bad[one].sum(), total[one].sum()] for one in pieces])
    return exhaustion(objective, counted, leaving, blocks, None)


def _usual(values: Numbers, length: int) -> Numbers:
    """Return the median day of whole days, repeated for so many minutes up to a midnight."""
    usual = np.median(values[: len(values) // DAY * DAY].reshape(-1, DAY), axis=0)
    return np.asarray(np.resize(usual, length))
