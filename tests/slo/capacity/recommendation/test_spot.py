"""Spot and on demand: never fewer left than the objective needs when spot nodes vanish, what it saves, and nothing where unknown."""

from typing import Any

import msgspec
import pytest

from plimsoll.slo.capacity.model.signals import ReplicaSignals, read
from plimsoll.slo.capacity.recommendation.attainment_simulation import Calibrated
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.capacity.recommendation.spot import OnDemandNeed, allowed, mix
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.step_time import load as load_steps
from plimsoll.slo.spec.node_pricing import Node, Reserved, Spot
from plimsoll.slo.spec.objectives import Pool, SpecError
from plimsoll.slo.units import Target
from pool_signals import NOW, recommended, served
from spot_world import pool

SPOT = Spot(1.6, Target(0.5))
NODE = Node("H100-80GB", 1, 1, 4.0, SPOT)


@pytest.mark.parametrize(("need", "spot"), [(1, 3), (3, 3), (4, 2), (5, 1), (6, 0), (7, 0)])
def test_what_the_objective_needs_is_left_if_all_spot_nodes_vanish(need: int, spot: int) -> None:
    assert allowed(6, need, SPOT) == spot


@pytest.mark.parametrize(("nodes", "spot"), [(1, 0), (2, 1), (3, 1), (4, 2)])
def test_no_more_than_the_stated_share_is_on_spot(nodes: int, spot: int) -> None:
    assert allowed(nodes, 0, SPOT) == spot


def test_where_a_share_may_vanish_at_once_the_rest_counts_as_left() -> None:
    half = Spot(1.6, Target(0.5), Target(0.5))
    assert [allowed(8, need, half) for need in (6, 7, 8)] == [4, 2, 0]
    assert allowed(100, 0, Spot(1.6, Target(0.29))) == 29, "0.29 x 100 is 28.999... in binary"


def test_the_answer_says_how_many_where_and_what_it_saves() -> None:
    found, reasons = mix(NODE, 6, 3, OnDemandNeed(4))
    assert found["spot_mix"] == {
        "spot": 2,
        "on_demand": 4,
        "add_spot_at_most": 2,
        "add_on_demand_at_least": 1,
        "min_on_demand_nodes": 4,
        "usd_per_hour": 19.2,
        "usd_per_hour_all_on_demand": 24.0,
        "saves_usd_per_hour": 4.8,
    }
    assert [reason.code for reason in reasons] == ["spot_mix", "spot_added", "spot_cost"]
    assert [reason.text for reason in reasons] == [
        "Spot: 2 of 6 nodes (limit 50%); if 2 spot nodes are reclaimed at once, 4 remain (required 4).",
        "Add at most 2 of 3 nodes as spot, and no more than 2 spot nodes in total.",
        "$19.20/h instead of $24.00/h all on demand.",
    ]
    assert mix(NODE, 6, 1, OnDemandNeed(4))[0]["spot_mix"]["add_spot_at_most"] == 1, "no more than are to be added"
    assert mix(NODE, 6, 0, OnDemandNeed(6))[1] == [
        ("spot_none", "Spot: 0 of 6 nodes; 6 must remain if all are reclaimed (limit 50%).")
    ]


@pytest.mark.parametrize(
    ("reserved", "spot", "usd"), [(1, 2, 3 + 12.0 + 3.2), (4, 2, 12.0 + 3.2), (5, 1, 15.0 + 1.6), (6, 0, 18.0)]
)
def test_nodes_that_are_paid_around_the_clock_are_used_before_spot(reserved: int, spot: int, usd: float) -> None:
    node = msgspec.structs.replace(NODE, reserved=Reserved(reserved, 3.0))
    found = mix(node, 6, 0, OnDemandNeed(4))[0]["spot_mix"]
    assert (found["spot"], found["usd_per_hour"]) == (spot, pytest.approx(usd))
    assert found["usd_per_hour_all_on_demand"] == pytest.approx(3 * reserved + 4 * (6 - reserved))


# Of a pool -------------------------------------------------------------------------------------------------------


def replicas(quiet: int = 30, **odd: Any) -> tuple[ReplicaSignals, ...]:
    """Build four replicas, all full for 75 s twenty minutes ago, that serve `quiet` requests of 1,000 tokens in 15 s each since."""
    load = [250, 0, 0, 0, 0, 0, *([quiet] * 82)]
    return read([item for name in "abcd" for item in served(name, load, **(odd if name == "d" else {}))], NOW)


def asked(one: Pool, found: tuple[ReplicaSignals, ...]) -> Recommendation:
    return recommended(one, found, NOW, LatencyTarget(2.0, 0.2, 0.9))


def test_nodes_that_are_there_because_scale_in_waits_may_be_on_spot_and_without_spot_nothing_changes() -> None:
    # 5,333 tokens/s on replicas that are planned with 2,700 take two; d has just started, so nothing is released.
    busy = [250, 0, 0, 0, 0, 0, *([20] * 82)]
    four = read([item for name in "abc" for item in served(name, busy)] + served("d", [20] * 5), NOW)
    found = asked(pool(), four)
    assert (found.action, found.recommended_nodes) == ("hold", 4)
    mixed = found.evidence["spot_mix"]
    assert (mixed["min_on_demand_nodes"], mixed["spot"], mixed["on_demand"], mixed["add_spot_at_most"]) == (2, 2, 2, 0)
    assert "$11.20/h instead of $16.00/h all on demand." in found.reasons
    at_least = asked(pool(nodes="{min: 3, max: 8}"), four).evidence["spot_mix"]
    assert (at_least["min_on_demand_nodes"], at_least["spot"]) == (3, 1), "the pool's own minimum is left too"
    plain = asked(pool("gpus: 1, hourly_usd: 4.0}"), four)
    assert "spot_mix" not in plain.evidence
    pairs = zip(found.reason_codes, found.reasons, strict=True)
    assert plain.reasons == [text for code, text in pairs if not code.startswith("spot")]


def test_a_release_that_is_tried_is_priced_with_its_mix() -> None:
    found = recommended(
        pool(),
        replicas(20),
        NOW,
        LatencyTarget(2.0, 0.2, 0.9),
        engine=Calibrated(load_steps("70b-fp8-h100-tp4"), Limits()),
    )
    assert (found.action, found.current_nodes, found.recommended_nodes, found.expected_attainment.method) == (
        "scale_in",
        4,
        2,
        "simulation",
    )
    # Of four nodes two may be on spot, as two must be left; of two none.
    cost = found.cost
    assert (cost.usd_per_hour_current, cost.usd_per_hour_recommended, cost.usd_per_hour_difference) == (11.2, 8.0, -3.2)


def test_nodes_that_only_work_off_a_backlog_may_be_on_spot() -> None:
    # 9,333 tokens/s in the last minute take four of 2,700, the 290,000 that wait two more.
    waiting = [*([30] * 81), 190]
    found = asked(pool(), read([item for name in "ab" for item in served(name, waiting)], NOW))
    assert (found.action, found.nodes, found.recommended_nodes) == ("scale_out", 4, 6)
    mixed = found.evidence["spot_mix"]
    assert (mixed["min_on_demand_nodes"], mixed["spot"], mixed["on_demand"]) == (4, 2, 4)
    assert (mixed["add_spot_at_most"], mixed["add_on_demand_at_least"]) == (2, 2)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (replicas(ago=90), "d not reporting"),
        (replicas(odd={"kv_usage": float("nan")}), "no KV cache usage from d"),
        (read(served("a", [250, 0, 0, 0, 0, 0, 5, 5]), NOW), "the pool has not been observed for 5 min yet"),
        (read(served("a", [5] * 40), NOW), "no replica has been saturated yet"),
    ],
)
def test_where_the_need_is_not_known_all_are_on_demand(found: tuple[ReplicaSignals, ...], says: str) -> None:
    answer = asked(pool(), found)
    assert (answer.evidence["spot_mix"]["spot"], answer.evidence["spot_mix"]["min_on_demand_nodes"]) == (0, None)
    assert says in answer.reasons[answer.reason_codes.index("spot_unknown")]


@pytest.mark.parametrize(("kv", "needed"), [(0.63, 3), (0.65, 4)])
def test_the_kv_cache_must_fit_what_is_left(kv: float, needed: int) -> None:
    series = [item for name in "abcd" for item in served(name, [250, 0, 0, 0, 0, 0, *([2] * 82)], odd={"kv_usage": kv})]
    found = asked(pool(), read(series, NOW))
    assert found.evidence["spot_mix"]["min_on_demand_nodes"] == needed


# In the objectives file ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spot", "path", "says"),
    [
        (
            "gpus: 1, hourly_usd: 4.0, spot: {hourly_usd: 4.0, max_share: 50%}}",
            "pools[0].node",
            "is not below 4 on demand",
        ),
        ("gpus: 1, spot: {hourly_usd: 1.6, max_share: 50%}}", "pools[0].node", "write both prices"),
        ("gpus: 1, hourly_usd: 4.0, spot: {hourly_usd: 1.6}}", "pools[0].node.spot", "max_share"),
        (
            "gpus: 1, hourly_usd: 4.0, spot: {hourly_usd: 1.6, max_share: 0.5}}",
            "pools[0].node.spot.max_share",
            "percentage",
        ),
        ("gpus: 1, hourly_usd: 4.0, spot: {hourly_usd: -1, max_share: 50%}}", "pools[0].node.spot.hourly_usd", ">= 0"),
    ],
)
def test_a_wrong_spot_price_or_share_is_refused_with_path_and_fix(spot: str, path: str, says: str) -> None:
    with pytest.raises(SpecError) as rejected:
        pool(spot)
    assert str(rejected.value).startswith(f"{path}: ") and says in str(rejected.value), rejected.value


def test_a_spot_price_just_below_is_read() -> None:
    assert pool("gpus: 1, hourly_usd: 4.0, spot: {hourly_usd: 3.99, max_share: 50%}}").node.spot == Spot(
        3.99, Target(0.5)
    )
