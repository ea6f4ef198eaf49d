"""What was counted of a pool's latency SLOs, as the recommendation needs it."""

from collections.abc import Mapping

from plimsoll.slo.calendar import slot_of
from plimsoll.slo.capacity.recommendation.demand import ATTAINED_SECONDS, Attained
from plimsoll.slo.error_budget.budget import Budget
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.spec.indicator import SHORT_NAMES
from plimsoll.slo.spec.objectives import Pool, Spec

LATENCIES = {SHORT_NAMES["ttft"], SHORT_NAMES["tpot"]}


def attained(ledger: Ledger, spec: Spec, pool: Pool, budgets: Mapping[str, Budget], now: float) -> Attained | None:
    """Return the counts of the latency SLO with the highest ratio of bad requests in the last full slots; None without requests.

    Indeterminate requests count as bad: nothing is saved on what isn't known.
    """
    found = []
    end = slot_of(now)
    for objective in spec.objectives:
        if objective.pool != pool.name or not objective.indicator.thresholds.keys() & LATENCIES:
            continue
        slots = ledger.slots(objective.id, end - ATTAINED_SECONDS, end)
        total, good = sum(slot.total for slot in slots), sum(slot.good for slot in slots)
        if total and objective.id in budgets:
            counted, latest = budgets[objective.id].counted, slots[-1:]
            found.append(
                Attained(
                    *(good, total, counted.good, counted.total),
                    *(sum(slot.good for slot in latest), sum(slot.total for slot in latest)),
                )
            )
    return min(found, key=lambda one: one.good / one.total, default=None)
