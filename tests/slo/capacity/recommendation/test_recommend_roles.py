"""Prefill and decode engines of one pool: signals by role, the role above its limit named, and no number of nodes for both."""

from dataclasses import replace
from typing import Any

import pytest

from plimsoll.slo import metrics
from plimsoll.slo.capacity.model.signals import ReplicaSignals, read
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
        ({}, {"kv": 0.95}, ["decode"]),
        ({"waiting": 30}, {"kv": 0.95}, ["prefill", "decode"]),
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
