"""The pages' CSV files: the same rows and exact numbers as the API, as filtered and in the page's range, without formulas."""

import csv
import io
from typing import Any

import pytest
from fastapi.testclient import TestClient

from pages_world import HOUR, NOW
from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.csv_table import to_csv
from plimsoll.slo.ledger.manual_changes import Acknowledgement, acknowledge
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service

RANGE = {"from": rfc3339(NOW - 6 * HOUR), "to": rfc3339(NOW - 5 * HOUR)}


@pytest.fixture(scope="module")
def service(service: Service) -> Service:
    given = Acknowledgement("pool", int(NOW) - 60, "no", "ann", "=HYPERLINK(1)", NOW)
    acknowledge(service.ledger.engine, given)
    return service


@pytest.fixture(scope="module")
def client(service: Service) -> TestClient:
    return TestClient(create_app(service), base_url="http://127.0.0.1")


def rows(client: TestClient, path: str, **params: str) -> list[dict[str, str]]:
    answer = client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].startswith('attachment; filename="plimsoll-')
    return list(csv.DictReader(io.StringIO(answer.text)))


def as_text(body: dict[str, Any], names: Any) -> dict[str, str]:
    return {name: "" if body[name] is None else str(body[name]) for name in names}


def test_the_table_has_the_apis_numbers_and_the_pages_filter(client: TestClient) -> None:
    (row,) = rows(client, "/slos.csv")
    (slo,) = client.get("/api/v1/slos").json()["slos"]
    names = ("id", "pool", "good", "total", "indeterminate", "coverage", "budget_remaining")
    assert {name: row[name] for name in names} == as_text(slo, names)
    assert rows(client, "/slos.csv", q="FIRST token", pool="pool", status="ok") == [row]
    for other in ({"q": "token nope"}, {"pool": "x"}, {"status": "burning"}):
        assert rows(client, "/slos.csv", **other) == []


@pytest.mark.parametrize("of", ["slos/fast", "pools/pool"])
def test_slots_are_those_of_the_range_in_the_address(client: TestClient, of: str) -> None:
    listed = client.get(f"/api/v1/{of}/slots", params=RANGE).json()["slots"]
    found = rows(client, f"/{of}/slots.csv", **RANGE)
    assert len(found) == 12
    assert found == [as_text(one, found[0]) for one in listed]
    assert (
        f'href="/{of}/slots.csv?from={RANGE["from"]}&amp;to={RANGE["to"]}"' in client.get(f"/{of}", params=RANGE).text
    )


def test_the_budgets_history_is_the_charts(client: TestClient) -> None:
    points = client.get("/api/v1/slos/fast/budget").json()["points"]
    found = rows(client, "/slos/fast/budget.csv")
    assert len(found) > 40
    assert found == [as_text(one, found[0]) for one in points]


def test_recommendations_have_their_answers_and_no_formula(client: TestClient) -> None:
    (row,) = rows(client, "/pools/pool/recommendations.csv")
    assert (row["action"], row["recommended_nodes"], row["answer"], row["answered_by"]) == (
        "scale_out",
        "4",
        "no",
        "ann",
    )
    assert row["answer_reason"] == "'=HYPERLINK(1)"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\ta", "\ra"])
def test_no_text_is_a_formula_and_numbers_stay_numbers(text: str) -> None:
    (row,) = csv.DictReader(io.StringIO(to_csv(["text", "number", "unknown"], [[text, -0.1, None]])))
    assert row == {"text": f"'{text}", "number": "-0.1", "unknown": ""}


@pytest.mark.parametrize("path", ["/slos/nope/slots.csv", "/slos/nope/budget.csv", "/pools/nope/slots.csv"])
def test_what_there_is_not_is_not_found(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404
