"""Standing budgets by tenant, against requests that a real gateway's counters saw: every slot of every tenant to the request."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from gateway_world import END, ENGINE, HOSTILE, HOURS, T0, UNWRITABLE, Booked, Gateways
from plimsoll.slo.calendar import SLOT
from plimsoll.slo.error_budget.exclusions import Exclusion
from plimsoll.slo.exchange.to_openslo import write_openslo
from plimsoll.slo.ledger import tenants as places
from plimsoll.slo.ledger.evaluation import evaluate_tenants
from plimsoll.slo.ledger.ingest import ingest
from plimsoll.slo.ledger.parquet import export_ledger, import_ledger
from plimsoll.slo.ledger.retention import prune
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.tenants import MAX_TENANTS, key, known_tenants
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sources import Series, SourceError
from plimsoll.slo.spec.objectives import Spec, SpecError, load
from plimsoll.slo.usage.tokens import OTHER
from recorded import Recorded
from world import SPEC_TEXT

MORE = "  - {id: up, pool: pool, indicator: availability, target: 99%, window: 28d, group_by: tenant}\n"
SPEC = load(SPEC_TEXT.replace("window: 28d}", "window: 28d, group_by: tenant}") + MORE)


def booked(ledger: Ledger, objective: str) -> Booked:
    """What the ledger holds of each tenant, and of all of them under an empty name."""
    keys = {"": key(objective, None)} | known_tenants(ledger.engine, objective)
    return {
        tenant: {slot.slot: (slot.good, slot.total) for slot in ledger.slots(name, 0, 1e12) if slot.total}
        for tenant, name in keys.items()
    }


def summed(parts: Booked) -> dict[int, tuple[int, int]]:
    good, total = Counter[int](), Counter[int]()
    for slots in parts.values():
        for slot, counts in slots.items():
            good[slot] += counts[0]
            total[slot] += counts[1]
    return {slot: (good[slot], total[slot]) for slot in total}


@pytest.fixture(scope="module")
def gateways() -> Gateways:
    return Gateways(("acme", "beta", *HOSTILE)).run()


def without_idle(truth: Booked) -> Booked:
    return {tenant: {slot: found for slot, found in mine.items() if found[1]} for tenant, mine in truth.items()}


def test_each_tenant_has_its_own_requests_and_together_they_are_the_whole(
    gateways: Gateways, database: str, open_ledger: Callable[[str], Ledger]
) -> None:
    ledger = open_ledger(database)
    ingest(SPEC, gateways.source(), ledger, float(END))
    for objective in ("fast", "up"):
        found = booked(ledger, objective)
        whole = found.pop("")
        assert found == without_idle(gateways.truth[objective])
        assert whole == summed(found)
        assert len(whole) == HOURS * 12
    (own,) = {slot.covered_seconds for slot in ledger.slots(key("up", None), T0, END)}
    assert own == SLOT
    assert (
        ledger.slots("fast", 0, 1e12) == []
    )  # the engine tells of none: its budget is unknown, whatever the gateways say


def test_step_by_step_again_and_through_an_outage_it_is_the_same_ledger(
    gateways: Gateways, tmp_path: Path, open_ledger: Callable[[str], Ledger]
) -> None:
    at_once, stepwise = (open_ledger(f"sqlite:///{tmp_path}/{name}.db") for name in ("once", "steps"))
    ingest(SPEC, gateways.source(), at_once, float(END))
    source = gateways.source()
    for now in range(T0 + 100, END, 700):
        source.now, source.down = float(now), 2000 < now - T0 < 4500
        try:
            ingest(SPEC, source, stepwise, float(now))
        except SourceError:
            assert source.down
    source.now, source.down = float(END), False
    for _ in range(2):
        ingest(SPEC, source, stepwise, float(END))
    for objective in ("fast", "up"):
        assert booked(stepwise, objective) == booked(at_once, objective)


def test_no_more_than_so_many_tenants_are_told_apart_and_the_rest_are_other(
    tmp_path: Path, open_ledger: Callable[[str], Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "MAX_TENANTS", 4)
    names = ("a", "b", *UNWRITABLE, "c", "d", "e", "f")
    gateways = Gateways(names).run()
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    for now in (T0 + 900, T0 + 1800, END):
        ingest(SPEC, gateways.source(), ledger, float(now))
    found, truth = booked(ledger, "up"), without_idle(gateways.truth["up"])
    whole = found.pop("")
    assert found.keys() == {"a", "b", "c", "d", OTHER}
    assert {name: found[name] for name in "abcd"} == {name: truth[name] for name in "abcd"}
    assert found[OTHER] == summed({name: truth[name] for name in (*UNWRITABLE, "e", "f")})
    assert whole == summed(truth)


def test_a_gateway_that_was_not_read_is_not_watched_and_a_tenant_that_is_not_on_it_asked_for_nothing(
    gateways: Gateways, tmp_path: Path, open_ledger: Callable[[str], Ledger]
) -> None:
    begin, end = T0 + 3600, T0 + 5400
    kept = [
        Series(name, labels, [one for one in samples if labels["instance"] != "east:9801" or not begin < one[0] <= end])
        for name, labels, samples in gateways.series.values()
    ]
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    ingest(SPEC, Recorded([ENGINE, *kept]), ledger, float(END))
    whole = {slot.slot: slot.covered_seconds for slot in ledger.slots(key("up", None), T0, END)}
    # Of the two gateways one is known until its last page, and unknown then: what is left is watched in full.
    assert {seconds for slot, seconds in whole.items() if not begin - SLOT <= slot <= end} == {float(SLOT)}
    mine = known_tenants(ledger.engine, "up")["acme"]  # asks at one of the gateways only
    assert {slot.covered_seconds for slot in ledger.slots(mine, T0, begin - SLOT)} == {float(SLOT)}


def test_budgets_of_tenants_leave_out_what_is_excluded_and_tell_what_gateways_were_watched(
    gateways: Gateways, tmp_path: Path, open_ledger: Callable[[str], Ledger]
) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    ingest(SPEC, gateways.source(), ledger, float(END))
    away = Exclusion(T0 + 600.0, T0 + 1500.0, "ann", "test", "up", None)
    out = range(T0 + 600, T0 + 1500)
    whole, found = evaluate_tenants(ledger, SPEC.objective("up"), [away], float(END))
    truth = without_idle(gateways.truth["up"])
    assert found.keys() == truth.keys()
    for tenant, budget in found.items():
        good, total = (sum(one[i] for slot, one in truth[tenant].items() if slot not in out) for i in (0, 1))
        assert (budget.counted.good, budget.counted.total) == (good, total)
        assert budget.budget_remaining == pytest.approx(1 - (total - good) / (0.01 * total))
        assert (budget.coverage, budget.excluded_seconds) == (whole.coverage, 900)
    assert whole.counted.total == sum(budget.counted.total for budget in found.values())
    assert whole.coverage == pytest.approx((HOURS * 3600 - 900) / (28 * 86400 - 900))


def test_thinned_out_slots_of_tenants_stay_in_their_budgets(
    gateways: Gateways, database: str, open_ledger: Callable[[str], Ledger]
) -> None:
    ledger, now = open_ledger(database), float(END // 3600 * 3600 + 5 * 86400)
    ingest(SPEC, gateways.source(), ledger, float(END))
    before = evaluate_tenants(ledger, SPEC.objective("up"), [], now)
    kept = len(ledger.slots(key("up", "acme"), 0, 1e12))
    prune(ledger.engine, now - 4 * 86400, now)
    assert len(ledger.slots(key("up", "acme"), 0, 1e12)) < kept
    assert evaluate_tenants(ledger, SPEC.objective("up"), [], now) == before


@pytest.fixture
def client(gateways: Gateways, tmp_path: Path, open_ledger: Callable[[str], Ledger]) -> TestClient:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    service = Service(SPEC, gateways.source(), ledger, clock=lambda: float(END))
    service.ingest()
    assert service.runs.errors == {}
    return TestClient(create_app(service))


def test_the_api_lists_the_worst_first_page_by_page_whatever_they_are_called(
    client: TestClient, gateways: Gateways
) -> None:
    told = client.get("/api/v1/slos/up/tenants").json()
    assert {one["tenant"] for one in told["tenants"]} == {"acme", "beta", *HOSTILE}
    left = [one["budget_remaining"] for one in told["tenants"]]
    assert left == sorted(left)
    assert all(one["bad"] == one["total"] - one["good"] for one in told["tenants"])
    for name in ("good", "total", "bad"):
        assert told["total"][name] == sum(one[name] for one in told["tenants"])
    assert (told["max_tenants"], told["next"]) == (MAX_TENANTS, None)
    paged, path = [], "/api/v1/slos/up/tenants?limit=2"
    while path:
        answer = client.get(path).json()
        paged += answer["tenants"]
        path = answer["next"]
    assert paged == told["tenants"]
    at = {"at": "2023-11-14T22:45:00Z"}
    assert client.get("/api/v1/slos/up/tenants", params=at).json()["total"]["total"] < told["total"]["total"]


def test_what_cannot_be_told_by_tenant_is_refused_with_what_to_do(
    client: TestClient, open_ledger: Callable[[str], Ledger]
) -> None:
    nobody = client.get("/api/v1/slos/up/tenants", params={"after": "' OR 1=1 --"})
    assert (nobody.status_code, nobody.json()["detail"]) == (422, 'after: unknown tenant "\' OR 1=1 --".')
    assert client.get("/api/v1/slos/nope/tenants").status_code == 404
    ledger = open_ledger("sqlite://")
    service = Service(load(SPEC_TEXT), Recorded([]), ledger, clock=lambda: float(END))
    answer = TestClient(create_app(service)).get("/api/v1/slos/fast/tenants")
    assert (answer.status_code, answer.json()["code"]) == (404, "tenants_not_enabled")


def test_the_page_shows_tenants_as_text_and_nothing_else(client: TestClient) -> None:
    page = client.get("/slos/up").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert "{{ 7 * 7 }}" in page
    assert "All tenants" in page


def test_tenants_move_with_the_ledger(
    gateways: Gateways, database: str, tmp_path: Path, open_ledger: Callable[[str], Ledger]
) -> None:
    here, there = open_ledger(f"sqlite:///{tmp_path}/ledger.db"), open_ledger(database)
    ingest(SPEC, gateways.source(), here, float(END))
    (tmp_path / "out").mkdir()
    export_ledger(here.engine, tmp_path / "out")
    for _ in range(2):
        import_ledger(there.engine, tmp_path / "out")
    assert booked(there, "up") == booked(here, "up")
    ingest(SPEC, gateways.source(), there, float(END))
    assert booked(there, "up") == booked(here, "up")


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("group_by: user", "objectives[1].group_by: Invalid enum value 'user'. Use one of: tenant."),
        ("group_by: [tenant]", "objectives[1].group_by: "),
    ],
)
def test_a_wrong_per_is_named_with_its_path_and_what_to_write(block: str, said: str) -> None:
    with pytest.raises(SpecError) as error:
        load(SPEC_TEXT + MORE.replace("group_by: tenant", block))
    assert str(error.value).startswith(said)


def test_goodput_is_not_kept_by_tenant_and_per_is_no_part_of_what_is_counted() -> None:
    goodput = (
        "  - {id: joint, pool: pool, indicator: {goodput: {ttft: 600ms}}, target: 95%, window: 28d, group_by: tenant}\n"
    )
    with pytest.raises(
        SpecError, match=r"objectives\[1\].group_by: gateways don't evaluate goodput per tenant. Leave it out"
    ):
        load(SPEC_TEXT + goodput)
    lost = [str(loss) for loss in write_openslo(SPEC)[1]]
    assert sum("one error budget, not one per tenant" in one for one in lost) == 2
    plain: Spec = load(SPEC_TEXT + MORE.replace(", group_by: tenant", ""))
    assert [one.spec_hash for one in plain.objectives] == [one.spec_hash for one in SPEC.objectives]
