"""A pool's week in the review and its forecast, from slots whose sums are known: demand, headroom, N-1, cost, holes, weeks to come."""

from collections.abc import Callable
from math import sin, tau

import pytest
from fastapi.testclient import TestClient
from msgspec.structs import replace

from plimsoll.slo.calendar import WEEK
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.usage import demand
from plimsoll.slo.usage.slots import PoolSlot
from pool_signals import state
from review_world import NOW, START, priced, slot
from world import World

FULL_REPLICA = 4000.0  # tokens per second: at 90 %, two nodes carry 7,200 and the most, four, 14,400


def client(ledger: Ledger, slots: list[PoolSlot], capacity: float | None = FULL_REPLICA) -> TestClient:
    ledger.record({}, int(START + WEEK), {"pool": slots})
    if capacity is not None:
        body = {
            "action": "hold",
            "recommended_nodes": 2,
            "reasons": ["so"],
            "at": START + 60,
        }
        ledger.save_recommendation("pool", START + 60, body, state(1, capacity, START + 60).to_json())
    return TestClient(create_app(Service(priced(), World({}, {}), ledger, clock=lambda: NOW)))


def reviewed(found: TestClient, week: str = "2023-W46") -> dict[str, object]:
    (pool,) = found.get(f"/api/v1/reviews/{week}").json()["pools"]
    return dict(pool)


@pytest.fixture
def ledger(database: str, open_ledger: Callable[[str], Ledger]) -> Ledger:
    return open_ledger(database)


def test_a_week_is_added_up_from_its_slots_beside_the_week_before(ledger: Ledger) -> None:
    # 300 requests of 1,000 tokens in 300 s are 1,000 tokens/s; one slot of 18 had 2,100, which 2 nodes carry and 1 does not.
    slots = [slot(START + 300 * index, 300) for index in range(19)]
    slots[7] = slot(START + 300 * 7, 2100)
    before = [slot(START - WEEK + 300 * index, 150, nodes=1.0) for index in range(12)]
    pool = reviewed(client(ledger, [*before, *slots]))
    week, last = pool["week"], pool["previous"]
    assert isinstance(week, dict)
    assert isinstance(last, dict)
    requests = 18 * 300 + 2100
    assert (week["arrivals"], week["input_tokens"], week["output_tokens"]) == (
        requests,
        900 * requests,
        100 * requests,
    )
    assert (week["rejected"], week["waiting_max"], week["kv_cache_usage_max"]) == (19, 3.0, 0.5)
    assert (week["peak_tokens_per_second"], week["peak_at"]) == (pytest.approx(7000), "2023-11-13T00:35:00Z")
    assert week["coverage"] == pytest.approx(19 * 300 / WEEK)
    assert (week["nodes"], week["node_hours"]) == (pytest.approx(2), pytest.approx(2 * 19 / 12))
    assert week["cost_usd"] == pytest.approx(4 * 2 * 19 / 12)
    assert week["usd_per_million_tokens"] == pytest.approx(4 * 2 * 19 / 12 / requests * 1000)
    assert week["usd_per_million_input_tokens"] == pytest.approx(4 * 2 * 19 / 12 / requests / 900 * 1e6)
    assert week["usd_per_million_output_tokens"] == pytest.approx(4 * 2 * 19 / 12 / requests / 100 * 1e6)
    # A full node does 4,000 tokens/s: 14.4M an hour for 4 USD; these were used to a fraction of it, and cost as much more.
    assert pool["utilization"] == pytest.approx(requests * 1000 / (4000 * 2 * 19 * 300))
    assert pool["usd_per_million_tokens_at_full_utilization"] == pytest.approx(4 / 14.4)
    assert week["usd_per_million_tokens"] * pool["utilization"] == pytest.approx(
        pool["usd_per_million_tokens_at_full_utilization"]
    )
    haiku = requests * (900 * 0.25 + 100 * 1.25) / 1e6  # document D's prices
    apis = pool["api_comparison"]
    assert isinstance(apis, dict)
    assert apis["bedrock-haiku"] == {
        "usd": pytest.approx(haiku),
        "usd_per_million_tokens": pytest.approx(haiku / requests * 1000),
        "break_even_utilization": pytest.approx((4 / 14.4) / 0.35),
    }
    assert week["joules_per_token"] == pytest.approx(2.0)
    assert pool["capacity_tokens_per_second"] == pytest.approx(7200)
    assert pool["peak_headroom"] == pytest.approx(1 - 7000 / 7200)
    assert pool["headroom"] == pytest.approx(1 - week["p95_tokens_per_second"] / 7200)
    assert pool["survives_node_loss"] is False
    assert (last["arrivals"], last["peak_tokens_per_second"], last["nodes"]) == (
        1800,
        pytest.approx(500),
        pytest.approx(1),
    )


@pytest.mark.parametrize(("arrivals", "bears"), [(1080, True), (1081, False)])
def test_one_node_fewer_would_have_carried_the_busiest_slot_up_to_its_capacity(
    ledger: Ledger, arrivals: int, bears: bool
) -> None:
    pool = reviewed(client(ledger, [slot(START, 300), slot(START + 300, arrivals)]))
    assert pool["survives_node_loss"] is bears


def test_what_is_not_known_is_null_and_a_hole_is_not_idle(ledger: Ledger) -> None:
    nobody = reviewed(client(ledger, [], capacity=None))
    week = nobody["week"]
    assert isinstance(week, dict)
    assert week.pop("coverage") == 0
    assert set(week.values()) == {None}
    assert [
        nobody[name] for name in ("capacity_tokens_per_second", "headroom", "survives_node_loss", "utilization")
    ] == [None] * 4
    assert [nobody[name] for name in ("peak_headroom", "usd_per_million_tokens_at_full_utilization")] == [None] * 2
    slots = [slot(START, 300), slot(START + 300, None, nodes=None), slot(START + 600, 30, covered=200.0)]
    rates = demand.tokens(slots) / 300
    assert [rates.iloc[0], *rates.iloc[1:].isna()] == [1000.0, True, True]
    idle = [slot(START, 0), slot(START + 300, 0), slot(START + 900, 0)]
    assert demand.tokens(idle).isna().to_list() == [False, False, True, False], "nobody came; once nobody looked"
    assert demand.tokens(idle).sum() == 0


def test_demand_is_what_arrived_and_not_only_what_could_be_served() -> None:
    served = [slot(START + 300 * index, 100) for index in range(10)]
    drowned = replace(slot(START + 3000, 100), arrivals=400)
    assert demand.tokens([*served, drowned]).iloc[-1] == pytest.approx(400 * 1000)


def test_the_forecast_says_in_which_week_the_objective_breaks_and_is_in_the_review(ledger: Ledger) -> None:
    weeks = 6
    slots = []
    for index in range(weeks * 2016):
        hour = index / 12
        rate = 6500 * 1.15 ** (hour / 168 - weeks) * (1 + 0.5 * sin(tau * (hour % 24 - 8) / 24))
        slots.append(slot(START - (weeks - 1) * WEEK + 300 * index, round(rate * 300 / 1000)))
    app = client(ledger, slots)
    pool = reviewed(app)
    told = pool["forecast"]
    assert isinstance(told, dict)
    assert told["unavailable_reason"] is None
    assert [week["week"] for week in told["weeks"]] == ["2023-W47", "2023-W48", "2023-W49", "2023-W50"]
    # The busiest hour is 1.5 times the mean: about 10,500, 12,000, 13,900 and 15,900 tokens/s by the end of each week.
    assert told["weeks"][3]["peak"]["median"] == pytest.approx(6500 * 1.15**4 * 1.5, rel=0.08)
    assert told["max_capacity_tokens_per_second"] == pytest.approx(0.9 * FULL_REPLICA * 4)
    assert told["weeks"][0]["nodes"]["median"] == 4
    assert told["likely_breach_week"] == "2023-W50"
    assert told["growth_per_week"] == pytest.approx(0.15, abs=0.02)
    assert told["backtest"]["wape"] < 0.1
    page = app.get("/reviews/2023-W46").text
    shadow = pool["shadow"]
    assert isinstance(shadow, dict)
    assert len(shadow["points"]) == shadow["hours"] + shadow["unknown_hours"] == 168
    assert "Nodes recommended to pool, and nodes that ran" in page
    assert '<svg class="steps" viewBox="0 0 672 96"' in page
    assert "<dd>Likely in 2023-W50</dd>" in page
    assert "Demand forecast (tokens/s)" in page
    live = app.get("/api/v1/pools/pool/forecast").json()
    assert live["weeks"][0]["nodes"] is None, "this service has not measured a capacity yet"
    assert [week["peak"] for week in live["weeks"]] == [week["peak"] for week in told["weeks"]]


def test_too_short_a_history_is_said(ledger: Ledger) -> None:
    found = client(ledger, [slot(START + 300 * index, 10) for index in range(288)]).get("/api/v1/pools/pool/forecast")
    assert found.json()["weeks"] == []
    assert "1 full days of data; a season and a trend need 21" in found.json()["unavailable_reason"]
    assert found.status_code == 200


# Together 8,000 tokens/s, 7,200 of them planned with; without the strong one 1,800, without a mean one 3,600.
@pytest.mark.parametrize(("arrivals", "bears"), [(540, True), (541, False)])
def test_of_unlike_replicas_the_strongest_is_the_one_to_lose(ledger: Ledger, arrivals: int, bears: bool) -> None:
    found = client(ledger, [slot(START, 300), slot(START + 300, arrivals)], None)
    measured = state(2, 2000.0, START + 60, strong=6000.0, weak=2000.0)
    answer = {"action": "hold", "recommended_nodes": 2, "reasons": [], "at": START + 60}
    ledger.save_recommendation("pool", START + 60, answer, measured.to_json())
    pool = reviewed(found)
    assert (pool["capacity_tokens_per_second"], pool["survives_node_loss"]) == (pytest.approx(7200), bears)
    assert pool["usd_per_million_tokens_at_full_utilization"] == pytest.approx(4 / 14.4), "4,000 tokens/s in the mean"
