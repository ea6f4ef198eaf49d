"""Budgets from the ledger: the slots of each window, without excluded time."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from plimsoll.slo.calendar import SLOT, first_slot, slot_of
from plimsoll.slo.error_budget.budget import Budget, RequestCounts, budget, burn_windows
from plimsoll.slo.error_budget.exclusions import Exclusion, Stretch, clipped, stretches
from plimsoll.slo.ledger.retention import pruned_until
from plimsoll.slo.ledger.rollup import HOUR, NONE, Sums
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.tenants import key, known_tenants
from plimsoll.slo.spec.objectives import Objective
from plimsoll.slo.spec.window_bounds import bounds


class PrunedDataError(Exception):
    """The evaluation needs slots that are pruned; `until` is the Unix time before which only hourly sums exist."""

    def __init__(self, until: float) -> None:
        super().__init__(until)
        self.until = until


def evaluate(
    ledger: Ledger, objectives: Sequence[Objective], exclusions: Sequence[Exclusion], now: float
) -> list[Budget]:
    """Evaluate SLOs at a time, by the slots that the ledger holds now; in their order.

    Raises PrunedDataError where a window would begin in the middle of an hour whose slots are pruned.
    """
    groups: dict[tuple[Stretch, ...], list[Objective]] = defaultdict(list)
    for objective in objectives:
        groups[stretches(exclusions, objective)].append(objective)
    evaluated = {}
    for excluded, group in groups.items():
        edges = _edges(group, excluded, now)
        _require_slots(ledger, edges)
        for name, sums in ledger.segments(edges, [objective.id for objective in group]).items():
            evaluated[name] = _Segments(edges, sums, excluded)
    return [_budget(objective, evaluated[objective.id], now) for objective in objectives]


def evaluate_tenants(
    ledger: Ledger, objective: Objective, exclusions: Sequence[Exclusion], now: float
) -> tuple[Budget, dict[str, Budget]]:
    """Evaluate an SLO at a time as its gateways count it, and each tenant that sent a request in the window.

    A tenant's coverage is that of its gateways. Raises PrunedDataError.
    """
    excluded = stretches(exclusions, objective)
    edges, whole = _edges([objective], excluded, now), key(objective.id, None)
    _require_slots(ledger, edges)
    names = known_tenants(ledger.engine, objective.id)
    sums = ledger.segments(edges, [whole, *names.values()])
    found = {name: _budget(objective, _Segments(edges, part, excluded), now) for name, part in sums.items()}
    all_ = found[whole]
    evaluated = {tenant: found[name] for tenant, name in names.items() if found[name].counted.total}
    return all_, {
        tenant: replace(
            budget,
            coverage=all_.coverage,
            counted=replace(budget.counted, covered_seconds=all_.counted.covered_seconds),
        )
        for tenant, budget in evaluated.items()
    }


def _require_slots(ledger: Ledger, edges: Sequence[int]) -> None:
    pruned = pruned_until(ledger.engine)
    if any(edge < pruned and edge % HOUR for edge in edges):
        raise PrunedDataError(pruned)


def _edges(objectives: Iterable[Objective], excluded: Sequence[Stretch], now: float) -> list[int]:
    """Return the starts of all windows, the starts and ends of excluded time, and the end."""
    starts = {first_slot(bounds(objective.window, now)[0]) for objective in objectives}
    starts |= {first_slot(now - length) for objective in objectives for length in burn_windows(objective)}
    end = slot_of(now) + SLOT
    rims = {int(edge) for stretch in clipped(excluded, min(starts), end) for edge in stretch}
    return sorted({*starts, *rims, end})


@dataclass(frozen=True, slots=True)
class _Segments:
    """An objective's sums between each of `edges` and the next."""

    edges: Sequence[int]
    sums: Sequence[Sums]
    excluded: Sequence[Stretch]

    def since(self, start: int, excluded: bool) -> RequestCounts:
        """Return the sums from a slot to the end of excluded time, or of the rest."""
        total = NONE
        for edge, sums in zip(self.edges, self.sums, strict=False):
            if edge >= start and sums.total + sums.covered_ms and self._is_excluded(edge) == excluded:
                total = total.plus(sums)
        return RequestCounts(total.good, total.total, total.covered_ms / 1000, total.simulated, total.indeterminate)

    def _is_excluded(self, edge: int) -> bool:
        return any(low <= edge < high for low, high in self.excluded)


def _budget(objective: Objective, segments: _Segments, now: float) -> Budget:
    start = first_slot(bounds(objective.window, now)[0])
    recent = {length: segments.since(first_slot(now - length), excluded=False) for length in burn_windows(objective)}
    return budget(
        objective,
        segments.since(start, excluded=False),
        now - start,
        recent,
        segments.since(start, excluded=True),
        sum(high - low for low, high in clipped(segments.excluded, start, now)),
    )
