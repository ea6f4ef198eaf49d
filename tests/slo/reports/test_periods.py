"""Reviews of months and quarters: SLOs combined over pools and teams are ratios of sums, and what isn't known stays unknown."""

import csv
import io
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from plimsoll.slo.calendar import DAY, period_bounds, period_of, rfc3339
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.reports.periods.review import last_ended, period_review
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.spec.objectives import load
from review_world import slot
from world import World

_, OCTOBER, NOVEMBER = period_bounds("2023-10")
NOW = NOVEMBER + 10 * DAY
NODE = "node: {gpu: H100-80GB, gpus: 1, hourly_usd: 4.0}"
SPEC = f"""
version: plimsoll/v1
pools:
  - {{name: chat, model: m, owner: web, {NODE}}}
  - {{name: code, model: n, owner: tools, {NODE}}}
  - {{name: lab, model: o, {NODE}}}
objectives:
  - {{id: chat-ttft, pool: chat, indicator: {{time_to_first_token: 600ms}}, target: 95%, window: 28d}}
  - {{id: chat-up, pool: chat, indicator: availability, target: 99%, window: 28d}}
  - {{id: code-ttft, pool: code, indicator: {{time_to_first_token: 1s}}, target: 90%, window: 28d}}
  - {{id: lab-ttft, pool: lab, indicator: {{time_to_first_token: 1s}}, target: 90%, window: 28d}}
"""
# Good of total in October; all good in September and in November.
COUNTS = {"chat-ttft": (900, 1000), "chat-up": (1000, 1000), "code-ttft": (95, 100)}


@pytest.fixture
def ledger(database: str, open_ledger: Callable[[str], Ledger]) -> Ledger:
    ledger = open_ledger(database)
    days = (OCTOBER - DAY, OCTOBER + DAY, NOVEMBER + DAY)
    counts = {
        (name, "hash"): [
            SlotCount(int(at), good if at == OCTOBER + DAY else total, total, 300.0, "request") for at in days
        ]
        for name, (good, total) in COUNTS.items()
    }
    rows = [slot(OCTOBER + DAY, 500), slot(OCTOBER + DAY + 300, 500, nodes=4.0), slot(OCTOBER + DAY + 600, None)]
    ledger.record(counts, int(NOW), {"chat": rows, "code": [slot(OCTOBER - DAY, 10)]})
    return ledger


def service(ledger: Ledger, text: str = SPEC) -> Service:
    return Service(load(text), World({}, {}), ledger, clock=lambda: NOW)


@pytest.mark.parametrize(
    ("name", "kind", "start", "end"),
    [
        ("2023-W01", "week", "2023-01-02", "2023-01-09"),
        ("2023-12", "month", "2023-12-01", "2024-01-01"),
        ("2024-02", "month", "2024-02-01", "2024-03-01"),
        ("2023-Q4", "quarter", "2023-10-01", "2024-01-01"),
    ],
)
def test_a_period_begins_and_ends_by_the_calendar(name: str, kind: str, start: str, end: str) -> None:
    found, low, high = period_bounds(name)
    assert (found, period_of(found, low), period_of(found, high - 1)) == (kind, name, name)
    assert [rfc3339(at)[:10] for at in (low, high)] == [start, end]
    assert last_ended(found, high) == name != last_ended(found, high - 1)


@pytest.mark.parametrize("name", ["2023-00", "2023-13", "2023-Q5", "2023", "2023-W60", "x", "2099-01"])
def test_a_period_that_there_is_not_is_an_error(ledger: Ledger, name: str) -> None:
    answer = TestClient(create_app(service(ledger))).get(f"/api/v1/period-reviews/{name}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_period")


def test_slos_are_combined_by_requests_as_ratios_of_sums(ledger: Ledger) -> None:
    review = period_review(service(ledger).records, "2023-10")
    found = {(one.kind, one.name): one for one in review.combined}
    assert list(found) == [
        ("all", ""),
        ("team", "tools"),
        ("team", "web"),
        *(("pool", n) for n in ("chat", "code", "lab")),
    ]
    chat = found["pool", "chat"]
    assert (chat.bad, chat.total, chat.good_ratio) == (100, 2000, 0.95)
    assert chat.target == pytest.approx(0.97)
    assert chat.budget_consumed == pytest.approx(100 / (50 + 10))
    assert (chat.met, chat.previous_good_ratio, chat.previous_budget_consumed) == (False, 1.0, 0.0)
    assert chat.model_dump(exclude={"kind", "name"}) == found["team", "web"].model_dump(exclude={"kind", "name"})
    assert found["team", "tools"].met is True
    # What isn't known of one SLO leaves the verdict on all of them open, and the cost too.
    whole, lab = found["all", ""], found["pool", "lab"]
    assert (whole.bad, whole.total, whole.without_data, whole.met, whole.cost_usd) == (
        105,
        2100,
        ["lab-ttft"],
        None,
        None,
    )
    assert (lab.total, lab.good_ratio, lab.budget_consumed, lab.met) == (0, None, None, None)


def test_weights_of_the_objectives_file_count_whatever_the_traffic(ledger: Ledger) -> None:
    weighted = SPEC.replace(
        "target: 90%, window: 28d}\n  - {id: lab", "target: 90%, window: 28d, weight: 3}\n  - {id: lab"
    )
    review = period_review(service(ledger, weighted).records, "2023-10")
    whole, chat = review.combined[0], next(one for one in review.combined if one.name == "chat")
    assert (whole.weighting, chat.weighting) == ("weights", "requests")
    assert whole.weights == {
        "chat-ttft": pytest.approx(0.2),
        "chat-up": pytest.approx(0.2),
        "code-ttft": pytest.approx(0.6),
    }
    assert whole.good_ratio == pytest.approx(0.2 * 0.9 + 0.2 * 1.0 + 0.6 * 0.95)
    assert whole.budget_consumed == pytest.approx((0.2 * 0.1 + 0.6 * 0.05) / (0.2 * 0.05 + 0.2 * 0.01 + 0.6 * 0.1))


def test_a_pools_cost_is_of_its_nodes_and_per_token_where_tokens_are_known(ledger: Ledger) -> None:
    chat, code, lab = period_review(service(ledger).records, "2023-10").pools
    assert (chat.usage.arrivals, chat.usage.rejected, chat.usage.input_tokens) == (1000, 3, 900_000)
    assert chat.usage.node_hours == pytest.approx((2 + 4 + 2) / 12)
    assert chat.usage.cost_usd == pytest.approx(4.0 * 8 / 12)
    assert chat.usage.usd_per_million_tokens == pytest.approx(4.0 * 6 / 12)
    assert chat.usage.peak_tokens_per_second == pytest.approx(500_000 / 300)
    assert (code.usage.arrivals, code.usage.cost_usd, code.previous.arrivals) == (None, None, 10)
    assert (lab.usage.coverage, lab.usage.nodes) == (0.0, None)


def test_quarter_and_month_are_pages_and_files(ledger: Ledger) -> None:
    client = TestClient(create_app(service(ledger)))
    latest = client.get("/reviews", params={"period": "month"}, follow_redirects=False)
    assert latest.headers["location"] == "/reviews/2023-10"
    page = client.get("/reviews/2023-Q4").text
    assert "In progress." in page
    assert "100 / 2,000" in client.get("/reviews/2023-10").text
    assert "No data for this quarter" in client.get("/reviews/2022-Q4").text
    quarter = client.get("/api/v1/period-reviews/2023-Q4").json()
    assert (quarter["complete"], quarter["combined"][0]["total"]) == (False, 4200)
    assert client.get("/api/v1/period-reviews/month").json()["period"] == "2023-10"
    rows = list(csv.DictReader(io.StringIO(client.get("/api/v1/period-reviews/2023-10/csv").text)))
    (ratio,) = [
        row for row in rows if (row["kind"], row["name"], row["measure"]) == ("combined/team", "web", "good_ratio")
    ]
    assert (ratio["period"], ratio["value"], ratio["previous"]) == ("2023-10", "0.95", "1.0")
