"""Buying nodes against renting them, against sums done by hand."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.reports.costs.buying import buying
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.node_pricing import Node, OwnedHardware
from plimsoll.slo.spec.objectives import SpecError, load
from review_world import NOW, START, slot
from world import SPEC_TEXT, World

# 17,520 USD over two years are 1 USD an hour; 1 kW at 0.10 USD/kWh with a PUE of 2 are 0.20 USD an hour.
OFFER = OwnedHardware(17_520, 2, power_kw=1, pue=2, electricity_usd_per_kwh=0.1)
WRITTEN = "purchase: {capex_usd: 17520, amortization_years: 2, power_kw: 1, pue: 2, electricity_usd_per_kwh: 0.1}, hourly_usd: 2"


def rented(usd: float) -> Node:
    return Node("H100-80GB", 1, hourly_usd=usd, purchase=OFFER)


def test_nodes_that_run_longer_than_the_break_even_are_cheaper_bought() -> None:
    # Two nodes always, a third for half of the time, a fourth for a quarter (half a node in half of the slots).
    rows = [slot(START, 1, nodes=2.0), slot(START + 300, 1, nodes=3.5)]
    found = buying(rented(2.0), rows)
    assert found is not None
    assert found.break_even_utilization == pytest.approx(0.6)
    assert found.utilizations == pytest.approx([1, 1, 0.5, 0.25])
    assert found.nodes == 2
    assert found.rented_usd_per_week == pytest.approx(2.75 * 2 * 168)
    assert found.mixed_usd_per_week == pytest.approx((2 * 1.2 + 0.75 * 2) * 168)
    assert found.payback_years == pytest.approx(2 * 17_520 / ((2 * 2 - 2 * 0.2) * 8760))


def test_where_renting_is_cheaper_nothing_is_bought() -> None:
    found = buying(rented(1.0), [slot(START, 1)])
    assert found is not None
    assert (found.nodes, found.payback_years) == (0, None)
    assert found.mixed_usd_per_week == found.rented_usd_per_week
    assert found.break_even_utilization == pytest.approx(1.2)


def test_without_an_offer_or_data_it_is_not_known() -> None:
    assert buying(Node("H100-80GB", 1, hourly_usd=2.0), [slot(START, 1)]) is None
    assert buying(rented(2.0), [slot(START, 1, nodes=None)]) is None


def test_the_review_states_it(database: str, open_ledger: Callable[[str], Ledger]) -> None:
    ledger = open_ledger(database)
    ledger.record({}, int(START + 300), {"pool": [slot(START, 1)]})
    spec = load(SPEC_TEXT.replace("gpus: 1}", f"gpus: 1, {WRITTEN}}}"))
    app = TestClient(create_app(Service(spec, World({}, {}), ledger, clock=lambda: NOW)))
    found: dict[str, Any] = app.get("/api/v1/reviews/2023-W46").json()["pools"][0]["buying"]
    assert (found["nodes"], found["utilizations"]) == (2, [1.0, 1.0])
    assert "Buying 2 nodes of pool saves $268.80 a week" in app.get("/reviews/2023-W46").text
    assert "buying/payback_years" in app.get("/api/v1/reviews/2023-W46/csv").text


def test_an_offer_is_compared_with_rented_nodes_alone() -> None:
    with pytest.raises(SpecError, match="hourly_usd"):
        load(SPEC_TEXT.replace("gpus: 1}", f"gpus: 1, {WRITTEN}}}").replace(", hourly_usd: 2", ""))
