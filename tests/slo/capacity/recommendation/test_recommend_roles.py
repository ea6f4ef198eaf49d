"""Prefill and decode engines of one pool: signals by role, nodes of the role that binds once its replicas were measured, nothing on a guess."""

from dataclasses import replace
from typing import Any

import pytest

from plimsoll.slo import metrics
from plimsoll.slo.capacity.model.signals import ReplicaSignals, read
from plimsoll.slo.capacity.recommendation.demand import Attained, LatencyTarget
from plimsoll.slo.capacity.recommendation.measured_state import MeasuredState
from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.sources import Series
from pool_signals import NOW, POOL, recommend, recommended, replica


def of_role(name: str, role: str, tokens: float = 0.0, **more: Any) -> ReplicaSignals:
    """A replica of a role, with `tokens` a second."""
    one = replica(name, **more)
    return replace(one, role=role, progress_tokens=[(at, tokens * (at - NOW + 400)) for at, _ in one.waiting])


def held(*replicas: ReplicaSignals) -> Recommendation:
    found = recommended(POOL, replicas, NOW)
    assert (found.action, found.rule, found.nodes) == ("hold", "roles", 0)
    assert found.recommended_nodes == found.current_nodes == len(replicas)
    assert found.reason_codes[0] == "roles_not_sized"
    return found


@pytest.mark.parametrize(
    ("prefill", "decode", "above"),
    [
        ({"waiting": 30}, {}, ["prefill"]),
        ({}, {"waiting": 30}, ["decode"]),
        ({"waiting": 30}, {"waiting": 30}, ["prefill", "decode"]),
        ({}, {}, []),
    ],
)
def test_the_role_above_its_limit_is_named(
    prefill: dict[str, float], decode: dict[str, float], above: list[str]
) -> None:
    found = held(of_role("p", "prefill", **prefill), of_role("d", "decode", **decode))
    codes = dict(zip(found.reasons, found.reason_codes, strict=True))
    assert [text.split(":")[0].lower() for text, code in codes.items() if code == "role_above_limit"] == above
    assert len(found.reasons) == 3


def test_signals_of_roles_are_not_mixed() -> None:
    replicas = (
        of_role("p", "prefill", 9000, waiting=8, kv=0.1),
        of_role("d", "decode", 400, kv=0.7),
        of_role("e", "decode", 600, kv=0.5),
    )
    found = held(*replicas).evidence["by_role"]
    assert list(found) == ["prefill", "decode"]
    assert found["prefill"] == {
        "replicas_reporting": 1,
        "waiting_requests": 8,
        "waiting_per_node": 8,
        "kv_cache_usage_mean": 0.1,
        "tokens_per_second": 9000,
    }
    assert found["decode"] == {
        "replicas_reporting": 2,
        "waiting_requests": 0,
        "waiting_per_node": 0,
        "kv_cache_usage_mean": 0.6,
        "tokens_per_second": 1000,
    }
    silent = replace(replicas[2], progress_tokens=[], kv_usage=[])
    found = held(*replicas[:2], silent).evidence["by_role"]["decode"]
    assert (found["tokens_per_second"], found["kv_cache_usage_mean"]) == (None, None)  # the sum would lack one


def test_the_role_is_read_from_what_identifies_the_replica() -> None:
    labels = {"replica": "p", "model": "m", "engine": "vllm"}
    series = [
        Series(metrics.REPLICA_INFO.name, {**labels, "role": "prefill"}, [(NOW, 1.0)]),
        Series(metrics.REQUESTS_WAITING.name, labels, [(NOW, 3.0)]),
    ]
    assert [one.role for one in read(series, NOW)] == [one.role for one in read(series[::-1], NOW)] == ["prefill"]
    assert recommend(POOL, read(series, NOW), NOW).recommendation.rule == "roles"


SAFE = LatencyTarget(2.0, 0.2, 0.95, attained=Attained(990, 1000, 0, 0, 300, 300))
LATE = LatencyTarget(2.0, 0.2, 0.95, attained=Attained(900, 1000, 0, 0, 200, 300))
KNOWN = {"prefill": 10_000.0, "decode": 1_000.0}  # tokens per second of a replica


def loaded(name: str, role: str, tokens: float, **more: Any) -> ReplicaSignals:
    """A replica of a role whose requests have 1,000 tokens of its work."""
    one = of_role(name, role, tokens, **more)
    return replace(one, finished=[(at, value / 1000) for at, value in one.progress_tokens])


def advised(*replicas: ReplicaSignals, known: dict[str, float] | None = None, **more: Any) -> Recommendation:
    before = MeasuredState(NOW - 60, len(replicas), role_throughput=KNOWN if known is None else known)
    found = recommended(POOL, replicas, NOW, more.get("target", SAFE), before)
    assert not found.roles or sum(one.recommended_nodes for one in found.roles) == found.recommended_nodes
    return found


def nodes(found: Recommendation) -> dict[str, int]:
    return {one.role: one.recommended_nodes - one.current_nodes for one in found.roles}


@pytest.mark.parametrize(
    ("prefill", "decode", "changed"),
    [
        # The load, and 4 requests x 1,000 tokens that wait in 150 s of a cold start: up to 90 % of what a replica can carry.
        (loaded("p", "prefill", 8_970, waiting=4), loaded("d", "decode", 500), {"prefill": 0, "decode": 0}),
        (loaded("p", "prefill", 8_980, waiting=4), loaded("d", "decode", 500), {"prefill": 1, "decode": 0}),
        (loaded("p", "prefill", 5_000), loaded("d", "decode", 870, waiting=4), {"prefill": 0, "decode": 0}),
        (loaded("p", "prefill", 5_000), loaded("d", "decode", 880, waiting=4), {"prefill": 0, "decode": 1}),
        # Prefill that waits for decode gains nothing by more prefill.
        (loaded("p", "prefill", 9_500), loaded("d", "decode", 800, kv=0.95), {"prefill": 0, "decode": 1}),
        (loaded("p", "prefill", 9_500), loaded("d", "decode", 800), {"prefill": 1, "decode": 0}),
    ],
)
def test_the_role_that_binds_gets_the_nodes_that_its_load_requires(
    prefill: ReplicaSignals, decode: ReplicaSignals, changed: dict[str, int]
) -> None:
    found = advised(prefill, decode)
    assert nodes(found) == changed
    assert found.action == ("scale_out" if any(changed.values()) else "hold")
    assert found.reason_codes[0] == ("role_nodes_add" if any(changed.values()) else "roles_within_capacity")


def test_what_a_replica_carries_is_measured_while_requests_wait_and_stays_known() -> None:
    """Prefill only while decode takes its prompts in."""
    prefill, decode = loaded("p", "prefill", 7_000, waiting=30), loaded("d", "decode", 500)
    first = recommend(POOL, (prefill, decode), NOW, SAFE)
    assert first.state is not None and first.state.role_throughput == {"prefill": 7_000}
    again = MeasuredState.from_json(first.state.to_json())
    quiet = recommend(POOL, (loaded("p", "prefill", 100), decode), NOW, SAFE, again)
    assert quiet.state is not None and quiet.state.role_throughput == {"prefill": 7_000}
    blocked = recommend(POOL, (prefill, loaded("d", "decode", 500, kv=0.95)), NOW, SAFE)
    assert blocked.state is not None and blocked.state.role_throughput == {}


def test_one_node_of_the_idler_role_is_removed_and_nothing_on_what_is_not_known() -> None:
    prefill = [loaded(f"p{i}", "prefill", 2_000) for i in range(2)]
    decode = [loaded(f"d{i}", "decode", 340) for i in range(2)]
    every = (*prefill, *decode)
    found = advised(*every)
    assert (found.action, found.nodes, found.reason_codes[0]) == ("scale_in", 1, "role_nodes_remove")
    assert nodes(found) == {"decode": 0, "prefill": -1}
    busier = [replace(one, progress_tokens=[(at, 2 * value) for at, value in one.progress_tokens]) for one in prefill]
    assert nodes(advised(*busier, *decode)) == {"decode": -1, "prefill": 0}  # 80 % is too much for one prefill node
    warm = [replace(one, kv_usage=[(at, 0.5) for at, _ in one.kv_usage]) for one in decode]
    held = [
        advised(*busier, *warm),  # one decode node would have 100 % KV cache usage
        advised(*every, known={"prefill": 10_000.0}),
        advised(*every, target=LATE),
        advised(*every, target=LatencyTarget(2.0, 0.2, 0.95)),
        advised(*prefill, decode[0], replace(decode[1], progress_tokens=[])),
        advised(*prefill, decode[0], replace(decode[1], seen=False)),
        advised(*prefill, decode[0], loaded("d1", "decode", 340, seconds=120)),
        advised(*prefill, loaded("d0", "decode", 340, waiting=1), decode[1]),
        advised(*every, replica("x")),
        advised(loaded("p", "prefill", 2_000), loaded("d", "decode", 340)),
    ]
    assert [one.action for one in held] == ["hold"] * len(held)


def test_a_missed_target_adds_a_node_of_the_role_that_carries_most_of_what_it_can() -> None:
    prefill, decode = loaded("p", "prefill", 4_000), loaded("d", "decode", 800)
    assert nodes(advised(prefill, decode, target=LATE)) == {"decode": 1, "prefill": 0}
    assert advised(prefill, loaded("d", "decode", 600), target=LATE).action == "hold"
    assert advised(prefill, decode, known={"decode": 1_000.0}, target=LATE).action == "hold"
    assert advised(prefill, decode).action == "hold"


def test_the_pool_maximum_goes_to_decode_first() -> None:
    every = [loaded(f"p{i}", "prefill", 12_000) for i in range(2)] + [loaded("d", "decode", 1_200)]
    assert nodes(advised(*every)) == {"decode": 1, "prefill": 0}
