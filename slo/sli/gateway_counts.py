"""An SLO as gateways count it, in total or per tenant: pure functions of the samples read from them.

A gateway counts by tenant from its first scrape on: it doesn't report its start. A tenant that isn't among its series has sent no request
to it, so a gateway that was scraped is covered for every tenant.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from plimsoll.slo import metrics as c
from plimsoll.slo.sli.evidence import COUNTER, Counting, Way, by_histogram
from plimsoll.slo.sli.increments import SlotCount, Unit, unit
from plimsoll.slo.sli.indicators.latency import GATEWAY_HISTOGRAMS
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Labels, Selector
from plimsoll.slo.spec.objectives import Objective, Pool

TENANT = "tenant"


def selectors(objective: Objective, pool: Pool) -> list[Selector]:
    """Return the series to read for counting an SLO at gateways, of all tenants."""
    mine = _labels(pool, None)
    found = [Selector(c.GATEWAY_REQUESTS.name, mine)]
    if objective.indicator.latency is None:
        return [*found, Selector(c.GATEWAY_FAILURES.name, mine)]
    return [*found, *(selector for way in _ways(objective, pool, None) for selector in way.selectors)]


class NotCounted(NamedTuple):
    """Why gateways can't count an SLO by tenant, and the fix."""

    message: str
    fix: str


def why_not(objective: Objective, pool: Pool, series: Iterable[Series]) -> NotCounted | None:
    """Return why the series as they are now can't be counted by tenant; None where they can."""
    mine = [(item.name, item.labels) for item in series if pool.owns(item.labels) and TENANT in item.labels]
    if not mine:
        message = f"No gateway reports the model {pool.model}: {c.GATEWAY_REQUESTS} is missing."
        return NotCounted(message, "Install the gateway middleware, or let the exporter read LiteLLM.")
    ways = _ways(objective, pool, None)
    if not ways or any(way.offered(mine) for way in ways):
        return None
    message = f"{objective.indicator}: the threshold isn't a bucket bound at the gateways."
    return NotCounted(message, "Make it a bound there, or set bucket_mismatch: bounds.")


def observations(series: Iterable[Series]) -> list[Series]:
    """Return each gateway's observations: one per scrape, as of a process that never restarts, so that a falling counter counts as a reset."""
    times: dict[Unit, set[float]] = defaultdict(set)
    for item in series:
        if item.name == c.GATEWAY_REQUESTS.name:
            times[unit(item.labels)] |= {at for at, _ in item.samples}
    return [
        Series(c.REPLICA_START.name, dict(target), [(at, 0.0) for at in sorted(read)]) for target, read in times.items()
    ]


def count(
    objective: Objective, pool: Pool, observed: Observed, series: Iterable[Series], tenant: str | None
) -> list[SlotCount]:
    """Count an SLO in slots, for one tenant or (None) all; `observed` has `series` and their `observations`.

    Availability: a client's own errors and departures are neither good nor bad.
    """
    mine = _labels(pool, tenant)
    if ways := _ways(objective, pool, tenant):
        return observed.count(ways)
    every = Selector(c.GATEWAY_REQUESTS.name, mine)
    reasons = {item.labels.get("reason", "") for item in series if item.name == c.GATEWAY_FAILURES.name}
    ours, clients = (
        Selector(c.GATEWAY_FAILURES.name, (*mine, ("reason", tuple(sorted(some)))))
        for some in ({reason for reason in reasons if not _by_client(reason)}, set(filter(_by_client, reasons)))
    )
    good = observed.count([Counting(COUNTER, (every,), (every,), (clients, ours))])
    bad = observed.count([Counting(COUNTER, (ours,), (ours,))])
    return [replace(slot, total=slot.total + failed.good) for slot, failed in zip(good, bad, strict=True)]


def count_tenants(
    objective: Objective, pool: Pool, series: Sequence[Series], slots: Sequence[int]
) -> tuple[list[SlotCount], dict[str, list[SlotCount]]]:
    """Count an SLO in slots, at all gateways and for each tenant (only slots in which it sent a request).

    A slot's coverage is the same for every tenant.
    """
    mine = [item for item in series if pool.owns(item.labels) and TENANT in item.labels]
    whole = count(objective, pool, Observed([*mine, *observations(mine)], slots), mine, None)
    parts: dict[str, list[Series]] = defaultdict(list)
    for item in mine:
        parts[item.labels[TENANT]].append(item)
    starts, found = observations(mine), {}
    for tenant, part in parts.items():
        counts = count(objective, pool, Observed([*part, *starts], slots), part, tenant)
        seconds = zip(counts, whole, strict=True)
        found[tenant] = [replace(one, covered_seconds=all_.covered_seconds) for one, all_ in seconds if one.total]
    return whole, {tenant: counts for tenant, counts in found.items() if counts}


def _ways(objective: Objective, pool: Pool, tenant: str | None) -> list[Way]:
    """Return how its latency is counted; nothing for availability."""
    return [
        by_histogram(GATEWAY_HISTOGRAMS[latency], _labels(pool, tenant), limit, objective.bucket_mismatch)
        for latency, limit in objective.indicator.thresholds.items()
    ]


def _labels(pool: Pool, tenant: str | None) -> Labels:
    model: Labels = pool.labels
    return model if tenant is None else (*model, (TENANT, (tenant,)))


def _by_client(reason: str) -> bool:
    """Whether the client caused a failure, neither good nor bad. Gateways report `4xx` or the exact status, such as `429`."""
    return reason == "client_closed" or reason.startswith("4")
