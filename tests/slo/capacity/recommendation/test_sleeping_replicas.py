"""Replicas in sleep mode: no capacity now, the first to add, and neither missing nor in the way of scale-in."""

from dataclasses import replace

import msgspec
import pytest

from plimsoll.slo import metrics
from plimsoll.slo.capacity.model.signals import ReplicaSignals, missing, read
from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.node_pricing import Node
from pool_signals import FULL_ONCE, IDLE, NOW, POOL, planned, recommended, replica, served


def sleeper(name: str, slept: float = 3600.0) -> ReplicaSignals:
    """A replica that fell asleep so many seconds ago."""
    awake = replica(name, seconds=slept + 400)
    waiting, kv_usage = (
        [one for one in samples if one[0] <= NOW - slept] for samples in (awake.waiting, awake.kv_usage)
    )
    return replace(awake, seen=False, asleep=True, waiting=waiting, running=[], kv_usage=kv_usage)


def state_of(name: str, awake: list[tuple[float, float]]) -> list[Series]:
    labels = {"replica": name, "model": "m", "engine": "vllm", "instance": "node:9800"}
    return [*served(name, IDLE), Series(metrics.REPLICA_AWAKE.name, labels, awake)]


def steps(found: Recommendation) -> list[str]:
    order = ("wake_replicas", "activate_warm_spares", "start_nodes", "restore_warm_spares")
    return [code for code in found.reason_codes if code in order]


@pytest.mark.parametrize(
    ("awake", "asleep", "last"),
    [
        ([(NOW - 30, 1.0), (NOW - 15, 1.0)], False, NOW - 15),
        ([(NOW - 45, 1.0), (NOW - 30, 0.0), (NOW - 15, 0.0)], True, NOW - 45),
        ([(NOW - 45, 0.0), (NOW - 30, 0.0), (NOW - 15, 1.0)], False, NOW - 15),
        ([(NOW - 900, 0.0)], False, NOW - 15),  # not reported any more: not known to sleep
    ],
)
def test_a_replica_that_sleeps_is_neither_seen_nor_missing_and_shows_its_load_until_then(
    awake: list[tuple[float, float]], asleep: bool, last: float
) -> None:
    series = state_of("a", awake)
    (one,) = read(series, NOW + 1)
    assert (one.asleep, one.seen) == (asleep, not asleep)
    assert one.waiting[-1][0] == pytest.approx(last, abs=15)
    assert missing([one], NOW + 1) == []
    gone = replace(one, seen=False, asleep=False)
    assert missing([gone], NOW + 1) == ["a"], "as it would be if it had just stopped reporting"


def test_it_comes_before_warm_spares_and_before_nodes_that_are_started() -> None:
    queued = replica("a", waiting=65)  # 65 requests at 20 a node: 4 nodes
    without, one, three = (
        recommended(POOL, (queued, *(sleeper(f"s{index}") for index in range(count))), NOW) for count in (0, 1, 3)
    )
    assert [found.nodes for found in (without, one, three)] == [3, 3, 3]
    assert [found.current_nodes for found in (without, one, three)] == [1, 1, 1]
    assert steps(without) == ["activate_warm_spares", "start_nodes", "restore_warm_spares"]
    assert steps(one) == ["wake_replicas", "activate_warm_spares", "start_nodes", "restore_warm_spares"]
    assert steps(three) == ["wake_replicas"]
    (text,) = (text for text, code in zip(three.reasons, three.reason_codes, strict=True) if code == "wake_replicas")
    assert text == "Wake s0, s1, s2: ready in about 5 s, if memory of its GPUs is free."
    assert three.evidence["replicas_asleep"] == ["s0", "s1", "s2"]


def test_a_queue_is_answered_by_waking_even_where_the_demand_needs_no_node() -> None:
    """As by a warm spare: it serves in seconds, long before the backlog is cleared."""
    busy = served("a", [*FULL_ONCE[:-1], 70])
    asleep = [state_of(f"s{index}", [(NOW - 15, 0.0)]) for index in range(2)]
    assert planned(busy).nodes == 1
    assert steps(planned(busy)) == ["activate_warm_spares", "restore_warm_spares"]
    assert steps(planned(busy, *asleep)) == ["wake_replicas"]


def test_it_does_not_keep_others_from_being_removed_once_it_has_slept_for_the_whole_window() -> None:
    calm = replica("a", kv=0.1), replica("b", kv=0.1)
    assert recommended(POOL, (*calm, sleeper("s")), NOW).action == "scale_in"
    assert recommended(POOL, (*calm, sleeper("s", 60.0)), NOW).action == "hold", "its load has just moved to the others"


def test_a_sleeping_node_is_paid_for_and_waking_it_costs_nothing_more() -> None:
    priced = msgspec.structs.replace(POOL, node=Node("H100-80GB", 1, hourly_usd=4.0))
    queued = replica("a", waiting=35)
    found = recommended(priced, (queued, sleeper("s")), NOW).cost
    assert (found.usd_per_hour_current, found.usd_per_hour_recommended, found.usd_per_hour_difference) == (
        8.0,
        8.0,
        0.0,
    )
    assert recommended(priced, (queued,), NOW).cost.usd_per_hour_difference == 4.0


def test_where_all_sleep_nothing_is_decided_and_the_reason_is_stated() -> None:
    found = recommended(POOL, (sleeper("s"), sleeper("t")), NOW)
    assert (found.action, found.recommended_nodes, found.reason_codes) == (
        "insufficient_data",
        None,
        ["replicas_asleep"],
    )
    lost = recommended(POOL, (sleeper("s"), replica("a", seen=False)), NOW)
    assert lost.reason_codes == ["no_replica_reporting"]
