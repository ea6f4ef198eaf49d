"""What was counted of a pool's latency SLOs: the worst of them, in full slots of the last quarter of an hour; nothing where nothing was."""

from collections.abc import Callable

import pytest

from plimsoll.slo.capacity.recommendation.demand import Attained
from plimsoll.slo.error_budget.budget import RequestCounts, budget
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.reports.attained import attained
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.spec.objectives import load
from world import SPEC_TEXT

NOW = 30_000.0
MORE = """  - {id: steady, pool: pool, indicator: {time_per_output_token: 40ms}, target: 95%, window: 28d}
  - {id: reach, pool: pool, indicator: availability, target: 95%, window: 28d}
"""
SPEC = load(SPEC_TEXT + MORE)
WINDOW = {"fast": RequestCounts(900, 1000, 1e6), "steady": RequestCounts(990, 1000, 1e6)}


@pytest.fixture
def ledger(database: str, open_ledger: Callable[[str], Ledger]) -> Ledger:
    return open_ledger(database)


def asked(ledger: Ledger, names: tuple[str, ...] = ("fast", "steady")) -> Attained | None:
    budgets = {one.id: budget(one, WINDOW[one.id], 1e6, {}) for one in SPEC.objectives if one.id in names}
    return attained(ledger, SPEC, SPEC.pool("pool"), budgets, NOW)


def test_the_latency_slo_with_the_most_misses_counts_over_the_last_quarter_of_an_hour(ledger: Ledger) -> None:
    def slots(good: int, old: int = 0) -> list[SlotCount]:
        starts = (28_500, 28_800, 29_100, 29_400)  # the first is too old
        return [SlotCount(at, old if at == 28_500 else good, 100, 300.0, "request") for at in starts]

    ledger.record({("fast", "hash"): slots(97), ("steady", "hash"): slots(80), ("reach", "hash"): slots(0)}, 30_000)
    assert asked(ledger) == Attained(240, 300, 990, 1000, 80, 100), "slots that hold 28,800 to 29,700 s"
    assert asked(ledger, ("fast",)) == Attained(291, 300, 900, 1000, 97, 100)
    assert asked(ledger, ()) is None


def test_without_requests_nothing_is_known(ledger: Ledger) -> None:
    assert asked(ledger) is None
    ledger.record({("fast", "hash"): [SlotCount(29_400, 0, 0, 300.0, "request")]}, 30_000)
    assert asked(ledger) is None
