"""How an SLO's numbers were counted: every number on its page leads to slots that add up to it, and to the queries behind them."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient

from pages_world import HOUR, NOW
from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.error_budget.exclusions import Exclusion
from plimsoll.slo.exchange.queries import read_sum
from plimsoll.slo.ledger.manual_changes import exclude
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.check_queries import check_queries
from plimsoll.slo.spec.objectives import load
from world import SPEC_TEXT

Table = list[list[str]]


@pytest.fixture(scope="module")
def client(service: Service) -> TestClient:
    exclude(service.ledger.engine, Exclusion(NOW - 6 * HOUR, NOW - 5.5 * HOUR, "ann", "load test", None, "pool"), NOW)
    service.evaluate()
    return TestClient(create_app(service), base_url="http://127.0.0.1")


def cells(page: str, part: str) -> Table:
    """The rows of a part of the table of slots."""
    (found,) = re.findall(rf'class="slots">.*?<{part}>(.*?)</{part}>', page, re.DOTALL)
    rows = re.findall(r"<tr[ >].*?</tr>", found, re.DOTALL)
    return [[re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows]


def sums(rows: Table) -> list[int]:
    return [sum(int(row[column].replace(",", "")) for row in rows) for column in (1, 2, 3)]


def hrefs(page: str, pattern: str) -> list[str]:
    return list(dict.fromkeys(unescape(found) for found in re.findall(rf'href="([^"]*{pattern}[^"]*)"', page)))


def test_the_window_adds_up_to_the_budget_and_days_lead_to_their_slots(client: TestClient) -> None:
    budget = client.get("/api/v1/slos/fast").json()
    page = client.get("/slos/fast/counted").text
    days = cells(page, "tbody")
    counted = [row for row in days if not row[-1].endswith("excluded")]
    assert (
        sums(counted)
        == sums(cells(page, "tfoot"))
        == [budget["good"], budget["total"], budget["total"] - budget["good"]]
    )
    (away,) = [row for row in days if row not in counted]
    assert sums([away])[1] == budget["excluded_total"] > 0
    slots = [cells(client.get(path).text, "tbody") for path in hrefs(page, "counted.from")]
    assert sum(len(rows) for rows in slots) == 12 * 45
    # Each day is complete: what is counted and what is excluded of it.
    assert sums([row for rows in slots for row in rows]) == sums(days)


def test_every_burn_rate_leads_to_slots_that_give_it(client: TestClient, service: Service) -> None:
    page = client.get("/slos/fast").text
    for burn in service.evaluated().budgets["fast"].burns:
        for seconds, rate in ((burn.tier.long, burn.long_burn), (burn.tier.short, burn.short_burn)):
            path = f"/slos/fast/counted?from={rfc3339(NOW - seconds)}&to={rfc3339(NOW)}"
            assert path in hrefs(page, "counted")
            assert rate is not None
            assert f"<dt>Burn rate</dt><dd>{rate:.2f}</dd>" in client.get(path).text


def test_a_slot_has_its_queries_its_evidence_and_a_file(client: TestClient) -> None:
    page = client.get(f"/slos/fast/counted?from={rfc3339(NOW - HOUR)}&to={rfc3339(NOW - HOUR + 300)}").text
    (row,) = cells(page, "tbody")
    (pool,) = client.get(f"/api/v1/pools/pool/slots?from={rfc3339(NOW - HOUR)}&to={rfc3339(NOW - HOUR + 300)}").json()[
        "slots"
    ]
    assert row[1:4] == ["199", "200", "1"]
    assert row[5:] == [f"{pool['replicas']:.3g}", "request"]
    (first, *_) = hrefs(page, "/explore")
    assert (
        f'"from": "{NOW - HOUR:.0f}000", "to": "{NOW - HOUR + 300:.0f}000"'
        in parse_qs(urlsplit(first).query)["panes"][0]
    )
    (file,) = hrefs(page, "slots.csv")
    assert len(client.get(file).text.splitlines()) == 2


def test_a_range_without_data_is_unknown(client: TestClient) -> None:
    page = client.get(f"/slos/fast/counted?from={rfc3339(NOW - 13 * HOUR)}&to={rfc3339(NOW - 11 * HOUR)}").text
    assert "No data in this range." in page
    assert "<dt>Burn rate</dt><dd>No data</dd>" in page


@pytest.mark.parametrize(
    ("indicator", "mismatch"),
    [
        ("availability", "unknown"),
        ("{time_per_output_token: 45ms}", "unknown"),
        ("{time_per_output_token: 45ms}", "bounds"),
        ("{goodput: {ttft: 600ms, tpot: 40ms}}", "unknown"),
    ],
)
def test_every_indicator_has_queries_of_the_requests_of_five_minutes(indicator: str, mismatch: str) -> None:
    more = f"  - {{id: x, pool: pool, indicator: {indicator}, target: 99%, window: 28d, bucket_mismatch: {mismatch}}}\n"
    spec = load(SPEC_TEXT + more)
    for check in check_queries(spec.objective("x"), spec.pool("pool")):
        assert read_sum(check.good).growth == read_sum(check.total).growth == {"increase over 0:05:00"}
