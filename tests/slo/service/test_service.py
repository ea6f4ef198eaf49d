"""The SLO service as its callers see it, over a world of known truth."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from plimsoll.slo.calendar import week_of
from plimsoll.slo.error_budget.exhaustion import Exhaustion
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.metrics import EXHAUSTION
from plimsoll.slo.service.access import Access
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.pages.runbooks import render_runbooks
from plimsoll.slo.service.state import Service
from plimsoll.slo.service.tokens import token
from service_world import NOW, world
from world import World, spec


@pytest.fixture
def service(database: str, open_ledger: Callable[[str], Ledger]) -> Service:
    return Service(spec(), world(), open_ledger(database), clock=lambda: NOW)


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    service.ingest()
    yield TestClient(
        create_app(service, runbooks="# Runbooks\n\n## LLMKVCacheUsageHigh\n\nLook at `queue`.\n<script>x</script>")
    )


def test_an_objective_shows_its_counts_coverage_budget_and_burn_rates(client: TestClient) -> None:
    (slo,) = client.get("/api/v1/slos").json()["slos"]
    assert (slo["id"], slo["pool"], slo["target"], slo["window"]) == ("fast", "pool", 0.95, "28d")
    assert (slo["good"], slo["total"]) == (960, 1000)
    assert slo["budget_remaining"] == pytest.approx(1 - 40 / (0.05 * 1000))
    assert slo["coverage"] == pytest.approx(3660 / (28 * 86400))
    assert slo["status"] == "ok"
    burns = {burn["tier"]: burn for burn in slo["burn_rates"]}
    assert burns["page-fast"]["long_burn_rate"] == pytest.approx(40 / 1000 / 0.05, rel=0.02)
    assert burns["page-fast"]["short_burn_rate"] == 0.0
    assert not any(burn["firing"] for burn in slo["burn_rates"])
    assert client.get("/api/v1/slos/fast").json().items() >= slo.items()


def test_slots_add_up_to_the_budget(client: TestClient) -> None:
    slots = client.get(
        "/api/v1/slos/fast/slots", params={"from": "2023-11-14T22:00:00Z", "to": "2023-11-15T00:00:00+00:00"}
    ).json()["slots"]
    assert (sum(slot["good"] for slot in slots), sum(slot["total"] for slot in slots)) == (960, 1000)
    assert [slot["start"] for slot in slots] == sorted(slot["start"] for slot in slots)
    assert slots[1]["start"] == "2023-11-14T22:15:00Z"
    none = client.get("/api/v1/slos/fast/slots", params={"from": "2023-11-15T00:00:00Z", "to": "2023-11-15T01:00:00Z"})
    assert none.json() == {"slots": [], "next": None}


def test_the_budgets_history_ends_where_the_budget_stands_and_shows_the_incident(client: TestClient) -> None:
    answer = client.get("/api/v1/slos/fast/budget").json()
    assert (answer["bad"], answer["total"], answer["allowed_bad"]) == (40, 1000, pytest.approx(50))
    assert answer["points"][-1]["budget_remaining"] == pytest.approx(answer["budget_remaining"])
    before = [point for point in answer["points"] if point["at"] <= "2023-11-14T22:50:00Z"]
    assert before
    assert all(point["budget_remaining"] in (None, 1.0) for point in before)


def test_wrong_questions_get_a_problem_document_that_says_what_is_right(client: TestClient) -> None:
    answer = client.get("/api/v1/slos/nope")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["code"] == "unknown_slo"
    assert "Use one of: fast." in answer.json()["detail"]
    unknown = client.get("/api/v1/pools/nope/recommendation").json()
    assert (unknown["status"], unknown["code"]) == (404, "unknown_pool")
    malformed = client.get("/api/v1/slos/fast/slots", params={"from": "yesterday"})
    assert (malformed.status_code, malformed.headers["content-type"]) == (422, "application/problem+json")
    assert "from" in malformed.json()["detail"]
    assert client.get("/nowhere").json()["code"] == "not_found"


def test_a_recommendation_is_given_with_reasons_and_kept_once_per_change(service: Service, client: TestClient) -> None:
    before = client.get("/api/v1/pools/pool/recommendation").json()
    assert (before["action"], before["nodes"]) == ("insufficient_data", 0)
    service.recommend()
    service.recommend()
    after = client.get("/api/v1/pools/pool/recommendation").json()
    assert after["action"] == "insufficient_data"
    assert after["reasons"]
    history = client.get("/api/v1/pools/pool/recommendation/history").json()["recommendations"]
    assert [item["action"] for item in history] == ["insufficient_data"]


def test_a_replica_whose_prefix_cache_is_not_known_has_no_deletion_cost(client: TestClient) -> None:
    found = client.get("/api/v1/pools/pool/deletion-costs").json()
    assert [(one["replica"], one["cached_tokens"], one["deletion_cost"]) for one in found["replicas"]] == [
        ("a", None, None)
    ]


def test_a_dead_source_makes_the_service_not_ready_and_the_recommendation_blind(
    service: Service, client: TestClient
) -> None:
    assert client.get("/-/ready").status_code == 200
    assert isinstance(service.source, World)
    service.source.down = True
    service.ingest()
    service.recommend()
    ready = client.get("/-/ready")
    assert (ready.status_code, ready.json()["code"], "world: down" in ready.json()["detail"]) == (
        503,
        "not_ready",
        True,
    )
    found = client.get("/api/v1/pools/pool/recommendation").json()
    assert (found["action"], found["reason_codes"]) == ("insufficient_data", ["source_unavailable"])
    assert client.get("/api/v1/slos/fast").json()["total"] == 1000
    assert client.get("/-/healthy").status_code == 200
    service.source.down = False
    service.ingest()
    service.recommend()
    assert client.get("/-/ready").status_code == 200


def test_the_metrics_page_carries_what_the_ledger_says_and_leaves_out_what_is_unknown(client: TestClient) -> None:
    lines = client.get("/metrics").text.splitlines()
    assert 'plimsoll_error_budget_remaining_ratio{objective="fast",pool="pool"} 0.19999999999999996' in lines
    assert any(
        line.startswith('plimsoll_slo_data_coverage_ratio{objective="fast",pool="pool"} 0.0015') for line in lines
    )
    assert not any(line.startswith("plimsoll_recommended_nodes{") for line in lines)


def test_the_page_shows_the_numbers_and_loads_nothing_from_elsewhere(client: TestClient) -> None:
    answer = client.get("/")
    # An hour of four weeks: the API has the number, the page states why it isn't shown yet.
    assert "of 28\u00a0d observed: too early to judge" in answer.text and "20.0%" not in answer.text
    assert (
        "too early to judge" in client.get("/slos/fast").text and "too early to judge" in client.get("/pools/pool").text
    )
    assert client.get("/api/v1/slos/fast").json()["budget_remaining"] == pytest.approx(0.2)
    assert "of 7\u00a0d observed: too early to judge" in client.get(f"/reviews/{week_of(NOW)}").text
    assert "<dt>Good</dt><dd>960</dd>" in answer.text
    assert "Healthy" not in answer.text and "Too early to judge" in answer.text
    assert "http://" not in answer.text.replace('make run ENGINES="http://host:8000"', "")
    assert "https://" not in answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    for path in ("/static/page.js", "/static/page.css", "/static/icon.svg", "/static/vendor/uPlot.iife.min.js"):
        assert client.get(path).status_code == 200


def test_runbooks_are_served_with_anchors_and_without_their_html(client: TestClient) -> None:
    page = client.get("/runbooks").text
    assert '<h2 id="llmkvcacheusagehigh">LLMKVCacheUsageHigh</h2>' in page
    assert "<script>x" not in page
    assert render_runbooks("## Two Words") == '<h2 id="two-words">Two Words</h2>\n'


def test_with_a_token_only_its_holder_and_the_health_checks_are_answered(service: Service) -> None:
    guarded = TestClient(create_app(service, Access([token("someone", "read", "s3cret")])))
    rejected = guarded.get("/api/v1/slos")
    assert (rejected.status_code, rejected.headers["www-authenticate"]) == (401, "Bearer")
    assert rejected.json()["code"] == "authentication_required"
    assert guarded.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert guarded.get("/api/v1/slos", headers={"Authorization": "Bearer s3cret"}).status_code == 200
    assert guarded.get("/-/healthy").status_code == 200


@pytest.mark.parametrize("latest", [172800.0, None])
def test_the_metrics_page_has_the_interval_of_exhaustion_and_no_bound_after_the_windows_end(
    client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch, latest: float | None
) -> None:
    projected = Exhaustion("will_exhaust", 1.0, 86400.0, 43200.0, latest)
    found = replace(service.evaluated(), exhaustions={"fast": projected})
    monkeypatch.setattr(service, "evaluated", lambda: found)
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(f"{EXHAUSTION}{{")]
    bounds = {"earliest": 43200.0, "estimate": 86400.0} | ({"latest": latest} if latest else {})
    assert lines == [
        f'{EXHAUSTION}{{bound="{bound}",objective="fast",pool="pool"}} {at}' for bound, at in bounds.items()
    ]
