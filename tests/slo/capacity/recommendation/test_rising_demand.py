"""Nodes for a load that rises, at the load per node that was served within the target; and none for one that doesn't."""

from dataclasses import replace
from random import Random

import msgspec
import pytest

from plimsoll.slo.capacity.model.signals import read
from plimsoll.slo.capacity.recommendation.demand import Attained, LatencyTarget
from plimsoll.slo.capacity.recommendation.measured_state import MeasuredState
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot, look
from plimsoll.slo.capacity.recommendation.proven_load import coming_load, proven_load, proven_nodes, recent_load, rising
from plimsoll.slo.capacity.recommendation.recommend import decide
from pool_signals import NOW, POOL, served

WIDE = msgspec.structs.replace(POOL, nodes=msgspec.structs.replace(POOL.nodes, min=1, max=12, warm_spares=0))
RISING, STEADY, FALLING = [range(2, 42), [20] * 40, range(42, 2, -1)]  # requests of 1,000 tokens in 15 s, by replica
STEP = [5] * 20 + [27] * 20
WITHIN, LATE = Attained(1000, 1000, 1000, 1000, 300, 300), Attained(900, 1000, 900, 1000, 250, 300)


def snapshot(load: object, attained: Attained = WITHIN, nodes: int = 2) -> PoolSnapshot:
    series = [item for name in "abcdefgh"[:nodes] for item in served(name, list(load))]  # type: ignore[call-overload]
    return look(WIDE, read(series, NOW), NOW, LatencyTarget(2.0, 0.2, 0.95, (), attained))


def test_a_load_that_rises_takes_nodes_for_a_cold_start_ahead() -> None:
    case = snapshot(RISING)
    # A request more in each 15 s, on two replicas: 2 x 42 requests now, 2 x 52 in 150 s; on average 2 x 31.5 in the last 5 minutes.
    assert coming_load(case) == pytest.approx(2 * 52_000 / 15, rel=0.03)
    proven = proven_load(case, None)
    assert proven == pytest.approx(31_500 / 15)
    assert rising(case, proven).nodes == 4
    found, state = decide(case)
    assert (found.action, found.recommended_nodes, found.rule) == ("scale_out", 4, "demand")
    assert found.reason_codes[0] == "demand_rising"
    assert state is not None
    assert MeasuredState.from_json(state.to_json()) == state
    assert state.proven_load == proven


@pytest.mark.parametrize(("intervals", "seen"), [(4, False), (5, True)])
def test_a_rise_shows_after_75_seconds(intervals: int, seen: bool) -> None:
    assert (coming_load(snapshot(range(2, 2 + intervals))) is not None) == seen


@pytest.mark.parametrize("load", [STEADY, FALLING, STEP, [Random(1).randint(5, 35) for _ in range(40)], [20, 30] * 5])  # noqa: S311
def test_no_other_load_does(load: list[int]) -> None:
    case = snapshot(load)
    assert coming_load(case) is None
    assert rising(case, 1.0).nodes is None


def test_what_was_late_proves_nothing_and_the_highest_load_that_was_not_is_proven() -> None:
    case = snapshot(STEADY)
    each = recent_load(case.demand) / 2 if case.demand else 0.0
    assert [proven_load(case, before) for before in (None, each / 2, 2 * each)] == [each, each, 2 * each]
    late = replace(case, target=LatencyTarget(2.0, 0.2, 0.95, (), LATE))
    assert [proven_load(late, before) for before in (None, each / 2, 2 * each)] == [None, each / 2, 2 * each]
    unknown = replace(case, target=LatencyTarget(2.0, 0.2, 0.95, (), Attained(900, 1000, 900, 1000)))
    assert proven_load(unknown, 7.0) == 7.0
    assert rising(snapshot(RISING), None).nodes is None, "nothing was proven"


def test_nodes_that_the_proven_load_does_not_need_may_go_unless_requests_are_late() -> None:
    case = snapshot(STEADY, nodes=4)
    each = recent_load(case.demand) / 4 if case.demand else 0.0
    assert proven_nodes(case, 2 * each) == 3, "2 nodes, and a tenth to spare"
    assert proven_nodes(case, None) == case.held
    assert proven_nodes(snapshot(STEADY, LATE, 4), 2 * each) == 4
