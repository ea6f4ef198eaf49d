"""Changes of engine settings stand beside one more node wherever the recommendation is read: API, pages, review, mail, terminal."""

import json
import re
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from browser import served
from pages_world import SETTINGS
from plimsoll.compose.cli import main
from plimsoll.slo.reports.review import review
from plimsoll.slo.reports.summary.digest import Digest
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.delivery import message
from plimsoll.slo.service.state import Service

FLAGS = ["--max-num-seqs", "--kv-cache-dtype"]


@pytest.fixture
def client(service: Service) -> TestClient:
    return TestClient(create_app(service))


def test_the_api_has_each_change_with_its_figures(client: TestClient) -> None:
    found = client.get("/api/v1/pools/pool/recommendation").json()["settings"]
    assert (found["attainment"], found["one_more_node"], found["nodes_required"]) == (0.7, 0.94, 4)
    first, second = found["changes"]
    assert (first["flag"], first["current"], first["proposed"], first["nodes_saved"]) == (FLAGS[0], "4", "16", 2)
    assert (second["nodes_required"], second["certainty"]) == (None, "extrapolated")
    (past,) = client.get("/api/v1/pools/pool/recommendation/history").json()["recommendations"]
    assert past["settings"]["changes"] == found["changes"]


@pytest.mark.parametrize("path", ["/pools/pool", "/reviews/2023-W46"])
def test_a_page_ranks_changes_and_one_more_node_by_attainment(client: TestClient, path: str) -> None:
    table = client.get(path).text.partition("Settings to change before nodes")[2].partition("</table>")[0]
    rows = re.findall(r'<th scope="row">(?:<code>)?([^<]+)', table)
    assert rows == ["--max-num-seqs 16", "One more node", "--kv-cache-dtype fp8"]
    assert "2 (2 fewer)" in table and "No data" in table


def test_without_a_change_that_helps_nothing_is_shown(service: Service, client: TestClient) -> None:
    decided = service._decisions["pool"]
    none = decided.recommendation.model_copy(update={"settings": replace(SETTINGS, changes=())})
    service._decisions["pool"] = decided._replace(recommendation=none)
    assert "Settings to change" not in client.get("/pools/pool").text
    service._decisions["pool"] = decided


def test_the_review_and_its_mail_have_them(service: Service, client: TestClient) -> None:
    (pool,) = client.get("/api/v1/reviews/2023-W46").json()["pools"]
    assert [one["flag"] for one in pool["settings"]["changes"]] == FLAGS
    text = " ".join(message.text(Digest.of(review(service.records, "2023-W46"), "http://service")).split())
    assert all(one.summary in text for one in SETTINGS.changes)
    assert "settings/max_num_seqs/16/attainment,0.99," in client.get("/api/v1/reviews/2023-W46/csv").text


def test_the_terminal_shows_them_after_the_reasons(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    with served(service) as url:
        assert main(["recommend", "pool", "--service-url", url]) == 0
        printed = capsys.readouterr().out
        assert main(["recommend", "pool", "--json", "--service-url", url]) == 0
    assert (
        printed.index("84 requests")
        < printed.index("one more node: 94.0%")
        < printed.index(SETTINGS.changes[0].summary)
    )
    assert len(json.loads(capsys.readouterr().out)["settings"]["changes"]) == 2
