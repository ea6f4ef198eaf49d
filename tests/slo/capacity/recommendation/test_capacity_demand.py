"""Demand and capacity from counters: measured only where a replica was full, and planned for what was promised."""

from math import inf

import msgspec
import pytest

from plimsoll.slo.capacity.model.signals import ReplicaSignals
from plimsoll.slo.capacity.recommendation.demand import PLANNING_UTILIZATION, LatencyTarget, demand
from plimsoll.slo.capacity.recommendation.demand_plan import latency_target, plan
from plimsoll.slo.spec.objectives import load
from world import SPEC_TEXT, spec

NOW = 9000.0  # a whole number of slots
POOL = spec().pool("pool")
FAST = LatencyTarget(2.0, 0.2, 0.99)


def replica(name: str, arriving: list[int], served: list[int], first: float = NOW, size: int = 1000) -> ReplicaSignals:
    """Build a replica that got and served so many requests in each slot of 15 s, of `size` tokens each."""
    start = first - 15 * len(arriving)
    waiting, finished, at = [(start, 0.0)], [(start, 0.0)], start
    for came, went in zip(arriving, served, strict=True):
        at += 15
        waiting.append((at, waiting[-1][1] + came - went))
        finished.append((at, finished[-1][1] + went))
    tokens = [(time, value * size * 0.9) for time, value in finished]
    generated = [(time, value * size * 0.1) for time, value in finished]
    steady = [(time, 0.2) for time, _ in waiting]
    running = [(time, 4.0) for time, _ in waiting]
    return ReplicaSignals(name, NOW - at <= 60, False, waiting, running, steady, tokens, generated, finished)


def test_arrivals_are_what_finished_and_what_was_added_to_the_queue() -> None:
    found = demand((replica("a", [30, 60, 10], [30, 30, 30]),), NOW)
    assert found is not None
    assert found.arrived == (30_000, 60_000, 10_000)
    assert found.backlog == 10_000
    assert found.rate == pytest.approx(100_000 / 45)


def test_capacity_is_what_a_replica_did_while_requests_waited_and_unknown_before() -> None:
    assert demand((replica("a", [30] * 20, [30] * 20),), NOW).throughput.typical is None  # type: ignore[union-attr]
    full = demand((replica("a", [20, 90, 90, 10], [20, 60, 45, 45]),), NOW)
    assert full is not None
    assert (full.throughput.typical, full.saturated_seconds) == (3000, 30)
    four_wait = demand((replica("a", [34, 30], [30, 30]),), NOW)
    assert four_wait is not None and four_wait.throughput.typical is None, "a few are between two steps"


def test_without_counters_demand_is_unknown_and_a_counter_that_began_again_is_counted_from_zero() -> None:
    bare = ReplicaSignals("a", True, False, [(NOW, 50.0)], [(NOW, 5.0)], [(NOW, 0.2)])
    assert demand((bare,), NOW) is None
    whole = replica("a", [60, 30, 30], [60, 30, 30])
    counters = (whole.prompt_tokens, whole.generation_tokens, whole.finished)
    for samples in counters:
        base = samples[1][1]
        samples[2:] = [(at, value - base) for at, value in samples[2:]]
    again = demand((whole,), NOW)
    assert again is not None
    assert again.arrived == (60_000, 30_000, 30_000)


def test_the_late_share_falls_with_replicas_and_counts_what_waits_too_long() -> None:
    found = demand((replica("a", [20, 90, 90, 10], [20, 60, 45, 45]),), NOW)
    assert found is not None
    late = [found.miss_ratio(count, 2.0) for count in range(1, 6)]
    assert late == sorted(late, reverse=True)
    assert late[0] > 0.5 > late[1] > late[2] == 0.0
    assert found.replicas_for_slo(FAST, 8) == 3
    assert found.replicas_for_slo(LatencyTarget(2.0, 2.0, 0.55), 8) == 2
    assert found.replicas_for_slo(FAST, 2) == 2, "never above the most"


def test_the_backlog_that_grows_until_a_node_has_started_is_planned_for() -> None:
    # 6,000 tokens/s arrive at one replica that does 3,000: in 150 s 450,000 tokens wait, to be served in 150 s more.
    found = demand((replica("a", [90] * 4, [45] * 4),), NOW)
    assert found is not None and found.throughput.typical == 3000
    assert found.backlog == 180_000
    need = (6000 + (180_000 + 150 * 3000) / 150) / (PLANNING_UTILIZATION * 3000)
    assert found.replicas_for_backlog(3000.0, 150.0) == 4 == -(-need // 1)
    assert found.replicas_for_backlog(4 * 3000.0, 150.0) == 3


def test_what_is_promised_is_the_tightest_limit_and_the_highest_target_of_the_pools_latencies() -> None:
    assert latency_target(spec(), POOL) == LatencyTarget(0.6, inf, 0.95)
    more = load(
        SPEC_TEXT
        + "  - {id: both, pool: pool, indicator: {goodput: {ttft: 2s, tpot: 40ms}}, target: 99%, window: 28d}\n"
    )
    assert latency_target(more, POOL) == LatencyTarget(0.6, 0.04, 0.99)
    assert latency_target(more, POOL).max_wait == 0.04  # type: ignore[union-attr]
    nothing = load(SPEC_TEXT.replace("{time_to_first_token: 600ms}", "availability"))
    assert latency_target(nothing, POOL) is None


def test_a_plan_says_what_was_measured_and_what_fewer_nodes_would_have_meant() -> None:
    replicas = (replica("a", [20, 90, 90, 10], [20, 60, 45, 45]),)
    measured = demand(replicas, NOW)
    assert measured is not None
    found = plan(POOL, measured, FAST, replicas)
    assert found is not None
    assert found.evidence()["saturation_tokens_per_second_new_replica"] == 3000
    assert found.evidence()["nodes_to_meet_slo"] == found.slo_nodes == found.least_nodes == 3
    assert found.evidence()["slo_miss_ratio_by_nodes"]["3"] == 0.0
    assert [reason.code for reason in found.reasons] == ["demand_and_backlog", "queue_replay"]
    assert "Saturation throughput is 3,000 tokens/s per replica." in found.reasons[0].text
    assert found.reasons[1].text.startswith(
        "Queue replay of the last 1 min: 3 nodes reach 100.0% attainment (target 99%)"
    )


def test_nodes_hold_several_replicas() -> None:
    two = msgspec.structs.replace(POOL, node=msgspec.structs.replace(POOL.node, replicas=2))
    replicas = (replica("a", [20, 90, 90, 10], [20, 60, 45, 45]),)
    measured = demand(replicas, NOW)
    assert measured is not None
    single, double = (plan(pool, measured, FAST, replicas) for pool in (POOL, two))
    assert single is not None and double is not None
    assert (single.least_nodes, double.least_nodes) == (3, 2)
