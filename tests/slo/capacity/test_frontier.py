"""Policies at equal attainment: what beats what, by hand-made figures and on traffic whose need is known."""

from typing import Any

import pytest

from plimsoll.slo.capacity.backtest.frontier import attainment, compared, frontier, names
from plimsoll.slo.capacity.backtest.run import Backtest, check
from plimsoll.slo.capacity.backtest.tables import frontier_table
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.fleet import Setup
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.traces import Arrival

MODEL = step_time.load("70b-fp8-h100-tp4")
DAY = 86400.0


def backtest(arrivals: list[Arrival], most: int = 3) -> Backtest:
    return Backtest(arrivals, Setup(MODEL, Limits(), 1, most, 30.0), LatencyTarget(0.6, 0.04, 0.95), 8.0)


def row(policy: str, attained: float, hours: float) -> dict[str, Any]:
    return {"policy": policy, "attained": attained, "node_hours": hours}


def test_what_another_run_beats_is_not_on_the_frontier_and_constant_fleets_are_the_measure() -> None:
    found = {
        one["policy"]: (one["on_frontier"], one["vs_constant"])
        for one in compared(
            [
                row("fixed:1", 0.8, 100.0),
                row("fixed:2", 0.9, 200.0),
                row("fixed:3", 0.95, 300.0),
                row("between", 0.85, 120.0),  # a constant fleet of 1.5 nodes attains as much
                row("as good for more", 0.9, 201.0),
                row("same", 0.9, 200.0),
                row("better than all", 0.96, 400.0),
                row("worse than all", 0.7, 90.0),
            ]
        )
    }
    assert found == {
        "fixed:1": (True, 1.0),
        "fixed:2": (True, 1.0),
        "fixed:3": (True, 1.0),
        "between": (True, 0.8),
        "as good for more": (False, 1.005),
        "same": (True, 1.0),
        "better than all": (True, None),
        "worse than all": (True, None),
    }


def test_the_worst_day_is_named_and_requests_that_nobody_served_count_as_missed() -> None:
    arrivals = [Arrival(60.0 * minute, 500, 20) for minute in range(60)]
    arrivals += [Arrival(DAY + 60.0 * index, 500, 20) for index in range(50)]
    arrivals += [Arrival(DAY + 40_000 + 0.001 * index, 4000, 20) for index in range(50)]
    arrivals += [Arrival(2 * DAY, 30, 10**6)]  # fits no KV cache
    test = backtest(arrivals)
    found = attainment(test, test.replay("fixed:1"))
    assert found["worst_day"] == {"day": 3, "attained": 0.0}
    second = attainment(backtest(arrivals[:160]), backtest(arrivals[:160]).replay("fixed:1"))
    assert second["worst_day"]["day"] == 2
    assert second["worst_day"]["attained"] == pytest.approx(0.5, abs=0.05)
    assert second["attained"] == pytest.approx((60 + 100 * second["worst_day"]["attained"]) / 160, abs=1e-5)


def test_every_policy_is_swept_over_its_own_knob_beside_all_constant_fleets() -> None:
    test = backtest([Arrival(index / 20, 1200, 60) for index in range(1200)])
    wanted = names(test)
    assert {"fixed:1", "fixed:2", "fixed:3", "plimsoll:95", "keda:20", "hpa-util:0.8", "wva:5", "apa:0.5"} <= set(
        wanted
    )
    assert all(check(name) is None for name in wanted)  # type: ignore[func-returns-value]
    assert names(test, ["keda"]) == ["fixed:1", "fixed:2", "fixed:3", "keda:5", "keda:20"]
    assert len([name for name in names(backtest(test.arrivals[:1], 100)) if name.startswith("fixed")]) <= 17  # type: ignore[arg-type]
    found = frontier(test, ["keda"])
    assert {one["policy"] for one in found} == {"fixed:1", "fixed:2", "fixed:3", "keda:5", "keda:20"}
    assert [one["attained"] for one in found] == sorted((one["attained"] for one in found), reverse=True)
    plain = {name: test.run(name) for name in ("fixed:2", "keda:5")}
    for one in found:
        if one["policy"] in plain:
            assert {key: one[key] for key in plain[one["policy"]]} == plain[one["policy"]], "as a run by itself"
    assert len(frontier_table(found).splitlines()) == 2 + len(found)


@pytest.mark.parametrize(
    "name", ["keda:0", "keda:x", "apa:-1", "plimsoll:100", "plimsoll:0", "clairvoyant:3", "fixed:1.5", "fixed:N"]
)
def test_a_knob_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="known are"):
        check(name)


def test_a_knob_of_its_default_changes_nothing_and_another_does() -> None:
    test = backtest([Arrival(index / 40, 1200, 60) for index in range(4800)], 12)
    for kind, default, other in (
        ("keda", "20", "1000"),
        ("hpa-util", "0.8", "0.2"),
        ("wva", "5", "1"),
        ("apa", "0.5", "0.01"),
    ):
        plain, same, changed = (test.run(name) for name in (kind, f"{kind}:{default}", f"{kind}:{other}"))
        assert {**same, "policy": kind} == plain
        assert changed["node_hours"] != plain["node_hours"], kind
