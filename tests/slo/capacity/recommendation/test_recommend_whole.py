"""The whole answer: which rule decided, what else could be done and why not, what users would feel, and what it costs."""

import json

import msgspec
import pytest

from plimsoll.slo.capacity.model.signals import read
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.recommendation.models import Alternative, Recommendation
from plimsoll.slo.spec.objectives import Pool
from plimsoll.slo.units import Duration
from pool_signals import (
    BURST,
    FULL_ONCE,
    IDLE,
    NOW,
    POOL,
    decided,
    planned,
    recommended,
    replace_min,
    replica,
    served,
)
from spot_world import pool as spot_pool

PRICED = msgspec.structs.replace(POOL, node=msgspec.structs.replace(POOL.node, hourly_usd=4.0))


def by_nodes(found: Recommendation) -> dict[int, Alternative]:
    return {one.nodes: one for one in found.alternatives}


# Which rule ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "rule", "first"),
    [
        (recommended(POOL, (replica("a", waiting=50), replica("b")), NOW), "queue", "queue_depth"),
        (recommended(POOL, (replica("a", kv=0.86), replica("b", kv=0.86)), NOW), "kv_cache", "kv_cache_usage"),
        (recommended(POOL, (replica("a", waiting=500), replica("b", waiting=500)), NOW), "max_nodes", "max_nodes"),
        (recommended(replace_min(3), (replica("a"), replica("b")), NOW), "min_nodes", "min_nodes"),
        (recommended(POOL, (replica("a", kv=0.4), replica("b", kv=0.42)), NOW), "scale_in", "scale_in_possible"),
        (recommended(POOL, (replica("a", kv=0.4), replica("b", kv=0.43)), NOW), "hold", "queue_depth"),
        (recommended(POOL, (), NOW), "no_data", "no_replica_reporting"),
        (planned(served("a", [30] * 30 + [90] * 4)), "demand", "demand_and_backlog"),
        (
            planned(served("a", [*([90] * 2), *([0] * 8), *([30] * 40)]), target=LatencyTarget(2.0, 0.2, 0.999)),
            *("slo", "queue_replay"),
        ),
        (planned(served("a", [10] * 100 + [66]), target=LatencyTarget(2.0, 0.2, 0.85)), "queue", "queue_depth"),
        (planned(served("a", FULL_ONCE), served("b", IDLE)), "scale_in", "scale_in_possible"),
        (planned(served("a", FULL_ONCE), served("b", IDLE, ago=90)), "hold", "demand_and_backlog"),
    ],
)
def test_the_answer_names_the_rule_that_decided_and_tells_it_first(
    found: Recommendation, rule: str, first: str
) -> None:
    assert found.rule == rule, found.reasons
    assert (found.rule in ("hold", "no_data")) == (found.action in ("hold", "insufficient_data"))
    assert found.reason_codes[0] == first, "a phone shows one line"
    assert len(found.reason_codes) == len(found.reasons)
    assert len(found.reasons) == len(set(found.reasons))


def test_what_was_released_before_and_has_not_stopped_yet_is_still_a_release() -> None:
    both = (served("a", FULL_ONCE), served("b", IDLE))
    first = decided(*both)
    replicas = read([item for found in both for item in found], NOW)
    again = recommended(POOL, replicas, NOW, LatencyTarget(2.0, 0.2, 0.95), state=first.state)
    assert (again.action, again.recommended_nodes, again.rule) == ("scale_in", 1, "scale_in")


@pytest.mark.parametrize(("waiting", "action"), [(20, "scale_in"), (21, "hold")])
def test_nothing_is_released_or_called_off_while_more_wait_than_the_limit(waiting: int, action: str) -> None:
    # Two nodes would do for what comes, and four are there or ordered; but 40 or 42 requests wait at two of them.
    each = [250, *([0] * 6), *([5] * 82), 45 + waiting]
    found = planned(served("a", each), served("b", each), pending=2, target=LatencyTarget(20.0, 20.0, 0.9))
    assert found.action == action, found.reasons
    assert ("scale_in_blocked_queue" in found.reason_codes) == (action == "hold")


@pytest.mark.parametrize(("ago", "action"), [(0, "scale_in"), (45, "hold")])
def test_a_hold_time_shorter_than_the_last_sample_is_old_releases_nothing(ago: float, action: str) -> None:
    short = msgspec.structs.replace(
        POOL, timing=msgspec.structs.replace(POOL.timing, scale_in_stabilization=Duration(30))
    )
    both = [item for name, load in (("a", FULL_ONCE), ("b", IDLE)) for item in served(name, load, ago=ago)]
    assert recommended(short, read(both, NOW), NOW, LatencyTarget(2.0, 0.2, 0.95)).action == action


# What else -------------------------------------------------------------------------------------------------------


def test_one_fewer_one_more_and_as_many_as_there_are_stand_beside_the_answer_nearest_first() -> None:
    found = planned(served("a", [30] * 30 + [90] * 4))
    assert (found.current_nodes, found.recommended_nodes) == (1, 4)
    assert [one.nodes for one in found.alternatives] == [3, 5, 2, 1]
    others = by_nodes(found)
    assert others[5].reason == "Above the pool maximum (4)."
    shares = [others[nodes].attainment or 0.0 for nodes in (1, 2, 3)]
    assert shares == sorted(shares) and shares[1] < 0.95 < shares[2]
    assert others[2].reason == (
        f"With 2 nodes, {1 - shares[1]:.1%} of requests are expected to miss the target (allowed 5%), "
        "by queue replay of the last 8 min."
    )
    clear = "To clear the backlog within 150 s of a cold start, 4 nodes are required."
    assert others[3].reason == clear, "three would meet the SLO"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (0.85, "To clear the backlog within 150 s"),
        (0.86, "With 1 node, 14.5% of requests are expected to miss the target (allowed 14%)"),
    ],
)
def test_one_fewer_is_refused_by_what_users_would_feel_or_else_by_the_rule_that_asked(target: float, why: str) -> None:
    found = planned(served("a", [20] * 120 + [60, 45, 45, 45]), target=LatencyTarget(2.0, 2.0, target))
    assert (found.recommended_nodes, found.rule) == (2, "demand")
    assert why in by_nodes(found)[1].reason, found.alternatives


def test_what_a_losing_rule_asked_for_is_told_with_its_name() -> None:
    found = planned(served("a", [90] * 2 + [0] * 8 + [30] * 40))
    assert (found.evidence["nodes_to_clear_backlog"], found.recommended_nodes, found.rule) == (1, 3, "slo")
    assert by_nodes(found)[1].required_by == ["demand"]
    assert by_nodes(found)[4].required_by == []
    assert by_nodes(found)[4].reason == "No rule requires it: attainment stays at 100.0%."
    burst = planned(served("a", [20] * 120 + [60, 45, 45, 45]), target=LatencyTarget(2.0, 2.0, 0.9))
    assert by_nodes(burst)[3].reason == "No rule requires it: attainment 100.0% vs. 99.6%."


def test_fewer_are_refused_while_blind_for_the_reason_that_nothing_is_released() -> None:
    found = planned(served("a", FULL_ONCE), served("b", IDLE, ago=90))
    assert (found.action, by_nodes(found)[1].reason) == ("hold", "Scale-in blocked: b not reporting.")
    unplanned = recommended(POOL, (replica("a", kv=0.2), replica("b", kv=0.2), replica("c", kv=0.2)), NOW)
    assert (unplanned.action, unplanned.recommended_nodes) == ("scale_in", 2)
    assert (
        by_nodes(unplanned)[1].reason
        == "Scale-in is limited to one node at a time until saturation throughput is measured."
    )
    assert by_nodes(unplanned)[3].reason == "2 nodes are sufficient."
    assert (
        by_nodes(recommended(replace_min(2), (replica("a"), replica("b")), NOW))[1].reason
        == "Below the pool minimum (2)."
    )


def test_rules_that_can_not_say_what_users_would_feel_give_their_own_figures() -> None:
    queue = by_nodes(recommended(POOL, (replica("a", waiting=50), replica("b")), NOW))
    assert (queue[2].reason, queue[2].attainment) == (
        "50 requests are waiting, 25 per node (limit 20): 3 nodes required.",
        None,
    )
    kv = by_nodes(recommended(POOL, (replica("a", kv=0.86), replica("b", kv=0.86)), NOW))
    assert (
        kv[2].reason
        == "KV cache usage is 86% on a (290 s average, highest replica), above the 85% limit: 3 nodes required."
    )


# What users would feel -------------------------------------------------------------------------------------------


def test_the_share_in_time_is_told_for_now_and_for_the_answer_beside_what_was_promised() -> None:
    found = planned(served("a", [30] * 30 + [90] * 4))
    assert (
        found.expected_attainment.target,
        found.expected_attainment.method,
        found.expected_attainment.unavailable_reason,
    ) == (0.95, "queue_replay", None)
    assert found.expected_attainment.lookback_seconds == 34 * 15
    assert found.expected_attainment.current_nodes == by_nodes(found)[1].attainment
    assert (found.expected_attainment.current_nodes or 1) < (found.expected_attainment.recommended_nodes or 0) <= 1
    calm = planned(served("a", FULL_ONCE))
    assert calm.expected_attainment.current_nodes == calm.expected_attainment.recommended_nodes


def test_what_waits_now_is_ahead_of_what_comes() -> None:
    found = planned(served("a", [*FULL_ONCE, 200]), target=LatencyTarget(2.0, 2.0, 0.9))
    # By the traffic alone four nodes are in time for 93.2 %: what waits is late already, and delays who comes next.
    assert (found.recommended_nodes, found.evidence["slo_miss_ratio_by_nodes"]["4"]) == (4, 0.0684)
    assert found.expected_attainment.recommended_nodes == 0.9184


@pytest.mark.parametrize(("target", "said"), [(0.918, False), (0.919, True)])
def test_where_the_answer_is_not_expected_to_be_enough_it_says_so(target: float, said: bool) -> None:
    found = planned(served("a", [*FULL_ONCE, 200]), target=LatencyTarget(2.0, 2.0, target))
    assert (found.recommended_nodes, found.expected_attainment.recommended_nodes) == (POOL.nodes.max, 0.9184)
    assert ("slo_missed" in found.reason_codes) is said
    if said:
        assert found.reasons[-1].startswith("Even with 4 nodes, 8.2% of requests are expected to miss the target")


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (recommended(POOL, (replica("a"),), NOW, LatencyTarget(2.0, 0.2, 0.95)), "Unavailable: no request counters."),
        (planned(served("a", [10] * 80)), "Unavailable: no replica has been saturated yet."),
        (planned(served("a", [50, *([0] * 80)])), "Unavailable: no requests."),
        (planned(served("a", BURST), target=None), "Unavailable: no latency SLO."),
        (
            recommended(POOL, (), NOW, LatencyTarget(2.0, 0.2, 0.95)),
            "No data: no replica has reported in the last minute.",
        ),
    ],
)
def test_what_is_not_known_is_null_with_its_reason(found: Recommendation, why: str) -> None:
    expected = found.expected_attainment
    assert (expected.current_nodes, expected.recommended_nodes, expected.method) == (None, None, None)
    assert expected.unavailable_reason is not None and expected.unavailable_reason.startswith(why)
    assert all(one.attainment is None for one in found.alternatives)


# What it costs ---------------------------------------------------------------------------------------------------


def priced(pool: Pool) -> Recommendation:
    return recommended(pool, read(served("a", [30] * 30 + [90] * 4), NOW), NOW, LatencyTarget(2.0, 0.2, 0.95))


def test_the_price_of_now_of_the_answer_and_of_what_else_and_unknown_without_one() -> None:
    found = priced(PRICED)
    cost = found.cost
    assert (cost.usd_per_hour_current, cost.usd_per_hour_recommended, cost.usd_per_hour_difference) == (4.0, 16.0, 12.0)
    assert {one.nodes: one.usd_per_hour for one in found.alternatives} == {3: 12.0, 5: 20.0, 2: 8.0, 1: 4.0}
    free = priced(POOL)
    assert set(free.cost.model_dump().values()) == {None}
    assert all(one.usd_per_hour is None for one in free.alternatives)


def test_spot_nodes_are_priced_as_spot_on_both_sides() -> None:
    load = [250, 0, 0, 0, 0, 0, *([20] * 82)]
    four = read([item for name in "abc" for item in served(name, load)] + served("d", [20] * 5), NOW)
    found = recommended(spot_pool(), four, NOW, LatencyTarget(2.0, 0.2, 0.9))
    assert (found.action, found.evidence["spot_mix"]["spot"]) == ("hold", 2)
    assert (found.cost.usd_per_hour_current, found.cost.usd_per_hour_difference) == (11.2, 0.0)
    # Of three nodes, two of which must be left, one may be on spot; of five two.
    assert (by_nodes(found)[3].usd_per_hour, by_nodes(found)[5].usd_per_hour) == (9.6, 15.2)


# Kept answers ----------------------------------------------------------------------------------------------------


def test_the_stored_form_and_the_form_of_the_api_are_read_as_they_were() -> None:
    found = priced(PRICED)
    assert Recommendation.model_validate(json.loads(json.dumps(found.model_dump()))) == found
    sent = json.loads(found.model_dump_json())
    assert sent["at"] == "1970-01-01T02:46:40Z"
    assert Recommendation.model_validate(sent) == found
