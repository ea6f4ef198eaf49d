"""An SLO as gateways count it, in total or per tenant: pure functions of the samples read from them.

A gateway counts by tenant from its first scrape on: it doesn't report its start. A tenant that isn't among its series has sent no request
to it, so a gateway that was scraped is covered for every tenant.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from plimsoll.slo import metrics as c
from plimsoll.slo.sli.evidence import Way
from plimsoll.slo.sli.increments import SlotCount, Unit, unit
from plimsoll.slo.sli.indicators.latency import GATEWAY_HISTOGRAMS
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.sli.roles import NotCounted
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Labels, Selector
from plimsoll.slo.spec.objectives import Objective, Pool

TENANT = "tenant"


def ways(objective: Objective, pool: Pool, tenant: str | None = None) -> tuple[Way, ...]:
    """Return the ways to count an SLO at gateways, best first, of one tenant or (None) all."""
    own: Labels = () if tenant is None else ((TENANT, (tenant,)),)
    found: tuple[Way, ...] = objective.indicator.gateway_evidence(objective, (*pool.labels, *own))
    return found


def selectors(objective: Objective, pool: Pool) -> list[Selector]:
    """Return the series to read for counting an SLO at gateways, of all tenants."""
    found = [selector for way in ways(objective, pool) for selector in way.selectors]
    return list(dict.fromkeys([Selector(c.GATEWAY_REQUESTS.name, pool.labels), *found]))


def are_read(objective: Objective) -> bool:
    """Whether anything of an SLO is counted at gateways."""
    return objective.count_at == "gateway" or objective.group_by is not None


def why_not(objective: Objective, pool: Pool, series: Iterable[Series]) -> NotCounted | None:
    """Return why the series as they are now can't be counted at gateways; None where they can."""
    mine = [(item.name, item.labels) for item in series if pool.owns(item.labels) and TENANT in item.labels]
    if not mine:
        message = f"No gateway reports {_series(pool)}: {c.GATEWAY_REQUESTS} is missing."
        return NotCounted(message, "Install the gateway middleware, or let the exporter read the gateway (--engine).")
    if any(way.offered(mine) for way in ways(objective, pool)):
        return None
    latency = objective.indicator.latency or ""
    histogram = GATEWAY_HISTOGRAMS[latency]
    if not any(name == histogram.bucket for name, _ in mine):
        message = f"{objective.indicator}: the gateways don't report {histogram}."
        return NotCounted(message, "See what each gateway reports in docs/reference/engines.md.")
    message = f"{objective.indicator}: the threshold isn't a bucket bound at the gateways."
    return NotCounted(message, "Make it a bound there, or set bucket_mismatch: bounds.")


def _series(pool: Pool) -> str:
    further = "".join(f", {label} {' or '.join(some)}" for label, some in pool.match.labels)
    return f"the model {pool.model}{further}"


def observed(pool: Pool, series: Iterable[Series], slots: Sequence[int]) -> Observed:
    """Return what was observed of a pool's gateways around some slots."""
    mine = [item for item in series if pool.owns(item.labels) and TENANT in item.labels]
    return Observed([*mine, *observations(mine)], slots)


def observations(series: Iterable[Series]) -> list[Series]:
    """Return each gateway's observations: one per scrape, as of a process that never restarts, so that a falling counter counts as a reset."""
    times: dict[Unit, set[float]] = defaultdict(set)
    for item in series:
        if item.name == c.GATEWAY_REQUESTS.name:
            times[unit(item.labels)] |= {at for at, _ in item.samples}
    return [
        Series(c.REPLICA_START.name, dict(target), [(at, 0.0) for at in sorted(read)]) for target, read in times.items()
    ]


def count_tenants(
    objective: Objective, pool: Pool, series: Sequence[Series], slots: Sequence[int]
) -> tuple[list[SlotCount], dict[str, list[SlotCount]]]:
    """Count an SLO in slots, at all gateways and for each tenant (only slots in which it sent a request).

    A slot's coverage is the same for every tenant.
    """
    mine = [item for item in series if pool.owns(item.labels) and TENANT in item.labels]
    whole = observed(pool, mine, slots).count(ways(objective, pool))
    parts: dict[str, list[Series]] = defaultdict(list)
    for item in mine:
        parts[item.labels[TENANT]].append(item)
    starts, found = observations(mine), {}
    for tenant, part in parts.items():
        counts = Observed([*part, *starts], slots).count(ways(objective, pool, tenant))
        seconds = zip(counts, whole, strict=True)
        found[tenant] = [replace(one, covered_seconds=all_.covered_seconds) for one, all_ in seconds if one.total]
    return whole, {tenant: counts for tenant, counts in found.items() if counts}
