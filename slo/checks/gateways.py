"""Findings about SLOs that gateways count, as a whole (`count_at: gateway`) or by tenant."""

from collections.abc import Iterator, Sequence

from plimsoll.slo.calendar import SLOT, slot_of
from plimsoll.slo.checks.finding import Finding, slo_path
from plimsoll.slo.checks.traffic import LOOKBACK, WATCHED, traffic_findings
from plimsoll.slo.sli import gateway_counts
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import Objective, Spec


def gateway_findings(spec: Spec, objective: Objective, series: Sequence[Series], now: float) -> Iterator[Finding]:
    """Yield what the gateways' series of the last hour can't give, and alerts that can't fire at their traffic."""
    if not gateway_counts.are_read(objective):
        return
    path, pool = slo_path(spec, objective), spec.pool(objective.pool)
    why = gateway_counts.why_not(objective, pool, series)
    if why and objective.count_at == "gateway":
        message = f"SLO {objective.id} counts nothing at gateways. {why.message}"
        yield Finding("error", "gateway-not-counted", f"{path}.count_at", message, why.fix)
    elif why:
        message = f"SLO {objective.id}: no error budget per tenant. {why.message}"
        yield Finding("warning", "tenants-not-counted", f"{path}.group_by", message, why.fix)
    elif objective.count_at == "gateway":
        slots = range(slot_of(now - LOOKBACK), slot_of(now) + SLOT, SLOT)
        counts = gateway_counts.observed(pool, series, slots).count(gateway_counts.ways(objective, pool))
        seconds = sum(slot.covered_seconds for slot in counts)
        if seconds >= WATCHED:
            yield from traffic_findings(objective, path, sum(slot.total for slot in counts) / seconds)
