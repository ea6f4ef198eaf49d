"""The whole answer: which rule decided, what else could be done and why not, what users would feel, and what it costs."""

import json
from dataclasses import asdict

import msgspec
import pytest

from plimsoll.slo.capacity.model.signals import read
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.recommendation.models import Alternative, Recommendation, RecommendationOut
from plimsoll.slo.capacity.recommendation.recommend import recommend
from plimsoll.slo.spec.objectives import Pool
from plimsoll.slo.units import Duration
from pool_signals import BURST, FULL_ONCE, IDLE, NOW, POOL, planned, replace_min, replica, served
from spot_world import pool as spot_pool

PRICED = msgspec.structs.replace(POOL, node=msgspec.structs.replace(POOL.node, hourly_usd=4.0))


def by_nodes(found: Recommendation) -> dict[int, Alternative]:
    return {one.nodes: one for one in found.alternatives}


# Which rule ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "rule", "first"),
    [
        (recommend(POOL, (replica("a", waiting=50), replica("b")), NOW), "queue", "requests wait"),
        (recommend(POOL, (replica("a", kv=0.86), replica("b", kv=0.86)), NOW), "kv_cache", "KV cache is"),
        (recommend(POOL, (replica("a", waiting=500), replica("b", waiting=500)), NOW), "maximum", "limited to"),
        (recommend(replace_min(3), (replica("a"), replica("b")), NOW), "minimum", "would do, but"),
        (recommend(POOL, (replica("a", kv=0.4), replica("b", kv=0.42)), NOW), "scale_in", "nothing waited"),
        (recommend(POOL, (replica("a", kv=0.4), replica("b", kv=0.43)), NOW), "hold", "0 requests wait"),
        (recommend(POOL, (), NOW), "no_data", "nothing is known"),
        (planned(served("a", [30] * 30 + [90] * 4)), "demand", "to catch up"),
        (
            planned(served("a", [*([90] * 2), *([0] * 8), *([30] * 40)]), promise=LatencyTarget(2.0, 0.2, 0.999)),
            *("objective", "would have had at most"),
        ),
        (planned(served("a", [10] * 100 + [66]), promise=LatencyTarget(2.0, 0.2, 0.85)), "queue", "requests wait"),
        (planned(served("a", FULL_ONCE), served("b", IDLE)), "scale_in", "would have kept the objective"),
        (planned(served("a", FULL_ONCE), served("b", IDLE, ago=90)), "hold", "to catch up"),
    ],
)
def test_the_answer_names_the_rule_that_decided_and_tells_it_first(
    found: Recommendation, rule: str, first: str
) -> None:
    assert found.rule == rule, found.reasons
    assert (found.rule in ("hold", "no_data")) == (found.action in ("hold", "insufficient_data"))
    assert first in found.reasons[0], "a phone shows one line"
    assert len(found.reasons) == len(set(found.reasons))


def test_what_was_released_before_and_has_not_stopped_yet_is_still_a_release() -> None:
    both = (served("a", FULL_ONCE), served("b", IDLE))
    first = planned(*both)
    replicas = read([item for found in both for item in found], NOW)
    again = recommend(POOL, replicas, NOW, LatencyTarget(2.0, 0.2, 0.95), last=first)
    assert (again.action, again.recommended_nodes, again.rule) == ("scale_in", 1, "scale_in")


@pytest.mark.parametrize(("waiting", "action"), [(20, "scale_in"), (21, "hold")])
def test_nothing_is_released_or_called_off_while_more_wait_than_the_limit(waiting: int, action: str) -> None:
    # Two nodes would do for what comes, and four are there or ordered; but 40 or 42 requests wait at two of them.
    each = [250, *([0] * 6), *([5] * 82), 45 + waiting]
    found = planned(served("a", each), served("b", each), pending=2, promise=LatencyTarget(20.0, 20.0, 0.9))
    assert found.action == action, found.reasons
    said = "no release while 42 requests wait: above the limit of 20 per node"
    assert (said in found.reasons) == (action == "hold")


@pytest.mark.parametrize(("ago", "action"), [(0, "scale_in"), (45, "hold")])
def test_a_hold_time_shorter_than_the_last_sample_is_old_releases_nothing(ago: float, action: str) -> None:
    short = msgspec.structs.replace(
        POOL, timing=msgspec.structs.replace(POOL.timing, scale_in_stabilization=Duration(30))
    )
    both = [item for name, load in (("a", FULL_ONCE), ("b", IDLE)) for item in served(name, load, ago=ago)]
    assert recommend(short, read(both, NOW), NOW, LatencyTarget(2.0, 0.2, 0.95)).action == action


# What else -------------------------------------------------------------------------------------------------------


def test_one_fewer_one_more_and_as_many_as_there_are_stand_beside_the_answer_nearest_first() -> None:
    found = planned(served("a", [30] * 30 + [90] * 4))
    assert (found.current_nodes, found.recommended_nodes) == (1, 4)
    assert [one.nodes for one in found.alternatives] == [3, 5, 2, 1]
    others = by_nodes(found)
    assert others[5].why == "the pool may have at most 4"
    shares = [others[nodes].attainment or 0.0 for nodes in (1, 2, 3)]
    assert shares == sorted(shares) and shares[1] < 0.95 < shares[2]
    assert (
        others[2].why
        == f"{1 - shares[1]:.1%} of the traffic of the last 8m would be late, by queue replay; promised: at most 5%"
    )
    assert others[3].why == "to catch up 150s after a cold node was ordered and served takes 4", "it keeps the promise"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (0.85, "to catch up 150s after"),
        (0.86, "14.5% of the traffic of the last 15m would be late, by queue replay; promised: at most 14%"),
    ],
)
def test_one_fewer_is_refused_by_what_users_would_feel_or_else_by_the_rule_that_asked(target: float, why: str) -> None:
    found = planned(served("a", [20] * 120 + [60, 45, 45, 45]), promise=LatencyTarget(2.0, 2.0, target))
    assert (found.recommended_nodes, found.rule) == (2, "demand")
    assert why in by_nodes(found)[1].why, found.alternatives


def test_what_a_losing_rule_asked_for_is_told_with_its_name() -> None:
    found = planned(served("a", [90] * 2 + [0] * 8 + [30] * 40))
    assert (found.evidence["nodes_to_drain"], found.recommended_nodes, found.rule) == (1, 3, "objective")
    assert by_nodes(found)[1].asked_by == ["demand"]
    assert by_nodes(found)[4].asked_by == []
    assert by_nodes(found)[4].why == "no rule asks for it: no more would be in time"
    burst = planned(served("a", [20] * 120 + [60, 45, 45, 45]), promise=LatencyTarget(2.0, 2.0, 0.9))
    assert by_nodes(burst)[3].why == "no rule asks for it: 100.0% in time instead of 99.6%"


def test_fewer_are_refused_while_blind_for_the_reason_that_nothing_is_released() -> None:
    found = planned(served("a", FULL_ONCE), served("b", IDLE, ago=90))
    assert (found.action, by_nodes(found)[1].why) == ("hold", "no release while b cannot be seen")
    unplanned = recommend(POOL, (replica("a", kv=0.2), replica("b", kv=0.2), replica("c", kv=0.2)), NOW)
    assert (unplanned.action, unplanned.recommended_nodes) == ("scale_in", 2)
    assert by_nodes(unplanned)[1].why == "one is released at a time before a replica was seen full"
    assert by_nodes(unplanned)[3].why == "2 are enough"
    assert (
        by_nodes(recommend(replace_min(2), (replica("a"), replica("b")), NOW))[1].why == "the pool must have at least 2"
    )


def test_rules_that_can_not_say_what_users_would_feel_give_their_own_figures() -> None:
    queue = by_nodes(recommend(POOL, (replica("a", waiting=50), replica("b")), NOW))
    assert (queue[2].why, queue[2].attainment) == ("50 requests wait: at 20 a node they take 3", None)
    kv = by_nodes(recommend(POOL, (replica("a", kv=0.86), replica("b", kv=0.86)), NOW))
    assert kv[2].why == "KV cache is 86% used on a (mean of 290 s, highest replica): at 85% it takes 3 nodes"


# What users would feel -------------------------------------------------------------------------------------------


def test_the_share_in_time_is_told_for_now_and_for_the_answer_beside_what_was_promised() -> None:
    found = planned(served("a", [30] * 30 + [90] * 4))
    assert (found.expected.promised, found.expected.by, found.expected.why) == (0.95, "queue replay", None)
    assert found.expected.seconds == 34 * 15
    assert found.expected.now == by_nodes(found)[1].attainment
    assert (found.expected.now or 1) < (found.expected.recommended or 0) <= 1
    calm = planned(served("a", FULL_ONCE))
    assert calm.expected.now == calm.expected.recommended


def test_what_waits_now_is_ahead_of_what_comes() -> None:
    found = planned(served("a", [*FULL_ONCE, 200]), promise=LatencyTarget(2.0, 2.0, 0.9))
    # By the traffic alone four nodes are in time for 93.2 %: what waits is late already, and delays who comes next.
    assert (found.recommended_nodes, found.evidence["late_share_by_nodes"]["4"]) == (4, 0.0684)
    assert found.expected.recommended == 0.9184


@pytest.mark.parametrize(("target", "said"), [(0.918, False), (0.919, True)])
def test_where_the_answer_is_not_expected_to_be_enough_it_says_so(target: float, said: bool) -> None:
    found = planned(served("a", [*FULL_ONCE, 200]), promise=LatencyTarget(2.0, 2.0, target))
    assert (found.recommended_nodes, found.expected.recommended) == (POOL.nodes.max, 0.9184)
    late = (
        "even with 4 nodes 8.2% of the traffic of the last 15m would be late, by queue replay; promised: at most 8.1%"
    )
    assert (late in found.reasons) is said


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (recommend(POOL, (replica("a"),), NOW, LatencyTarget(2.0, 0.2, 0.95)), "what requests arrive is not known"),
        (planned(served("a", [10] * 80)), "not known before a replica was seen full"),
        (planned(served("a", [50, *([0] * 80)])), "no request came lately"),
        (planned(served("a", BURST), promise=None), "the pool has no objective on time to first token or per token"),
        (
            recommend(POOL, (), NOW, LatencyTarget(2.0, 0.2, 0.95)),
            "no replica of this pool has been seen in the last minute",
        ),
    ],
)
def test_what_is_not_known_is_null_with_its_reason(found: Recommendation, why: str) -> None:
    expected = found.expected
    assert (expected.now, expected.recommended, expected.by) == (None, None, None)
    assert expected.why is not None and expected.why.startswith(why)
    assert all(one.attainment is None for one in found.alternatives)


# What it costs ---------------------------------------------------------------------------------------------------


def priced(pool: Pool) -> Recommendation:
    return recommend(pool, read(served("a", [30] * 30 + [90] * 4), NOW), NOW, LatencyTarget(2.0, 0.2, 0.95))


def test_the_price_of_now_of_the_answer_and_of_what_else_and_unknown_without_one() -> None:
    found = priced(PRICED)
    cost = found.cost
    assert (cost.usd_per_hour_now, cost.usd_per_hour_recommended, cost.usd_per_hour_difference) == (4.0, 16.0, 12.0)
    assert {one.nodes: one.usd_per_hour for one in found.alternatives} == {3: 12.0, 5: 20.0, 2: 8.0, 1: 4.0}
    free = priced(POOL)
    assert set(asdict(free.cost).values()) == {None}
    assert all(one.usd_per_hour is None for one in free.alternatives)


def test_spot_nodes_are_priced_as_spot_on_both_sides() -> None:
    load = [250, 0, 0, 0, 0, 0, *([20] * 82)]
    four = read([item for name in "abc" for item in served(name, load)] + served("d", [20] * 5), NOW)
    found = recommend(spot_pool(), four, NOW, LatencyTarget(2.0, 0.2, 0.9))
    assert (found.action, found.evidence["mix"]["spot"]) == ("hold", 2)
    assert (found.cost.usd_per_hour_now, found.cost.usd_per_hour_difference) == (11.2, 0.0)
    # Of three nodes, two of which must be left, one may be on spot; of five two.
    assert (by_nodes(found)[3].usd_per_hour, by_nodes(found)[5].usd_per_hour) == (9.6, 15.2)


# Kept answers ----------------------------------------------------------------------------------------------------


def test_the_api_gives_all_of_it_and_still_reads_answers_that_were_kept_without_it() -> None:
    found = json.loads(json.dumps(asdict(priced(PRICED)))) | {"at": "2026-11-22T00:00:00Z"}
    assert json.loads(RecommendationOut(**found).model_dump_json()) == found
    old = {name: found[name] for name in found if name not in ("rule", "expected", "alternatives", "cost")}
    read_again = RecommendationOut(**old)
    assert (read_again.rule, read_again.alternatives, read_again.expected.by) == (None, [], None)
    assert read_again.cost.usd_per_hour_now is None
