"""Sessions are replayed closed-loop: a turn is sent its delay after the simulated response to the turn before, however late that is."""

from itertools import pairwise

import pytest

from plimsoll.slo.capacity.policies.fixed import Fixed
from plimsoll.slo.capacity.simulator.fleet import Outcome, Setup, run
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.step_time import load as step_model
from plimsoll.slo.capacity.simulator.traces import Arrival

SETUP = Setup(step_model("70b-fp8-h100-tp4"), Limits(), 1, 1)


def session(number: int, begin: float, turns: int, delay: float, output: int = 200) -> list[Arrival]:
    rows = [Arrival(begin, 1000, output, (), number)]
    for turn in range(1, turns):
        rows.append(Arrival(begin + delay * turn, 1000 + 500 * turn, output, (), number, delay))
    return rows


def served(arrivals: list[Arrival], setup: Setup = SETUP) -> Outcome:
    return run(sorted(arrivals, key=lambda row: row.time), Fixed(setup.least), setup)


@pytest.mark.parametrize("delay", [5.0, 0.3, 0.0])
def test_a_turn_follows_the_response_by_its_delay(delay: float) -> None:
    found = sorted(served(session(1, 0.0, 4, delay)).result.requests, key=lambda one: one.prompt)
    assert [one.prompt for one in found] == [1000, 1500, 2000, 2500]
    for before, after in pairwise(found):
        assert before.finished is not None
        assert after.arrival == before.finished + delay


def test_traffic_at_fixed_times_is_as_it_was_beside_sessions() -> None:
    plain = [Arrival(0.4 * index, 1200, 60) for index in range(100)]
    alone = served(plain).result
    other = served([*plain, *session(1, 1000.0, 2, 1.0)]).result
    assert [one.finished for one in other.requests if one.prompt == 1200] == [one.finished for one in alone.requests]


def test_users_who_wait_longer_send_less() -> None:
    """An open loop would queue without end on a node that 300 sessions overload."""
    sessions = [row for number in range(1, 301) for row in session(number, 0.1 * number, 5, 1.0, 100)]
    found = served(sessions)
    assert len(found.result.requests) == 1500
    opened = served([row._replace(delay=None) for row in sessions])
    assert found.result.max_queue < opened.result.max_queue


def test_a_session_ends_with_a_turn_that_gets_no_response() -> None:
    lost = Setup(SETUP.model, SETUP.limits, 1, 1, losses=(0.5,))
    found = served(session(1, 0.0, 3, 1.0), lost)
    assert (len(found.result.requests), found.lost, found.result.rejected) == (0, 1, 3)
    two = Setup(SETUP.model, SETUP.limits, 2, 2, losses=(0.5,))
    beside = served([*session(1, 0.0, 3, 1.0), *session(2, 0.1, 3, 1.0)], two)
    assert len(beside.result.requests) == 3
