"""The weekly review against requests of known outcome: counts, coverage, the week before, exclusions, pages and refusals."""

import csv
import io
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any

import pytest
from fastapi.testclient import TestClient
from msgspec.structs import replace

from plimsoll.slo.calendar import WEEK, start_of, week_of
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.reports.review_models import Review
from plimsoll.slo.reports.summary.opening import opening
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.usage.slots import PoolSlot
from world import World, spec

START = start_of("2023-W46")  # Monday 13 November 2023
NOW = START + 2 * WEEK + 3600.0


@pytest.fixture
def ledger(database: str, open_ledger: Callable[[str], Ledger]) -> Ledger:
    return open_ledger(database)


@pytest.fixture
def client(ledger: Ledger) -> Iterator[TestClient]:
    """Ten slots a week: last week 1,000 good of 1,000; this one 940 of 1,000, of which 50 bad ones in one slot."""
    before = [SlotCount(START + 300 * i, 100, 100, 300.0, "request") for i in range(10)]
    week = [
        SlotCount(int(START + WEEK) + 300 * i, {0: 50, 1: 90}.get(i, 100), 100, 300.0, "request") for i in range(10)
    ]
    ledger.record({("fast", "hash"): [*before, *week]}, int(START + 2 * WEEK))
    service = Service(spec(), World({}, {}), ledger, clock=lambda: NOW)
    ledger.save_recommendation("pool", START + WEEK + 60, _recommendation("scale_out", 3))
    ledger.save_recommendation("pool", START + WEEK + 90, _recommendation("hold", 3))
    ledger.save_recommendation("pool", START + 2 * WEEK + 60, _recommendation("scale_in", 2))
    yield TestClient(create_app(service))


def _recommendation(action: str, nodes: int) -> dict[str, object]:
    at = START + WEEK + (60 if action == "scale_out" else 90 if action == "hold" else WEEK + 60)
    return {"action": action, "recommended_nodes": nodes, "reasons": [f"{action} it is"], "at": at}


def test_a_week_shows_its_own_requests_and_the_week_before(client: TestClient) -> None:
    review = client.get("/api/v1/reviews/2023-W47").json()
    assert (review["from"], review["to"], review["complete"]) == ("2023-11-20T00:00:00Z", "2023-11-27T00:00:00Z", True)
    (fast,) = review["slos"]
    assert (fast["good"], fast["total"], fast["bad"]) == (940, 1000, 60)
    assert (fast["good_ratio"], fast["met"]) == (0.94, False)
    assert fast["budget_consumed"] == pytest.approx(60 / (0.05 * 1000))
    assert fast["bad_by_cause"] == {"no_data": 60}, "nobody watched the pool"
    assert fast["coverage"] == pytest.approx(3000 / WEEK)
    assert (fast["previous"]["good_ratio"], fast["previous"]["total"]) == (1.0, 1000)
    assert review["simulated"] is False


def test_what_was_recommended_is_that_weeks_alone(client: TestClient) -> None:
    (pool,) = client.get("/api/v1/reviews/2023-W47").json()["pools"]
    assert pool["action_counts"] == {"scale_out": 1, "hold": 1}
    assert (pool["recommended_nodes"], pool["reasons"]) == (3, ["hold it is"])
    (quiet,) = client.get("/api/v1/reviews/2023-W46").json()["pools"]
    assert (quiet["action_counts"], quiet["recommended_nodes"]) == ({}, None)


def test_a_target_just_kept_and_a_week_without_requests(client: TestClient) -> None:
    (kept,) = client.get("/api/v1/reviews/2023-W46").json()["slos"]
    assert kept["met"] is True
    unseen = client.get("/api/v1/reviews/2023-W45").json()["slos"][0]
    assert (unseen["total"], unseen["good_ratio"], unseen["met"], unseen["budget_consumed"]) == (0, None, None, None)


def test_an_exclusion_takes_its_slots_out(client: TestClient) -> None:
    body = {"created_by": "ann", "reason": "load test", "from": "2023-11-20T00:00:00Z", "to": "2023-11-20T00:05:00Z"}
    assert client.post("/api/v1/exclusions", json=body).status_code == 201
    (fast,) = client.get("/api/v1/reviews/2023-W47").json()["slos"]
    assert (fast["good"], fast["total"], fast["excluded_seconds"], fast["met"]) == (890, 900, 300, True)
    assert fast["bad_by_cause"] == {"no_data": 10}


def test_what_the_budget_was_spent_on_adds_up_to_the_bad_requests(client: TestClient, ledger: Ledger) -> None:
    """The slot with 50 bad ones had a queue; of that with 10 everything is known and nothing was the matter."""
    known: dict[str, Any] = {
        name: 0 for name in ("arrivals", "finished", "errors", "rejected", "preemptions", "replica_disruptions")
    }
    calm: dict[str, Any] = {
        "waiting_max": 0.0,
        "waiting_mean": 0.0,
        "kv_cache_usage_max": 0.1,
        "kv_cache_usage_mean": 0.1,
        "replicas": 2.0,
        "nodes": 2.0,
    }
    first = int(START + WEEK)
    watched = [PoolSlot(first - 300 * back, 300.0, **known, **calm) for back in range(-10, 13)]
    full = [replace(row, waiting_max=9.0, waiting_mean=5.0) if row.slot == first else row for row in watched]
    ledger.record({}, int(START + 2 * WEEK), {"pool": full})
    (fast,) = client.get("/api/v1/reviews/2023-W47").json()["slos"]
    assert list(fast["bad_by_cause"].items()) == [("queueing", 50), ("other", 10)]
    page = client.get("/reviews/2023-W47").text
    assert "Queueing: 50" in page
    assert "Normal load: 10" in page
    rows = {row["measure"]: row for row in csv.DictReader(io.StringIO(client.get("/api/v1/reviews/2023-W47/csv").text))}
    assert (rows["bad_by_cause/queueing"]["value"], rows["bad_by_cause/queueing"]["unit"]) == ("50", "requests")
    assert client.get("/api/v1/reviews/2023-W46").json()["slos"][0]["bad_by_cause"] == {}


def test_the_page_opens_with_the_paragraph_that_is_mailed(client: TestClient) -> None:
    review = Review.model_validate(client.get("/api/v1/reviews/2023-W47").json())
    page = unescape(" ".join(client.get("/reviews/2023-W47").text.split()))
    assert f"<p>{opening(review).paragraph}</p>" in page
    # A week without data has no opening.
    assert opening(Review.model_validate(client.get("/api/v1/reviews/2023-W44").json())).paragraph not in unescape(
        client.get("/reviews/2023-W44").text
    )


def test_the_week_under_way_is_not_complete(client: TestClient) -> None:
    assert client.get("/api/v1/reviews/2023-W48").json()["complete"] is False


def test_csv_has_the_same_numbers(client: TestClient) -> None:
    answer = client.get("/api/v1/reviews/2023-W47/csv")
    rows = {row["measure"]: row for row in csv.DictReader(io.StringIO(answer.text)) if row["name"] == "fast"}
    assert {row["week"] for row in rows.values()} == {"2023-W47"}
    assert [rows[name]["value"] for name in ("good", "met")] == ["940", "False"]
    assert (rows["good"]["previous"], rows["good"]["unit"]) == ("1000", "requests")
    assert answer.headers["content-type"].startswith("text/csv")


def test_the_page_tells_the_same_and_the_last_whole_week_is_the_default(client: TestClient) -> None:
    page = client.get("/reviews")
    assert str(page.url).endswith("/reviews/2023-W47")
    assert "60 / 1,000" in page.text
    assert "✕ No" in page.text
    assert 'href="/reviews/2023-W46"' in page.text
    assert "In progress." in client.get("/reviews/2023-W48").text


@pytest.mark.parametrize("week", ["2023-W54", "2023-W00", "2023-47", "2023-W4x", "0000-W01", "2024-W01"])
def test_what_is_no_week_or_has_not_begun_is_refused(client: TestClient, week: str) -> None:
    for path in (f"/api/v1/reviews/{week}", f"/api/v1/reviews/{week}/csv", f"/reviews/{week}"):
        answer = client.get(path)
        assert answer.status_code == 422
        assert answer.json()["code"] in ("invalid_week", "invalid_period")


def test_weeks_are_iso_weeks_across_a_new_year() -> None:
    assert week_of(start_of("2020-W53")) == "2020-W53"
    assert week_of(start_of("2020-W53") + WEEK) == "2021-W01"
