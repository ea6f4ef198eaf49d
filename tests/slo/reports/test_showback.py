"""Cost and tokens by tenant, adapter, and team: each group adds up to the pool's whole, whatever gateways count."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from plimsoll.slo import metrics as c
from plimsoll.slo.ledger.ingest import ingest
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.usage import token_sums
from plimsoll.slo.reports.costs.showback import apportion
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import Spec, SpecError, load
from plimsoll.slo.usage import tokens as places
from plimsoll.slo.usage.tokens import BASE, OTHER, TokenSlot, count_tokens
from pool_signals import state
from recorded import Recorded
from review_world import NOW, START, slot
from world import SPEC_TEXT, World

T0 = 1_700_000_100
MODEL = "- name: pool\n"
TEXT = SPEC_TEXT.replace("gpus: 1}", "gpus: 1, hourly_usd: 4.0}").replace(
    MODEL, MODEL + "    adapters: [legal]\n    carbon_grams_per_kwh: 500\n"
)
SPEC = load(TEXT + "teams:\n  - {name: sales, tenants: [acme, beta]}\n")


def gateway(tenant: str, model: str, given: int, made: int, since: int = T0) -> list[Series]:
    """A gateway's counters that grow by so many tokens within a slot."""
    times = range(T0, T0 + 301, 30)
    labels = {"gateway": "east", "instance": "east:9801", "tenant": tenant, "model": model}

    def grown(whole: int) -> list[tuple[float, float]]:
        return [(float(at), float(whole * (at > T0 + 60))) for at in times if at >= since]

    counters = (c.GATEWAY_REQUESTS, 1), (c.GATEWAY_PROMPT_TOKENS, given), (c.GATEWAY_GENERATION_TOKENS, made)
    return [Series(metric.name, labels, grown(whole)) for metric, whole in counters]


def counted(*series: Series) -> dict[tuple[str, str], tuple[int, int]]:
    rows = count_tokens(SPEC.pools[0], series, [T0 - 300, T0])
    return {(row.tenant, row.adapter): (row.input_tokens, row.output_tokens) for row in rows}


def test_tokens_are_those_of_the_pools_model_and_its_adapters() -> None:
    series = [*gateway("acme", "m", 900, 100), *gateway("beta", "legal", 70, 30), *gateway("acme", "another", 5, 5)]
    assert counted(*series) == {("acme", BASE): (900, 100), ("beta", "legal"): (70, 30)}


def test_a_tenant_that_appears_later_counts_from_its_first_token() -> None:
    series = [*gateway("acme", "m", 900, 100), *gateway("late", "m", 40, 2, since=T0 + 120)]
    assert counted(*series)["late", BASE] == (40, 2)


def test_names_made_up_by_clients_do_not_fill_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MAX_PARTS", 2)
    tenants = ["a", "b", "c", "d", "nul\x00"]
    series = [one for index, name in enumerate(tenants) for one in gateway(name, "m", 100 - index, 0)]
    assert counted(*series) == {("a", BASE): (100, 0), ("b", BASE): (99, 0), (OTHER, OTHER): (98 + 97 + 96, 0)}


def test_recorded_again_it_is_the_same_and_a_poorer_reading_changes_nothing(
    database: str, open_ledger: Callable[[str], Ledger]
) -> None:
    ledger, series = open_ledger(database), gateway("acme", "m", 900, 100)
    labels = {"replica": "a", "model": "m", "engine": "vllm", "instance": "node:9800"}
    engine = Series(c.REPLICA_START.name, labels, [(float(at), T0 - 9e4) for at in range(T0, T0 + 301, 30)])
    for _ in range(2):
        ingest(SPEC, Recorded([engine, *series]), ledger, T0 + 400.0)
    ledger.record({}, T0, {"pool": [slot(T0, 300)]}, {"pool": [TokenSlot(T0, "acme", BASE, 1, 1, 0)]})
    assert token_sums(ledger.engine, "pool", T0, T0 + 300) == {("acme", BASE): (900, 100)}


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), min_size=1))
def test_what_is_apportioned_adds_up(total: int, weights: list[int]) -> None:
    found, whole = apportion(total, weights), max(1, sum(weights))
    assert sum(found) == (total if any(weights) else 0)
    assert all(share == 0 for share, weight in zip(found, weights, strict=True) if weight == 0)
    assert all(abs(share - total * weight / whole) <= 1 for share, weight in zip(found, weights, strict=True))


def client(ledger: Ledger, tokens: list[TokenSlot], spec: Spec = SPEC) -> TestClient:
    """An hour of two nodes for 8 USD: 3.24M tokens in and 0.36M out, an eighth of what they could do. Of the slot after it, tokens
    aren't known."""
    slots = [slot(START + 300 * index, 300) for index in range(12)] + [slot(START + 3600, None)]
    ledger.record({}, int(START + 3900), {"pool": slots}, {"pool": tokens})
    body = {"action": "hold", "recommended_nodes": 2, "reasons": ["so"], "at": START + 60}
    ledger.save_recommendation("pool", START + 60, body, state(1, 4000.0, START + 60).to_json())
    return TestClient(create_app(Service(spec, World({}, {}), ledger, clock=lambda: NOW)))


TOKENS = [
    TokenSlot(int(START), "acme", BASE, 1_000_000, 100_000, 20),
    TokenSlot(int(START), "beta", "legal", 400_000, 50_000, 20),
    TokenSlot(int(START + 300), "none", BASE, 333_333, 11_111, 20),
    TokenSlot(int(START + 3600), "acme", BASE, 999, 999, 20),
]


def reviewed(app: TestClient) -> dict[str, Any]:
    (pool,) = app.get("/api/v1/reviews/2023-W46").json()["pools"]
    return dict(pool)


def parts(found: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [*found[kind]["shares"].values(), found[kind]["unattributed"]]


@pytest.fixture
def ledger(database: str, open_ledger: Callable[[str], Ledger]) -> Ledger:
    return open_ledger(database)


def test_each_group_and_idle_capacity_add_up_to_the_pools_whole(ledger: Ledger) -> None:
    app = client(ledger, TOKENS)
    pool = reviewed(app)
    found = pool["showback"]
    for kind in ("tenants", "adapters", "teams"):
        for name in ("input_tokens", "output_tokens"):
            assert sum(one[name] for one in parts(found, kind)) == found[name] == pool["week"][name]
        dollars = [found["idle_usd"], *(one["cost_usd"] for one in parts(found, kind))]
        assert sum(round(one * 1e6) for one in dollars) == round(pool["week"]["cost_usd"] * 1e6)
    assert list(found["tenants"]["shares"]) == ["acme", "beta", "none"]
    assert found["idle_usd"] == pytest.approx(8 * 7 / 8, abs=1e-6)
    assert found["tenants"]["shares"]["acme"]["cost_usd"] == pytest.approx(1.1 / 3.6, abs=2e-6)
    assert found["adapters"]["shares"]["legal"]["input_tokens"] == 400_000
    assert found["teams"]["shares"].keys() == {"sales"}
    assert found["teams"]["shares"]["sales"]["output_tokens"] == 150_000
    rest = found["tenants"]["unattributed"]
    share = (rest["input_tokens"] + rest["output_tokens"]) / 3.6e6
    assert rest["cost_usd"] == pytest.approx(
        share + 8 / 12, abs=2e-6
    )  # the slot of unknown tokens: 2 nodes for 5 minutes
    span = {"from": "2023-11-13T00:00:00Z", "to": "2023-11-20T00:00:00Z"}
    assert app.get("/api/v1/pools/pool/showback", params=span).json()["showback"] == found
    page = app.get("/reviews/2023-W46").text
    assert "Who used pool" in page and "Idle capacity" in page
    table = app.get("/api/v1/reviews/2023-W46/csv").text
    assert "showback/tenants/shares/acme/cost_usd" in table and "showback/idle_usd" in table


def test_gateways_that_count_more_than_the_engines_are_scaled_down(ledger: Ledger) -> None:
    found = reviewed(client(ledger, [TokenSlot(int(START), "acme", BASE, 9_000_000, 0, 20)]))["showback"]
    assert found["tenants"]["shares"]["acme"]["input_tokens"] == found["input_tokens"] == 3_240_000
    assert found["tenants"]["unattributed"]["output_tokens"] == 360_000


def test_without_a_price_or_a_gateway_it_is_not_known(ledger: Ledger) -> None:
    assert reviewed(client(ledger, []))["showback"] is None
    found = reviewed(client(ledger, TOKENS, load(TEXT.replace(", hourly_usd: 4.0", ""))))["showback"]
    assert (found["cost_usd"], found["idle_usd"], found["teams"]) == (None, None, None)
    assert found["tenants"]["shares"]["acme"] == {"input_tokens": 1_000_000, "output_tokens": 100_000, "cost_usd": None}


def test_carbon_is_energy_times_intensity_and_unknown_without(ledger: Ledger) -> None:
    joules = 12 * 300 * 2000.0
    assert reviewed(client(ledger, []))["week"]["carbon_kg"] == pytest.approx(joules / 3.6e6 * 0.5)
    without = load(TEXT.replace("    carbon_grams_per_kwh: 500\n", ""))
    assert reviewed(client(ledger, [], without))["week"]["carbon_kg"] is None


def test_a_name_belongs_to_one_pool_and_a_tenant_to_one_team() -> None:
    with pytest.raises(SpecError, match="used 2 times"):
        load(TEXT + "teams:\n  - {name: a, tenants: [x]}\n  - {name: b, tenants: [x]}\n")
    with pytest.raises(SpecError, match="adapter 'legal'"):
        load(TEXT.replace("objectives:", "  - {name: second, model: legal}\nobjectives:"))
