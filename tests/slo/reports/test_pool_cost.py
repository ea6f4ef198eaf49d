"""What a pool's tokens cost, live: against sums done by hand, prompt and generated apart, and unknown where it is."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from msgspec.structs import replace

from plimsoll.slo.capacity.recommendation.models import Reason, no_data
from plimsoll.slo.capacity.recommendation.recommend import Decision
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.reports.pool_cost import Used
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.node_pricing import Node
from plimsoll.slo.spec.objectives import Spec, load
from pool_signals import state
from review_world import START, priced, slot
from spec_texts import OWNED
from world import SPEC_TEXT, World, spec

HOUR = 3600
NODE = Node("H100-80GB", 1, hourly_usd=4.0)


@pytest.fixture
def ledger(database: str, open_ledger: Callable[[str], Ledger]) -> Ledger:
    return open_ledger(database)


def client(ledger: Ledger, objectives: Spec, capacity: float | None = None) -> TestClient:
    service = Service(objectives, World({}, {}), ledger, clock=lambda: START + HOUR)
    found = no_data("pool", START, Reason("not_evaluated", "none"), None)
    service._decisions["pool"] = Decision(found, state(2, capacity, START))
    return TestClient(create_app(service))


def cost(app: TestClient, **asked: int) -> dict[str, Any]:
    return dict(app.get("/api/v1/pools/pool/cost", params=asked).json())


def test_the_last_hours_cost_is_that_of_its_nodes_over_its_tokens(ledger: Ledger) -> None:
    # Two nodes at 4 USD an hour; 12 slots of 300 requests of 900 tokens in and 100 out are 3.24M in and 0.36M out.
    slots = [slot(START + 300 * index, 300) for index in range(12)]
    ledger.record({}, int(START + HOUR), {"pool": [slot(START - 300, 9000), *slots]})
    app = client(ledger, priced(), capacity=4000.0)
    found = cost(app)
    assert (found["from"], found["to"]) == ("2023-11-13T00:00:00Z", "2023-11-13T01:00:00Z")
    assert (found["coverage"], found["node_hours"], found["cost_usd"]) == (1.0, pytest.approx(2), pytest.approx(8))
    assert (found["input_tokens"], found["output_tokens"]) == (3_240_000, 360_000)
    assert found["usd_per_million_tokens"] == pytest.approx(8 / 3.6)
    assert found["usd_per_million_input_tokens"] == pytest.approx(8 / 3.24)
    assert found["usd_per_million_output_tokens"] == pytest.approx(8 / 0.36)
    assert found["utilization"] == pytest.approx(1000 / 8000)
    assert found["usd_per_million_tokens_at_full_utilization"] == pytest.approx(4 / 14.4)
    page = app.get("/pools/pool").text
    assert "<dt>Per 1M output tokens</dt><dd>$22.22</dd>" in page
    assert "<dt>Utilization</dt><dd>12.5%</dd>" in page
    # The packaged prices: 3.24M in at 0.25 and 0.36M out at 1.25 (document D), at 3 and 15 (document E).
    assert found["api_comparison"]["bedrock-haiku"]["usd"] == pytest.approx(0.81 + 0.45)
    assert found["api_comparison"]["sonnet"]["usd_per_million_tokens"] == pytest.approx((9.72 + 5.40) / 3.6)
    # Full nodes cost 4 / 14.4 = 0.278 a million: of Haiku's 0.35 that is 79.4 %.
    assert found["api_comparison"]["bedrock-haiku"]["break_even_utilization"] == pytest.approx(
        (4 / 14.4) / (1.26 / 3.6)
    )
    assert "Break-even at 79.4% utilization" in page
    assert found["joules_per_token"] == pytest.approx(2.0)
    assert "<dt>sonnet API (same tokens)</dt><dd>$4.20</dd>" in page
    two = cost(app, hours=2)
    assert two["input_tokens"] == 3_240_000 + 9000 * 900
    assert two["coverage"] == pytest.approx(13 / 24)


def test_a_bought_nodes_hour_costs_its_year_over_its_hours(ledger: Ledger) -> None:
    ledger.record({}, int(START + HOUR), {"pool": [slot(START + 300 * index, 300) for index in range(12)]})
    bought = load(SPEC_TEXT.replace("gpus: 1}", f"gpus: 1, {OWNED}}}"))
    assert cost(client(ledger, bought))["cost_usd"] == pytest.approx(2 * 114_443 / 8760, rel=1e-5)


def test_nodes_that_are_dearer_when_full_never_break_even(ledger: Ledger) -> None:
    ledger.record({}, int(START + HOUR), {"pool": [slot(START, 300)]})
    slow = client(ledger, priced(), capacity=3000.0)  # 10.8M an hour for 4 USD: 0.370, above Haiku's 0.350
    assert cost(slow)["api_comparison"]["bedrock-haiku"]["break_even_utilization"] > 1
    assert "Cheaper than these nodes at any utilization" in slow.get("/pools/pool").text


def test_a_slot_of_which_one_figure_is_unknown_is_in_none_of_them() -> None:
    known = slot(START, 300)
    holes = (replace(known, nodes=None), replace(known, input_tokens=None), replace(known, output_tokens=None))
    for hole in holes:
        assert Used.of(NODE, [known, hole]) == Used.of(NODE, [known])
    assert Used.of(NODE, [known]).node_hours == pytest.approx(2 / 12)
    assert Used.of(NODE, [known]).usd == pytest.approx(8 / 12)


def test_reserved_nodes_are_paid_when_they_do_not_run_too(ledger: Ledger) -> None:
    # Three are reserved at 3 USD; an hour with two running costs 9, one with five 9 + 2 x 4.
    for index in range(24):
        nodes = 2.0 if index < 12 else 5.0
        ledger.record({}, int(START + HOUR), {"pool": [slot(START - HOUR + 300 * index, 300, nodes=nodes)]})
    text = SPEC_TEXT.replace("gpus: 1}", "gpus: 1, hourly_usd: 4.0, reserved: {nodes: 3, hourly_usd: 3.0}}")
    app = client(ledger, load(text), capacity=4000.0)
    found = cost(app, hours=2)
    assert (found["node_hours"], found["cost_usd"]) == (pytest.approx(7), pytest.approx(9 + 17))
    assert found["usd_per_million_tokens"] == pytest.approx(26 / 7.2)
    assert found["usd_per_million_tokens_at_full_utilization"] == pytest.approx(26 / 7 / 14.4), (
        "what those seven node-hours cost, idle ones and all"
    )
    assert cost(app)["cost_usd"] == pytest.approx(17)


def test_what_is_not_known_costs_null_and_not_nothing(ledger: Ledger) -> None:
    unseen = cost(client(ledger, priced()))
    assert unseen["coverage"] == 0
    assert unseen.pop("api_comparison")["sonnet"] == {
        "usd": None,
        "usd_per_million_tokens": None,
        "break_even_utilization": None,
    }
    told = {name for name, value in unseen.items() if value is not None}
    assert told == {"pool", "from", "to", "coverage", "simulated"}
    ledger.record({}, int(START + HOUR), {"pool": [slot(START, 0)]})
    idle = cost(client(ledger, priced(), capacity=4000.0))
    assert (idle["cost_usd"], idle["usd_per_million_tokens"], idle["utilization"]) == (pytest.approx(2 / 3), None, 0.0)
    free = client(ledger, spec(), capacity=4000.0)
    assert {cost(free)[name] for name in ("cost_usd", "usd_per_million_tokens_at_full_utilization")} == {None}
    assert "Set <code>node.hourly_usd</code>" in free.get("/pools/pool").text
    assert free.get("/api/v1/pools/other/cost").status_code == 404
