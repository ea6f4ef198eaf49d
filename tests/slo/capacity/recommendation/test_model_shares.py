"""Several pools of one model: weights in proportion to what each was measured to carry, none where that is not known."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from plimsoll.slo.capacity.recommendation.topology.model_shares import model_shares
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.objectives import load
from pool_signals import FULL_ONCE, IDLE, planned, served
from world import SPEC_TEXT, World

# A replica serves 45 requests of 1,000 tokens in 15 s when it is full, or 90; 18 arrive.
SLOW = served("a", FULL_ONCE)
FAST = served("b", [112, 0, *([18] * 80)], most=90)


def test_the_faster_pool_gets_as_much_more_as_it_carries_more() -> None:
    both = model_shares({"h100": planned(SLOW), "h200": planned(FAST)})
    assert [one.pool for one in both] == ["h100", "h200"]
    assert [one.weight for one in both] == pytest.approx([1 / 3, 2 / 3], abs=1e-4)
    assert [one.traffic_share for one in both] == [0.5, 0.5]
    assert [one.unavailable_reason for one in both] == [None, None]
    two = planned(SLOW, served("c", FULL_ONCE))
    three = model_shares({"h100": planned(SLOW), "h200": planned(FAST), "two": two})
    assert [one.weight for one in three] == pytest.approx([0.2, 0.4, 0.4], abs=1e-4)
    assert [one.traffic_share for one in three] == pytest.approx([0.25, 0.25, 0.5], abs=1e-4)


def test_without_the_capacity_of_one_pool_there_are_no_weights_and_a_reason_for_each() -> None:
    found = model_shares({"h100": planned(SLOW), "h200": planned(served("b", IDLE))})
    assert [one.weight for one in found] == [None, None]
    assert [one.capacity_tokens_per_second for one in found] == [3000, None]
    assert "h200" in (found[0].unavailable_reason or "") and found[1].unavailable_reason
    assert [one.traffic_share for one in found] == [None, None]
    assert model_shares({"h100": planned(SLOW)}) == []


def test_api_and_page_show_the_pools_of_a_model_and_kind(tmp_path: Path, open_ledger: Callable[[str], Ledger]) -> None:
    pool = SPEC_TEXT[SPEC_TEXT.index("  - name: pool") : SPEC_TEXT.index("objectives:")]

    def other(name: str, more: str) -> str:
        return pool.replace("name: pool", f"name: {name}\n    match: {{region: {name}}}{more}")

    text = SPEC_TEXT.replace(pool, other("pool", "") + other("h200", "") + other("nightly", "\n    kind: batch"))
    client = TestClient(
        create_app(Service(load(text), World({}, {}), open_ledger(f"sqlite:///{tmp_path}/a.db"), lambda: 1.7e9))
    )
    shares = client.get("/api/v1/pools/h200/recommendation").json()["model_shares"]
    assert [(one["pool"], one["weight"]) for one in shares] == [("pool", None), ("h200", None)]
    assert all(one["unavailable_reason"] for one in shares)
    assert client.get("/api/v1/pools/nightly/recommendation").json()["model_shares"] == []
    assert "Pools of this model" in client.get("/pools/h200").text
    assert "Pools of this model" not in client.get("/pools/nightly").text
