"""Recommendations: what the documents' rule asks for, on both sides of each limit, and holding when blind."""

from dataclasses import replace

import pytest

from plimsoll.slo import metrics
from plimsoll.slo.capacity.model.signals import SIGNALS, STOPPED, read
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.capacity.recommendation.pool_snapshot import look
from plimsoll.slo.capacity.recommendation.recommend import decide
from plimsoll.slo.sources import Series
from pool_signals import (
    BURST,
    FULL_ONCE,
    IDLE,
    NOW,
    POOL,
    QUIET,
    TARGET,
    decided,
    planned,
    recommend,
    recommended,
    replace_min,
    replica,
    served,
    state,
)


def test_a_queue_at_the_limit_holds_and_above_it_adds_as_many_nodes_as_the_queue_fills() -> None:
    at_limit = recommended(POOL, (replica("a", waiting=20), replica("b", waiting=20)), NOW)
    assert (at_limit.action, at_limit.nodes, at_limit.recommended_nodes) == ("hold", 0, 2)
    above = recommended(POOL, (replica("a", waiting=50), replica("b", waiting=0)), NOW)
    assert (above.action, above.nodes, above.recommended_nodes) == ("scale_out", 1, 3)
    text = above.reasons[above.reason_codes.index("queue_depth")]
    assert text == "50 requests are waiting, 25 per node (limit 20): 3 nodes required."


@pytest.mark.parametrize(("waiting", "action", "nodes"), [(100, "hold", 10), (0, "scale_in", None)])
def test_nodes_beyond_the_maximum_are_not_removed_while_requests_queue_at_them(
    waiting: int, action: str, nodes: int | None
) -> None:
    found = recommended(POOL, tuple(replica(f"r{index}", waiting=waiting) for index in range(10)), NOW)
    assert found.action == action
    assert found.recommended_nodes == (nodes or POOL.nodes.max)


def test_the_warm_spare_is_used_first_and_replaced_behind() -> None:
    found = recommended(POOL, (replica("a", waiting=70),), NOW)
    assert (found.action, found.nodes) == ("scale_out", 3)
    assert found.reason_codes[-3:] == ["activate_warm_spares", "start_nodes", "restore_warm_spares"]
    assert found.reasons[-3:] == [
        "Activate 1 warm spare: ready in about 5 s.",
        "Start 2 nodes: ready in about 150 s.",
        "Start 1 more node to restore the warm spare.",
    ]


@pytest.mark.parametrize(("kv", "action"), [(0.85, "hold"), (0.86, "scale_out")])
def test_a_kv_cache_above_its_limit_for_minutes_adds_a_node(kv: float, action: str) -> None:
    assert recommended(POOL, (replica("a", kv=kv), replica("b", kv=kv)), NOW).action == action


def test_a_full_kv_cache_that_was_only_just_seen_is_not_called_sustained() -> None:
    assert recommended(POOL, (replica("a", kv=0.99, seconds=60),), NOW).action == "hold"


def test_the_pools_limits_hold() -> None:
    most = recommended(POOL, (replica("a", waiting=500), replica("b", waiting=500)), NOW)
    assert (most.recommended_nodes, most.nodes) == (4, 2)
    assert "Capped at the pool maximum of 4 nodes." in most.reasons and "max_nodes" in most.reason_codes
    few = recommended(replace_min(3), (replica("a"), replica("b")), NOW)
    assert (few.action, few.nodes) == ("scale_out", 1)
    assert "Raised to the pool minimum of 3 nodes." in few.reasons and "min_nodes" in few.reason_codes


def test_a_node_is_released_only_when_the_others_could_have_carried_the_whole_hold_time() -> None:
    quiet = (replica("a", kv=0.4), replica("b", kv=0.42))
    assert (found := recommended(POOL, quiet, NOW)).action == "scale_in", found.reasons
    assert (found.nodes, found.recommended_nodes) == (1, 1)
    assert recommended(POOL, (replica("a", kv=0.4), replica("b", kv=0.43)), NOW).action == "hold"
    queued = replace(quiet[0], waiting=[*quiet[0].waiting[:-5], (NOW - 60, 1.0), *quiet[0].waiting[-4:]])
    assert recommended(POOL, (queued, quiet[1]), NOW).action == "hold"


def test_nothing_is_released_while_blind() -> None:
    short = recommended(POOL, (replica("a", seconds=200), replica("b", seconds=200)), NOW)
    assert short.action == "hold"
    assert "scale_in_blocked_data" in short.reason_codes
    assert "Scale-in blocked: a has not been observed for 5 min yet." in short.reasons
    unseen = recommended(POOL, (replica("a"), replica("b"), replica("c", seen=False)), NOW)
    assert unseen.action == "hold"
    assert "Scale-in blocked: c not reporting." in unseen.reasons
    assert unseen.confidence < 1


def test_a_pool_that_nobody_sees_is_insufficient_data() -> None:
    for replicas in ((), (replica("a", waiting=900, seen=False),)):
        found = recommended(POOL, replicas, NOW)
        assert (found.action, found.nodes, found.recommended_nodes, found.confidence) == (
            "insufficient_data",
            0,
            None,
            0.0,
        )


# With a promise: capacity from what was measured ------------------------------------------------------------------

EASY = LatencyTarget(2.0, 0.2, 0.9)


def test_a_burst_is_answered_at_once_with_the_nodes_that_measured_capacity_asks_for() -> None:
    saturated = planned(served("a", [30] * 30 + [90] * 4))
    assert (saturated.action, saturated.recommended_nodes) == ("scale_out", 4)
    assert saturated.evidence["saturation_tokens_per_second_new_replica"] == 3000
    assert saturated.evidence["nodes_to_clear_backlog"] == 4
    assert saturated.reason_codes[0] == "demand_and_backlog"
    assert "Saturation throughput is 3,000 tokens/s per replica." in saturated.reasons[0]
    assert "Start 2 nodes: ready in about 150 s." in saturated.reasons


@pytest.mark.parametrize(("waiting", "action", "nodes"), [(20, "hold", 1), (21, "scale_out", 2), (45, "scale_out", 2)])
def test_a_warm_spare_helps_with_a_queue_that_is_gone_before_a_cold_node_comes(
    waiting: int, action: str, nodes: int
) -> None:
    found = planned(served("a", [10] * 100 + [45 + waiting]), target=LatencyTarget(2.0, 0.2, 0.85))
    assert (found.evidence["nodes_to_clear_backlog"], found.evidence["nodes_to_meet_slo"]) == (1, 1)
    assert (found.action, found.recommended_nodes) == (action, nodes)
    assert ("queue_depth" in found.reason_codes) == (action == "scale_out")
    assert ("activate_warm_spares" in found.reason_codes) == (action == "scale_out")


def test_nodes_on_their_way_are_counted() -> None:
    found = planned(served("a", [30] * 30 + [90] * 4), pending=3)
    assert (found.action, found.nodes, found.recommended_nodes) == ("hold", 0, 4)
    assert "3 nodes are starting and included." in found.reasons


def test_a_burst_of_the_last_quarter_of_an_hour_is_expected_again_and_its_nodes_are_kept() -> None:
    def burst(slots_ago: int) -> Recommendation:
        arriving = [10] * (80 - slots_ago) + [60, 60] + [10] * slots_ago
        return planned(*(served(name, arriving, most=30) for name in "abc"))

    kept = burst(58)  # 15 min are 60 slots of 15 s
    assert kept.action in ("hold", "scale_out")
    assert kept.reasons[kept.reason_codes.index("queue_replay")].startswith("Queue replay of the last 15 min: ")
    past = burst(62)
    assert (past.action, past.evidence["nodes_to_meet_slo"]) == ("scale_in", 2)
    assert past.evidence["saturation_tokens_per_second_new_replica"] == 2000, (
        "what a replica can do is remembered longer"
    )
    calm = planned(served("a", FULL_ONCE), served("b", IDLE), served("c", [0] * 82))
    assert calm.action == "scale_in"
    assert calm.recommended_nodes == calm.evidence["nodes_to_meet_slo"] < 3
    assert calm.reason_codes[0] == "scale_in_possible"


def test_without_a_promise_or_a_full_replica_the_documents_rule_stands() -> None:
    assert planned(served("a", BURST), target=None).reason_codes[0] == "queue_depth"
    assert planned(served("a", QUIET)).reason_codes[0] == "queue_depth"


@pytest.mark.parametrize(
    ("case", "second", "says"),
    [
        ("half unseen", served("b", IDLE, ago=90), "b not reporting"),
        ("stale", served("b", IDLE, ago=61), "b not reporting"),
        ("queue is NaN", served("b", IDLE, odd={"waiting": float("nan")}), "b not reporting"),
        ("cache is NaN", served("b", IDLE, odd={"kv_usage": float("nan")}), "b has not been observed for 5 min yet"),
        ("queue is infinite", served("b", IDLE, odd={"waiting": float("inf")}), "b not reporting"),
        ("just appeared", served("b", [2] * 5), "b has not been observed for 5 min yet"),
    ],
)
def test_what_is_not_known_never_scales_in_and_is_said(case: str, second: list[Series], says: str) -> None:
    both = planned(served("a", FULL_ONCE), served("b", IDLE))
    assert (both.action, both.recommended_nodes) == ("scale_in", 1), "with everything known it would"
    found = planned(served("a", FULL_ONCE), second)
    assert found.action in ("hold", "scale_out"), case
    assert found.reasons[found.reason_codes.index("scale_in_blocked_data")] == f"Scale-in blocked: {says}."


def test_half_unseen_lowers_the_confidence_and_nobody_seen_is_insufficient_data() -> None:
    assert planned(served("a", IDLE), served("b", IDLE, ago=90)).confidence == 0.5
    blind = planned(served("a", IDLE, ago=90), served("b", IDLE, ago=300))
    assert (blind.action, blind.recommended_nodes) == ("insufficient_data", None)
    dead = planned(served("a", IDLE, odd={"waiting": float("nan")}))
    assert dead.action == "insufficient_data"


def test_a_replica_that_was_stopped_is_missed_for_minutes_only_and_its_demand_is_remembered() -> None:
    gone = served("c", [20, 90, 90, 10, *([20] * 5)], ago=STOPPED + 15)
    found = planned(served("a", [2] * 80), served("b", [2] * 80), gone)
    assert "scale_in_blocked_data" not in found.reason_codes
    assert found.evidence["saturation_tokens_per_second_new_replica"] == 3000
    assert found.confidence == 1.0


def test_ranks_of_a_replica_are_one_replica() -> None:
    ranks = [
        Series(name, {**labels, "rank": rank}, samples) for rank in "01" for name, labels, samples in served("a", QUIET)
    ]
    one, two = read(served("a", QUIET), NOW)[0], read(ranks, NOW)[0]
    assert two.finished[-1][1] == 2 * one.finished[-1][1]
    assert two.kv_usage == one.kv_usage
    assert {selector.name for selector in SIGNALS.values()} <= {metric.name for metric in metrics.ALL}


def test_blindness_never_shrinks_a_pool_but_what_was_released_is_not_waited_for() -> None:
    half = read([*served("a", FULL_ONCE), *served("b", IDLE, ago=90)], NOW)
    whole = recommended(POOL, read([*served("a", FULL_ONCE), *served("b", IDLE)], NOW), NOW, EASY)
    assert whole.recommended_nodes == 1
    for nodes in (None, 2, 4):
        before = None if nodes is None else state(nodes, 3000.0)
        found = recommended(POOL, half, NOW, EASY, state=before)
        assert (found.action, found.recommended_nodes) == ("hold", 2)
    released = recommended(POOL, half, NOW, EASY, state=state(1, 3000.0))
    assert (released.action, released.recommended_nodes, released.confidence) == ("hold", 1, 1.0)
    assert "scale_in_blocked_data" not in released.reason_codes


def test_holding_never_brings_back_what_was_just_released() -> None:
    quiet = read([item for name in "abc" for item in served(name, QUIET)], NOW)
    last = recommend(POOL, quiet, NOW, None)
    assert (last.recommendation.action, last.recommendation.recommended_nodes) == ("scale_in", 2)
    # One request waits: nothing more is released; the third node has not stopped yet, and two more are on their way.
    now_waiting = read([item for name in "abc" for item in served(name, QUIET, odd={"waiting": 1.0})], NOW)
    for pending in (0, 2):
        case = look(POOL, now_waiting, NOW, None, pending, last.state)
        assert decide(case).recommendation.recommended_nodes == 2


def test_a_capacity_that_was_measured_is_remembered() -> None:
    full = decided(served("a", [30] * 30 + [90] * 4))
    later = recommended(POOL, read(served("a", QUIET), NOW), NOW, TARGET, state=full.state)
    assert later.evidence["saturation_tokens_per_second_new_replica"] == 3000


def test_without_a_plan_one_release_is_watched_for_the_hold_time_before_the_next() -> None:
    gone = [served("c", QUIET, ago=ago) for ago in (100, 310)]
    left = [item for name in "ab" for item in served(name, QUIET)]
    early, late = (recommended(POOL, read([*left, *found], NOW), NOW, state=state(2)) for found in gone)
    assert (early.action, late.action) == ("hold", "scale_in")
    assert early.reason_codes[-1] == "scale_in_blocked_data" and "alone for 5 min" in early.reasons[-1]


# The source was dead for a while -----------------------------------------------------------------------------------


def blinded(series: list[Series], since: float, until: float) -> list[Series]:
    """Take out what would have been read between two ages, in seconds."""
    return [
        Series(name, labels, [(at, value) for at, value in samples if not NOW - since < at <= NOW - until])
        for name, labels, samples in series
    ]


@pytest.mark.parametrize(("dead", "action"), [(90, "scale_in"), (240, "hold")])
def test_time_in_which_nobody_looked_is_not_observed(dead: float, action: str) -> None:
    both = [blinded(served(name, load), 30 + dead, 30) for name, load in (("a", FULL_ONCE), ("b", IDLE))]
    found = planned(*both)
    assert found.action == action
    assert ("scale_in_blocked_data" in found.reason_codes) == (action == "hold")


def test_a_replica_that_does_not_come_back_with_the_source_is_missed_however_long_that_was_dead() -> None:
    first = blinded(served("a", FULL_ONCE), 900, 60)
    second = blinded(served("b", IDLE), 900, -1)
    back = planned(first, second)
    assert (back.action, back.recommended_nodes) in [("hold", 2), ("scale_out", 3)]
    assert back.evidence["replicas_not_reporting"] == ["b"]
    assert "Scale-in blocked: b not reporting." in back.reasons


@pytest.mark.parametrize(("ago", "unseen"), [(STOPPED - 15, ["b"]), (STOPPED, [])])
def test_a_replica_that_others_were_watched_without_for_minutes_was_stopped(ago: float, unseen: list[str]) -> None:
    found = planned(served("a", FULL_ONCE), served("b", IDLE, ago=ago))
    assert found.evidence["replicas_not_reporting"] == unseen
