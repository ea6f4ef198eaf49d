"""A spent error budget buys haste: more headroom and a longer memory of bursts, said; any other state changes nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from plimsoll.slo.capacity.model.signals import read
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.recommendation.demand_plan import latency_target
from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.error_budget.budget import RequestCounts, budget
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.state import Service
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import load
from pool_signals import NOW, POOL, recommended, served
from world import SPEC_TEXT, Process, World, spec


def asked(names: tuple[str, ...], *loads: list[int], most: int = 45) -> Recommendation:
    series = [item for name, load in zip("abc", loads, strict=False) for item in served(name, load, most=most)]
    return recommended(POOL, read(series, NOW), NOW, LatencyTarget(2.0, 0.2, 0.9, names))


# Two replicas of 3,000 tokens/s: 5,400 of them are planned with, 4,800 in haste; 72 requests in 15 s, 36 each.
@pytest.mark.parametrize(("names", "each", "nodes"), [((), 36, 2), (("fast",), 36, 2), (("fast",), 37, 3), ((), 37, 2)])
def test_replicas_are_planned_with_more_headroom_once_a_budget_is_spent(
    names: tuple[str, ...], each: int, nodes: int
) -> None:
    found = asked(names, *([90, 90, 0, 0, 0, *([each] * 80)] for _ in range(2)))
    assert found.evidence["nodes_to_clear_backlog"] == nodes
    assert found.evidence["planning_utilization"] == (0.8 if names else 0.9)
    assert found.evidence["exhausted_slos"] == list(names)
    assert ("budget_exhausted" in found.reason_codes) == bool(names)


@pytest.mark.parametrize(("names", "action", "nodes"), [((), "scale_in", 2), (("fast",), "scale_out", 4)])
def test_bursts_of_half_an_hour_are_expected_again_once_a_budget_is_spent(
    names: tuple[str, ...], action: str, nodes: int
) -> None:
    # The burst was more than a quarter of an hour ago: 62 slots of 15 s.
    found = asked(names, *([*([10] * 18), 60, 60, *([10] * 62)] for _ in range(3)), most=30)
    assert (found.action, found.evidence["nodes_to_meet_slo"]) == (action, nodes)


def test_haste_never_goes_beyond_what_the_pool_may_have() -> None:
    found = asked(("fast",), [30] * 30 + [400] * 4)
    assert found.recommended_nodes == POOL.nodes.max


# Which budgets ---------------------------------------------------------------------------------------------------

MORE = """  - {id: reach, pool: pool, indicator: availability, target: 95%, window: 28d}
  - {id: whole, pool: pool, indicator: {request_duration: 4s}, target: 95%, window: 28d}
"""


SPEC = load(SPEC_TEXT + MORE)


def spent(**counts: tuple[int, int]) -> tuple[str, ...]:
    """Return which of the pool's promises count as spent after so many good of all requests of each objective."""
    budgets = {
        item.id: budget(item, RequestCounts(*counts[item.id], 3600.0), 3600.0, {})
        for item in SPEC.objectives
        if item.id in counts
    }
    found = latency_target(SPEC, SPEC.pool("pool"), budgets)
    assert found is not None
    return found.exhausted_slos


@pytest.mark.parametrize(
    ("good", "total", "found"), [(95, 100, ("fast",)), (96, 100, ()), (90, 100, ("fast",)), (0, 0, ())]
)
def test_a_budget_is_spent_when_nothing_of_it_is_left_and_not_when_it_is_unknown(
    good: int, total: int, found: tuple[str, ...]
) -> None:
    assert spent(fast=(good, total)) == found


def test_only_objectives_that_capacity_is_planned_for_count() -> None:
    assert spent(reach=(0, 100), whole=(0, 100)) == () == spent()
    assert spent(reach=(0, 100), fast=(0, 100)) == ("fast",)


LATER = 1_700_000_000  # seconds: windows of weeks are to begin after 1970


class Both(World):
    """A source that tells of the objective's requests and of the engine."""

    def all_series(self) -> list[Series]:
        engine = served("a", [90, 90, 0, 0, 0, *([20] * 80)])
        later = (Series(item.name, item.labels, [(at + LATER, value) for at, value in item.samples]) for item in engine)
        return [*super().all_series(), *later]


@pytest.mark.parametrize(("bad", "hasty"), [(40, []), (50, ["fast"])])
def test_the_service_plans_by_the_budgets_that_it_judged(
    tmp_path: Path, open_ledger: Callable[[str], Ledger], bad: int, hasty: list[str]
) -> None:
    now = LATER + NOW
    requests = [(now - 3000 + index, index >= bad) for index in range(1000)]
    source = Both({"a": [Process(now - 4000, requests)]}, {"a": [now - 3900 + 15 * index for index in range(261)]})
    service = Service(spec(), source, open_ledger(f"sqlite:///{tmp_path}/ledger.db"), clock=lambda: now)
    service.recommend()
    assert service.recommendation("pool").evidence["exhausted_slos"] == [], "nothing is evaluated yet: unknown"
    service.ingest()
    assert service.evaluated().budgets["fast"].bad == bad
    service.recommend()
    assert service.recommendation("pool").evidence["exhausted_slos"] == hasty
