"""From indeterminate requests to a budget: two ends that hold the truth, in the ledger, in its archive, in every answer and on the pages."""

import re
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from bounds_world import spec
from histogram_world import Life, scraped
from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.error_budget.budget import RequestCounts, budget, burn_windows
from plimsoll.slo.ledger.ingest import ingest
from plimsoll.slo.ledger.parquet import export_ledger, import_ledger
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.spec.objectives import load
from recorded import Recorded
from world import SPEC_TEXT

Opener = Callable[[str], Ledger]
T0 = 1_700_000_100  # a slot's start
NOW = T0 + 3600.0
SPEC = spec("bounds")
BETWEEN = [SlotCount(T0 + 300 * i, 80, 100, 300.0, "bounds", 15) for i in range(6)]  # 80 to 95 good of 100
A_DAY = [SlotCount(T0 + 1500 - 300 * i, 80, 100, 300.0, "bounds", 15) for i in range(300)]  # long enough to be judged
EXACT = [SlotCount(T0 + 300 * (6 + i), 90, 100, 300.0, "exact_bucket") for i in range(6)]


def service(ledger: Ledger, *counts: SlotCount) -> Service:
    service = Service(SPEC, Recorded([]), ledger, clock=lambda: NOW)
    ledger.record({("fast", SPEC.objectives[0].spec_hash): list(counts)}, int(NOW))
    return service


def test_exact_slots_add_the_same_to_both_ends(database: str, open_ledger: Opener) -> None:
    """A pool whose engines got the bound in the middle of the window."""
    client = TestClient(create_app(service(open_ledger(database), *BETWEEN, *EXACT)))
    slo = client.get("/api/v1/slos/fast").json()
    assert (slo["good"], slo["indeterminate"], slo["total"], slo["bucket_mismatch"]) == (1020, 90, 1200, "bounds")
    assert slo["budget_remaining"] == pytest.approx(1 - 180 / 60)
    assert slo["budget_remaining_upper_bound"] == pytest.approx(1 - 90 / 60)
    burn = next(one for one in slo["burn_rates"] if one["tier"] == "page-fast")
    assert burn["long_burn_rate"] == pytest.approx(180 / 1200 / 0.05)
    assert burn["long_burn_rate_lower_bound"] == pytest.approx(90 / 1200 / 0.05)
    assert burn["short_burn_rate"] == burn["short_burn_rate_lower_bound"] == pytest.approx(2.0)
    history = client.get("/api/v1/slos/fast/budget").json()
    assert (history["bad"], history["indeterminate"], history["budget_remaining_upper_bound"]) == (
        180,
        90,
        slo["budget_remaining_upper_bound"],
    )
    last, second = history["points"][-1], history["points"][1]
    assert (last["budget_remaining"], last["budget_remaining_upper_bound"]) == (
        slo["budget_remaining"],
        slo["budget_remaining_upper_bound"],
    )
    assert (second["bad"], second["indeterminate"], second["total"]) == (40, 30, 200)
    assert second["budget_remaining_upper_bound"] == pytest.approx(1 - 10 / 10)
    slots = client.get("/api/v1/slos/fast/slots", params={"from": rfc3339(T0)}).json()["slots"]
    assert [slot["indeterminate"] for slot in slots] == [15] * 6 + [0] * 6


@pytest.mark.parametrize(
    ("good", "indeterminate", "status"),
    [
        (960, 40, "ok"),
        (951, 0, "ok"),
        (949, 2, "unknown"),
        (950, 49, "unknown"),
        (900, 49, "exhausted"),
        (949, 0, "exhausted"),
    ],
)
def test_a_budget_that_is_spent_or_not_depending_on_unclear_requests_is_unknown(
    good: int, indeterminate: int, status: str
) -> None:
    objective = SPEC.objectives[0]
    found = budget(objective, RequestCounts(good, 1000, 86400, indeterminate=indeterminate), 86400, {})
    assert found.status == status


def test_a_page_is_due_for_what_is_surely_bad_and_a_ticket_for_what_is_not_surely_good() -> None:
    objective = SPEC.objectives[0]
    windows = burn_windows(objective)

    def firing(good: int, indeterminate: int) -> set[str]:
        recent = dict.fromkeys(windows, RequestCounts(good, 1000, 300.0, indeterminate=indeterminate))
        found = budget(objective, RequestCounts(10**6, 10**6, 86400), 86400, recent)
        return {burn.tier.tier for burn in found.burns if burn.firing} - {"outage"}

    tickets = {"ticket-fast", "ticket-slow"}
    assert firing(0, 1000) == tickets  # nothing is surely bad
    assert firing(0, 329) == {"page-slow", *tickets}  # 67.1 % are; the fast page is due above 67.2 %
    assert firing(0, 327) == {"page-fast", "page-slow", *tickets}
    assert firing(1000, 0) == set()


def test_a_correction_is_exact_and_the_audit_keeps_what_was_unclear(database: str, open_ledger: Opener) -> None:
    client = TestClient(create_app(service(open_ledger(database), *BETWEEN)))
    body = {
        "start": rfc3339(T0),
        "good": 91,
        "total": 100,
        "covered_seconds": 300,
        "actor": "ann",
        "reason": "from the log",
    }
    made = client.post("/api/v1/slos/fast/corrections", json=body).json()
    assert (made["good"], made["indeterminate"], made["source"]) == (91, 0, "manual")
    (row,) = client.get("/api/v1/audit").json()["events"]
    assert '"indeterminate": 15' in row["before"]
    slo = client.get("/api/v1/slos/fast").json()
    assert (slo["good"], slo["indeterminate"]) == (5 * 80 + 91, 5 * 15)


def test_a_slot_that_is_counted_again_exactly_is_no_longer_unclear(database: str, open_ledger: Opener) -> None:
    ledger = open_ledger(database)
    service(ledger, *BETWEEN)
    ledger.record({("fast", "x"): [SlotCount(T0, 80, 100, 300.0, "exact_bucket")]}, T0)
    assert [slot.indeterminate for slot in ledger.slots("fast", 0, 1e12)] == [0] + [15] * 5
    assert (
        sum(sums.indeterminate for sums in ledger.segments([T0 // 86400 * 86400, T0 + 86400], ["fast"])["fast"]) == 75
    )


def test_an_archive_keeps_what_is_unclear_and_an_older_one_is_exact(
    tmp_path: Path, database: str, new_database: Callable[[], str], open_ledger: Opener
) -> None:
    first, second, third = open_ledger(database), open_ledger(new_database()), open_ledger(new_database())
    service(first, *BETWEEN, *EXACT)
    export_ledger(first.engine, tmp_path)
    import_ledger(second.engine, tmp_path)
    assert second.slots("fast", 0, 1e12) == first.slots("fast", 0, 1e12)
    assert second.rows("fast", 3600, 0, 10**12) == first.rows("fast", 3600, 0, 10**12)
    for name in ("slots", "rollups"):
        table = pq.read_table(tmp_path / f"{name}.parquet")
        pq.write_table(table.drop_columns(["indeterminate"]), tmp_path / f"{name}.parquet")
    import_ledger(third.engine, tmp_path)
    assert [slot.indeterminate for slot in third.slots("fast", 0, 1e12)] == [0] * 12


def test_the_mode_is_part_of_what_a_slot_was_counted_under() -> None:
    hashes = {spec(mode).objectives[0].spec_hash for mode in ("unknown", "lower_bound", "bounds")}
    assert len(hashes) == 3
    assert load(SPEC_TEXT).objectives[0].spec_hash == spec("unknown").objectives[0].spec_hash


def test_step_by_step_at_once_or_from_a_ledger_that_was_counted_otherwise_gives_the_same_slots(
    database: str, new_database: Callable[[], str], open_ledger: Opener
) -> None:
    """600 requests of 10 ms to 1 s; the engine gets the bound by a restart after half an hour."""
    requests: list[tuple[float, float | None]] = [(T0 + 6.0 * i, (i % 100 + 1) / 100) for i in range(600)]
    restart = T0 + 1790.0
    lives = [
        Life(T0 - 86400.0, (0.5, 0.75), requests),
        Life(restart, (0.5, 0.6, 0.75), [one for one in requests if one[0] >= restart]),
    ]
    source = Recorded(scraped({"a": lives}, [T0 - 60.0 + 15 * i for i in range(250)]))
    at_once, stepwise = open_ledger(database), open_ledger(new_database())
    ingest(SPEC, source, at_once, NOW)
    for now in range(T0, int(NOW) + 1, 300):
        ingest(SPEC, source, stepwise, now)
    slots = at_once.slots("fast", 0, 1e12)
    assert [slot[:5] for slot in slots] == [slot[:5] for slot in stepwise.slots("fast", 0, 1e12)]
    assert [slot.indeterminate for slot in slots] == [slot.indeterminate for slot in stepwise.slots("fast", 0, 1e12)]
    assert {slot.source for slot in slots} >= {"bounds", "exact_bucket"}
    for slot in slots:
        truth = [took for at, took in requests if slot.slot < at <= slot.slot + 300 and took is not None]
        good = sum(took <= 0.6 for took in truth)
        assert slot.good <= good <= slot.good + slot.indeterminate
        if slot.source == "exact_bucket" and slot.covered_seconds == 300:
            assert (slot.good, slot.indeterminate, slot.total) == (good, 0, len(truth))


def test_the_pages_show_both_ends_and_say_why_and_how_to_close_them(database: str, open_ledger: Opener) -> None:
    client = TestClient(create_app(service(open_ledger(database), *A_DAY)))  # 80% to 95% good
    for path in ("/", "/slos/fast"):
        page = " ".join(client.get(path).text.split())
        assert '<span class="number">−300.0%–0.0%</span>' in page
        assert "4,500 of 30,000 requests are indeterminate" in page
        assert "<code>plimsoll vllm-args</code>" in page
        assert "Exhausted" in page  # just exhausted at the upper bound
        assert "1.00–4.00 / No data" in re.sub(r"</?a\b[^>]*>", "", page)
    assert "1,500–6,000 / 30,000" in page
    assert "? Unknown" in page
    assert "−300.0%–0.0%" in client.get("/pools/pool").text
    review = " ".join(client.get("/reviews/2023-W46").text.split())
    assert "80.000%–95.000%" in review
    assert "100.0%–400.0%" in review
    assert "1,500–6,000 / 30,000" in review
    assert "? Unknown" in review
    (kept,) = client.get("/api/v1/reviews/2023-W46").json()["slos"]
    assert (kept["met"], kept["indeterminate"], kept["good_ratio"], kept["good_ratio_upper_bound"]) == (
        None,
        4500,
        0.8,
        0.95,
    )
    assert kept["budget_consumed_lower_bound"] == pytest.approx(1.0)


def test_the_pages_of_an_exact_objective_show_one_number(database: str, open_ledger: Opener) -> None:
    client = TestClient(create_app(service(open_ledger(database), *EXACT)))
    for path in ("/", "/slos/fast", "/reviews/2023-W46"):
        page = client.get(path).text
        assert "Range, not a single value" not in page
        assert "–0" not in page


def test_an_objective_of_which_nothing_is_counted_says_where_to_ask_why(database: str, open_ledger: Opener) -> None:
    client = TestClient(create_app(service(open_ledger(database))))
    assert "run <code>plimsoll check --source SOURCE</code>" in client.get("/").text


def test_the_other_end_is_a_metric_of_bracketed_objectives(database: str, open_ledger: Opener) -> None:
    has_bounds = service(open_ledger(database), *BETWEEN)
    page = TestClient(create_app(has_bounds)).get("/metrics").text
    assert 'plimsoll_error_budget_remaining_ratio{objective="fast",pool="pool"} -3' in page
    assert 'plimsoll_error_budget_remaining_upper_bound_ratio{objective="fast",pool="pool"} ' in page
    exact = Service(load(SPEC_TEXT), has_bounds.source, has_bounds.ledger, clock=lambda: NOW)
    assert (
        "plimsoll_error_budget_remaining_upper_bound_ratio{" not in TestClient(create_app(exact)).get("/metrics").text
    )
