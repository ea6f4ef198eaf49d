"""Other systems' rules against their own worked numbers, so that backtests compare with the real thing."""

import pytest

from plimsoll.slo.capacity.model.signals import ReplicaSignals
from plimsoll.slo.capacity.policies.apa import Apa, adapted
from plimsoll.slo.capacity.policies.clairvoyant import Schedule, search
from plimsoll.slo.capacity.policies.fixed import Fixed
from plimsoll.slo.capacity.policies.hpa import Behavior, HpaQueue, HpaUtilization, scaled
from plimsoll.slo.capacity.policies.keda import Keda
from plimsoll.slo.capacity.policies.wva import Wva, spare_capacity
from plimsoll.slo.capacity.simulator.policy import View


def view(
    waiting: list[float], now: float = 600.0, kv: float = 0.3, busy: float = 1.0, pending: int = 0, age: float = 0.0
) -> View:
    def replica(index: int, queue: float) -> ReplicaSignals:
        times = [now - age - 15 * step for step in range(20, -1, -1)]
        steady = [(at, kv) for at in times]
        return ReplicaSignals(f"r{index}", age <= 60, True, [(at, queue) for at in times], steady, steady)

    replicas = tuple(replica(index, queue) for index, queue in enumerate(waiting))
    return View(now, len(waiting), pending, replicas, tuple(busy for _ in waiting))


def test_fixed_stays() -> None:
    assert Fixed(3).decide(view([900.0])) == 3


def test_hpa_asks_for_the_ratio_and_leaves_ten_percent_alone() -> None:
    assert scaled(3, 12, 5) == 8
    assert (scaled(10, 5.4, 5), scaled(10, 5.6, 5)) == (10, 12)
    assert (scaled(10, 4.6, 5), scaled(10, 4.4, 5)) == (10, 9)


def test_hpa_on_the_queue_gives_36_waiting_eight_pods_of_which_seven_in_the_first_sync() -> None:
    policy = HpaQueue()
    assert policy.decide(view([12.0, 12.0, 12.0])) == 7
    assert policy.decide(view([36 / 7] * 7, now=615)) == 7  # within the tolerance
    assert HpaQueue().decide(view([9.0] * 4)) == 8


def test_hpa_shrinks_only_to_the_highest_answer_of_five_minutes() -> None:
    behavior = Behavior()
    assert behavior.follow(0, 2, 6) == 6
    assert behavior.follow(15, 6, 1) == 6
    assert behavior.follow(200, 6, 3) == 6
    assert behavior.follow(301, 6, 1) == 3


def test_hpa_on_utilisation_sees_no_difference_between_busy_and_drowning() -> None:
    assert (
        HpaUtilization().decide(view([0.0, 0.0], busy=1.0)) == HpaUtilization().decide(view([500.0] * 2, busy=1.0)) == 3
    )
    assert HpaUtilization().decide(view([0.0] * 4, busy=0.4)) == 2
    assert HpaUtilization().decide(view([0.0, 0.0], busy=1.0, pending=2)) == 4


@pytest.mark.parametrize(("waiting", "nodes"), [([20.0, 20.0], 2), ([21.0, 20.0], 3), ([50.0, 0.0], 3)])
def test_the_documents_keda_rule_is_twenty_waiting_a_node(waiting: list[float], nodes: int) -> None:
    assert Keda().decide(view(waiting)) == nodes


def test_keda_takes_an_outage_for_no_load_which_is_its_known_defect() -> None:
    policy = Keda()
    assert policy.decide(view([100.0, 100.0], now=0)) == 6
    assert policy.decide(view([100.0] * 6, now=400, age=300)) == 1


def test_wva_adds_one_where_the_queues_spare_is_below_three() -> None:
    assert spare_capacity([0.70, 0.72, 0.60], [3, 2, 4], 0) == 1
    assert spare_capacity([0.70, 0.72, 0.60], [3, 2, 4], 1) == 0  # one is on its way
    assert spare_capacity([0.70, 0.72, 0.60], [2, 2, 1], 0) == 0  # fits, but not on one node fewer
    assert spare_capacity([0.85, 0.9], [9, 9], 0) == 1
    assert spare_capacity([0.2, 0.2, 0.2], [0, 0, 0], 0) == -1
    assert spare_capacity([0.2], [0], 0) == 0


def test_wva_holds_without_data() -> None:
    assert Wva().decide(view([0.0, 0.0, 0.0], age=120)) == 3
    assert Wva().decide(view([0.0, 0.0, 0.0])) == 2


@pytest.mark.parametrize(
    ("current", "ratio", "nodes"),
    [(4, 1.1, 4), (4, 1.2, 5), (4, 3.0, 8), (4, 0.9, 4), (4, 0.8, 4), (4, 0.6, 3), (5, 0.1, 2)],
)
def test_apa_scales_by_the_ratio_at_most_doubling_and_halving(current: int, ratio: float, nodes: int) -> None:
    assert adapted(current, ratio) == nodes


def test_apa_looks_at_the_cache_alone() -> None:
    assert Apa().decide(view([500.0, 500.0], kv=0.5)) == 2
    assert Apa().decide(view([0.0, 0.0], kv=0.8)) == 4
    assert Apa().decide(view([0.0, 0.0], kv=0.8, age=200)) == 2


def test_the_clairvoyant_search_finds_the_cheapest_schedule_of_a_known_need() -> None:
    need = [2, 1, 4, 4, 1]

    def enough(schedule: Schedule) -> bool:
        return all(have >= want for have, want in zip(schedule.nodes, need, strict=True))

    found = search(450.0, 100.0, 150.0, range(1, 7), enough)
    assert found.nodes == need
    # Ordered one start of 150 s ahead: what is needed from 200 s on must be ordered by 50 s, at the evaluation at 45 s.
    assert [found.decide(view([0.0], now=now)) for now in (0.0, 30.0, 45.0, 350.0, 400.0, 900.0)] == [2, 2, 4, 4, 1, 1]
    assert search(450.0, 100.0, 150.0, range(1, 4), enough).nodes == [3] * 5
