"""The fleet: nothing is lost in scale events but what dies with a node; nodes serve when they can; time is paid for."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.slo.capacity.policies.fixed import Fixed
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.fleet import SCRAPE, Setup, run
from plimsoll.slo.capacity.simulator.policy import View
from plimsoll.slo.capacity.simulator.replay import percentile, replay
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.traces import Arrival

MODEL = step_time.load("70b-fp8-h100-tp4")
SETUP = Setup(MODEL, Limits(), 1, 4, cold_start=150.0)
QUIET = [Arrival(float(second), 100, 10) for second in range(600)]


class Scripted:
    """Wants what its script says from each time on, and keeps what it saw."""

    interval = SCRAPE

    def __init__(self, script: dict[float, int]) -> None:
        self.script, self.views = script, list[View]()

    def decide(self, view: View) -> int:
        self.views.append(view)
        for replica in view.replicas:
            assert replica.waiting[-1][0] <= view.now, "nobody sees the future"
        return next((nodes for since, nodes in sorted(self.script.items(), reverse=True) if view.now >= since), 1)

    def first(self, serving: int) -> float:
        """When so many nodes were first seen to serve."""
        return next(view.now for view in self.views if view.now >= 0 and view.serving == serving)


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 9000), st.integers(1, 400)), min_size=1, max_size=60),
    st.lists(st.integers(1, 4), min_size=1, max_size=20),
    st.lists(st.floats(1, 300), max_size=3),
    st.sampled_from([None, 0, 2]),
    st.sampled_from(["round-robin", "least-loaded"]),
    st.integers(0, 2),
)
def test_every_request_is_served_or_rejected_or_died_with_a_node(
    rows: list[tuple[int, int, int]],
    wanted: list[int],
    losses: list[float],
    admission: int | None,
    routing: str,
    spares: int,
) -> None:
    arrivals = [Arrival(float(time), prompt, output) for time, prompt, output in sorted(rows)]
    policy = Scripted({index * SCRAPE: nodes for index, nodes in enumerate(wanted)})
    setup = replace(
        SETUP, cold_start=20.0, warm_spares=spares, losses=tuple(losses), admission=admission, routing=routing
    )
    outcome = run(arrivals, policy, setup)
    assert len(outcome.result.requests) + outcome.rejected + outcome.lost == len(arrivals)
    assert outcome.result.rejected == outcome.rejected + outcome.lost
    assert len({id(request) for request in outcome.result.requests}) == len(outcome.result.requests)
    for request in outcome.result.requests:
        assert request.ttft is not None and request.ttft > 0
        assert (request.tpot or 0.0) >= 0
    assert losses or outcome.lost == 0
    assert losses or admission is not None or outcome.rejected == 0
    most = max(4 + spares * 2, 1) * (max(policy.views[-1].now, arrivals[-1].time) + 60) / 3600
    assert 0 <= outcome.node_hours <= most
    for view in policy.views:
        assert view.nodes <= 4


def test_a_fixed_fleet_is_the_plain_replay_and_costs_its_nodes_for_the_time() -> None:
    arrivals = [Arrival(0.3 * i, 300 + 811 * i % 3000, 5 + 97 * i % 280) for i in range(900)]
    plain = replay(arrivals, 3, MODEL, Limits())
    outcome = run(arrivals, Fixed(3), replace(SETUP, least=3, most=3))
    assert outcome.result.ttft == pytest.approx(plain.ttft)
    assert outcome.result.tpot == pytest.approx(plain.tpot)
    last = max(request.finished or 0.0 for request in plain.requests)
    assert outcome.node_hours == pytest.approx(3 * last / 3600)
    assert (outcome.scale_events, outcome.direction_changes, outcome.most_nodes) == (0, 0, 3)


def test_a_cold_node_serves_after_its_cold_start_and_is_paid_from_the_order() -> None:
    policy = Scripted({30: 2})
    outcome = run(QUIET, policy, SETUP)
    assert policy.first(2) == 30 + 150
    assert next(view.pending for view in policy.views if view.now == 165) == 1
    assert outcome.node_hours * 3600 == pytest.approx(2 * 599 - 30, abs=1)
    assert outcome.scale_events == 1


def test_a_warm_spare_serves_in_seconds_and_is_replaced_behind() -> None:
    policy = Scripted({30: 2, 45: 3})
    outcome = run(QUIET, policy, replace(SETUP, warm_spares=1))
    assert policy.first(2) == 45  # woken at 30, serving at 35, seen at the next scrape
    assert policy.first(3) == 195  # the one spare is used up: this is a cold node
    # First node, spare, the spare behind it, and the cold node.
    assert outcome.node_hours * 3600 == pytest.approx(4 * 599 - 30 - 45, abs=2)


def test_a_released_node_finishes_what_it_has_and_is_paid_until_then() -> None:
    arrivals = [Arrival(0.0, 1000, 2000) for _ in range(10)] + [Arrival(100.0, 10, 1)]
    policy = Scripted({0: 2, 15: 1})
    outcome = run(arrivals, policy, replace(SETUP, cold_start=0.001))
    whole = run(arrivals, Fixed(2), replace(SETUP, least=2, most=2))
    assert len(outcome.result.requests) == len(whole.result.requests) == 11
    assert 100 < outcome.node_hours * 3600 < whole.node_hours * 3600


def test_a_lost_node_takes_its_requests_along_and_is_replaced_only_after_a_cold_start() -> None:
    arrivals = [Arrival(0.1 * index, 200, 100) for index in range(4000)]
    policy = Fixed(1)
    outcome = run(arrivals, policy, replace(SETUP, most=1, losses=(100.0,)))
    assert outcome.lost > 0
    # Noticed at the scrape at 105 s, serving from 255 s: nobody answers for 155 s, ten requests a second.
    assert outcome.rejected == pytest.approx(1550, abs=2)
    spared = run(arrivals, Fixed(2), replace(SETUP, least=2, most=2, losses=(100.0,)))
    assert (spared.lost > 0, spared.rejected) == (True, 0)
    assert spared.result.goodput(2.0, 0.2) > outcome.result.goodput(2.0, 0.2)


def test_admission_answers_503_above_its_limit_and_keeps_the_others_fast() -> None:
    burst = [Arrival(0.001 * index, 2000, 20) for index in range(200)]
    free = run(burst, Fixed(1), replace(SETUP, most=1))
    limited = run(burst, Fixed(1), replace(SETUP, most=1, admission=20))
    assert (free.rejected, free.result.max_queue > 100) == (0, True)
    assert limited.result.max_queue == 20
    assert limited.rejected == 200 - len(limited.result.requests) > 100
    assert (percentile(limited.result.ttft, 0.95) or 0) < (percentile(free.result.ttft, 0.95) or 0)
    assert limited.result.goodput(1e9, 1e9) == len(limited.result.requests) / 200


def test_least_loaded_routing_spares_the_node_that_is_busy() -> None:
    # Every other request is long: round robin sends all of them to one of two nodes.
    arrivals = [Arrival(0.1 * index, 4000 if index % 2 else 50, 60) for index in range(400)]
    fair, blind = (
        run(arrivals, Fixed(2), replace(SETUP, least=2, most=2, routing=routing)).result
        for routing in ("least-loaded", "round-robin")
    )
    assert (percentile(fair.tpot, 0.95) or 0) < (percentile(blind.tpot, 0.95) or 0)


def test_utilisation_is_the_time_in_which_kernels_ran_not_the_work_done() -> None:
    idle, trickle = Scripted({}), Scripted({})
    run([Arrival(0.0, 10, 1), Arrival(300.0, 10, 1)], idle, SETUP)
    run([Arrival(1.0 * index, 10, 200) for index in range(300)], trickle, SETUP)
    assert max(view.busy[0] for view in idle.views if view.now > 15) < 0.01
    # Two requests at a time keep a GPU "100 % utilized".
    assert min(view.busy[0] for view in trickle.views if 15 < view.now < 300) > 0.95


def test_what_cannot_be_built_is_refused_with_the_fix() -> None:
    with pytest.raises(ValueError, match="write MIN:MAX"):
        run(QUIET, Fixed(1), replace(SETUP, least=0))
    with pytest.raises(ValueError, match="known are round-robin, least-loaded"):
        run(QUIET, Fixed(1), replace(SETUP, routing="random"))
