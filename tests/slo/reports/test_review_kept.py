"""Weekly reviews that are made on Monday and kept: when, once, by one leader, across outages; what is corrected later shows beside them."""

import csv
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from plimsoll.slo.calendar import WEEK, start_of
from plimsoll.slo.ledger.retention import prune
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.reports.review_archive import MAX_WEEKS_AT_ONCE
from plimsoll.slo.reports.review_models import SloReview, Week
from plimsoll.slo.reports.review_pool import PoolReview, PoolWeek
from plimsoll.slo.service import jobs
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.jobs import save_reviews
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount
from review_world import slot
from world import World, spec

# Fields of a pool that are no figures of the CSV, or under another measure.
POOL_OTHER = {
    "name",
    "recommendations",
    "events",
    "shadow",
    "week",
    "previous",
    "forecast",
    "action_counts",
    "last_recommended_at",
    "reasons",
    "api_comparison",
    "buying",
    "settings",
    "showback",
}
MONDAY = start_of("2023-W47")  # the week before it, 2023-W46, is over
HOUR = 3600.0


def service_at(ledger: Ledger, now: float) -> Service:
    return Service(spec(), World({}, {}), ledger, clock=lambda: now)


def make(ledger: Ledger, now: float) -> TestClient:
    """What a service does that runs at a moment, and the service to ask."""
    service = service_at(ledger, now)
    save_reviews(service)
    service.leader.resign()
    return TestClient(create_app(service))


def booked(ledger: Ledger, starts: list[float], until: float, good: int = 90) -> None:
    """Slots of 100 requests, and the ledger booked until a moment."""
    counts = [SlotCount(int(start), good, 100, 300.0, "request") for start in starts]
    ledger.record({("fast", "hash"): counts}, int(until), {"pool": [slot(start, 300) for start in starts]})


def kept(ledger: Ledger) -> list[str]:
    found = TestClient(create_app(service_at(ledger, MONDAY + 20 * WEEK))).get("/api/v1/reviews").json()
    return [item["week"] for item in found["reviews"]]


@pytest.fixture
def ledger(database: str, open_ledger: Callable[[str], Ledger]) -> Ledger:
    """A week with a slot in each hour of its first day, and the first slot of the next week."""
    found = open_ledger(database)
    booked(found, [MONDAY - WEEK + HOUR * hour for hour in range(24)] + [MONDAY], MONDAY + 300)
    return found


def test_a_week_is_kept_as_soon_as_it_is_booked_and_not_a_slot_before(
    database: str, open_ledger: Callable[[str], Ledger]
) -> None:
    ledger = open_ledger(database)
    booked(ledger, [MONDAY - 300], MONDAY)
    make(ledger, MONDAY + HOUR)
    assert kept(ledger) == [], "nothing was seen after the week: its source may just be dead"
    booked(ledger, [MONDAY], MONDAY + 300)
    make(ledger, MONDAY - 1)
    assert kept(ledger) == [], "the week is not over"
    make(ledger, MONDAY + HOUR)
    assert kept(ledger) == ["2023-W46"]
    answer = TestClient(create_app(service_at(ledger, MONDAY + 2 * HOUR))).get("/api/v1/reviews/2023-W46").json()
    assert (answer["generated_at"], answer["revisions"], answer["complete"]) == ("2023-11-20T01:00:00Z", [], True)


def test_a_clock_that_runs_ahead_and_a_ledger_that_begins_make_no_review(ledger: Ledger) -> None:
    make(ledger, MONDAY + 5 * WEEK)
    assert kept(ledger) == [], "of five weeks ahead nothing was seen"
    make(ledger, MONDAY + HOUR)
    assert kept(ledger) == ["2023-W46"], "and 2023-W45, before the first slot, is none"


def test_a_correction_shows_beside_what_was_kept_and_a_fresh_one_has_it(ledger: Ledger) -> None:
    client = make(ledger, MONDAY + HOUR)
    ledger.correct("fast", SlotCount(int(MONDAY - WEEK), 50, 100, 300.0, "request"), "ann", "a test", MONDAY + HOUR)
    make(ledger, MONDAY + 2 * HOUR)
    answer = client.get("/api/v1/reviews/2023-W46").json()
    assert answer["slos"][0]["good"] == 24 * 90
    changed = {item["path"]: (item["saved"], item["current"]) for item in answer["revisions"]}
    assert changed["slos/fast/good"] == (24 * 90, 24 * 90 - 40)
    assert changed["slos/fast/bad"] == (240, 280)
    assert not [what for what in changed if what.startswith("pools/")]
    fresh = client.get("/api/v1/reviews/2023-W46?recompute=true").json()
    assert (fresh["slos"][0]["good"], fresh["generated_at"], fresh["revisions"]) == (24 * 90 - 40, None, None)
    page = client.get("/reviews/2023-W46").text
    assert "Revised since publication." in page
    assert "2,160</td><td>2,120" in page
    assert "240 / 2,400" in page
    assert "280 / 2,400" in client.get("/reviews/2023-W46?recompute=true").text


def test_what_was_thinned_out_is_no_correction_and_what_was_kept_stays(ledger: Ledger) -> None:
    client = make(ledger, MONDAY + HOUR)
    before = client.get("/api/v1/reviews/2023-W46").json()
    assert before["pools"][0]["week"]["arrivals"] == 24 * 300
    prune(ledger.engine, MONDAY, MONDAY + HOUR)
    after = client.get("/api/v1/reviews/2023-W46").json()
    assert after == before | {"revisions": None}
    assert client.get("/api/v1/reviews/2023-W46?recompute=true").json()["pools"][0]["week"]["arrivals"] is None
    assert client.get("/api/v1/reviews/2023-W46?recompute=true").json()["slos"][0]["bad_by_cause"] is None
    assert "slots are pruned" in client.get("/reviews/2023-W46").text


def test_weeks_without_a_service_are_made_at_its_next_start(ledger: Ledger) -> None:
    make(ledger, MONDAY + HOUR)
    back = MONDAY + 3 * WEEK + HOUR  # three weeks later, and the source remembers
    booked(ledger, [MONDAY + WEEK, MONDAY + 3 * WEEK], MONDAY + 3 * WEEK + 300)
    make(ledger, back)
    assert kept(ledger) == ["2023-W49", "2023-W48", "2023-W47", "2023-W46"]
    client = TestClient(create_app(service_at(ledger, back)))
    assert client.get("/api/v1/reviews/2023-W49").json()["slos"][0]["met"] is None, "nobody watched: unknown"
    far = MONDAY + (MAX_WEEKS_AT_ONCE + 20) * WEEK
    booked(ledger, [far], far + 300)
    make(ledger, far + HOUR)
    assert len(kept(ledger)) == 4 + MAX_WEEKS_AT_ONCE


def test_leaders_that_make_the_same_review_at_once_keep_one(
    database: str, open_ledger: Callable[[str], Ledger]
) -> None:
    ledgers = [open_ledger(database) for _ in range(4)]
    booked(ledgers[0], [MONDAY - WEEK, MONDAY], MONDAY + 300)
    services = [service_at(ledger, MONDAY + HOUR + number) for number, ledger in enumerate(ledgers)]
    for service in services:
        service.leader.renew()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save_reviews, services))
    made = {TestClient(create_app(one)).get("/api/v1/reviews/2023-W46").text for one in services}
    assert len(made) == 1


def test_the_scheduler_makes_reviews_soon_after_its_start_and_every_ten_minutes(ledger: Ledger) -> None:
    scheduler = jobs.scheduler(service_at(ledger, MONDAY + HOUR))
    scheduler.start(paused=True)
    try:
        job = scheduler.get_job("review")
        assert (job.next_run_time - datetime.now(UTC)).total_seconds() < 60
        assert job.trigger.interval.total_seconds() == 600
        job.func(*job.args)
    finally:
        scheduler.shutdown(wait=False)
    assert kept(ledger) == ["2023-W46"]


def test_kept_weeks_are_listed_page_by_page(ledger: Ledger) -> None:
    booked(ledger, [MONDAY + 3 * WEEK], MONDAY + 3 * WEEK + 300)
    for back in (3, 2, 1, 0):
        make(ledger, MONDAY + (3 - back) * WEEK + 600)
    client = TestClient(create_app(service_at(ledger, MONDAY + 4 * WEEK)))
    pages, path = [], "/api/v1/reviews?limit=3"
    while path:
        answer = client.get(path).json()
        pages.append([item["week"] for item in answer["reviews"]])
        path = answer["next"]
    assert pages == [["2023-W49", "2023-W48", "2023-W47"], ["2023-W46"]]
    for wrong in ("limit=0", "before=2023", "before=2023-W4%00"):
        assert client.get(f"/api/v1/reviews?{wrong}").status_code == 422


def test_csv_has_every_figure_of_objectives_and_pools_with_its_unit(ledger: Ledger) -> None:
    client = TestClient(create_app(service_at(ledger, MONDAY + HOUR)))
    rows = list(csv.DictReader(io.StringIO(client.get("/api/v1/reviews/2023-W46/csv").text)))
    assert {(row["week"], row["kind"], row["name"]) for row in rows} == {
        ("2023-W46", "slo", "fast"),
        ("2023-W46", "pool", "pool"),
    }
    figures = {(row["kind"], row["measure"]): row for row in rows}
    assert len(figures) == len(rows)
    for kind, models, other in (
        ("slo", (Week, SloReview), {"id", "pool", "previous", "bad_by_cause"}),
        ("pool", (PoolWeek, PoolReview), POOL_OTHER),
    ):
        wanted = {field.removesuffix("_previous") for model in models for field in model.model_fields} - other
        assert wanted <= {measure for found, measure in figures if found == kind}
    assert all(row["unit"] for row in rows)
    arrivals, met = figures["pool", "arrivals"], figures["slo", "met"]
    assert (arrivals["value"], arrivals["previous"], arrivals["unit"]) == (str(24 * 300), "", "requests")
    assert (met["value"], figures["slo", "good"]["value"]) == ("False", str(24 * 90))
    assert figures["pool", "capacity_tokens_per_second"]["value"] == "", "unknown is empty, not 0"
