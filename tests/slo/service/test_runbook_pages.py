"""The runbook of one alert: a page without a login, with the alert's labels filled in and each query a link to Grafana Explore."""

import json
import re
from collections.abc import Callable, Iterator
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient

from paths import ROOT
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.access import Access
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.service.tokens import token
from service_world import NOW, world
from world import spec

TEXT = (ROOT / "alerts" / "runbooks.md").read_text()
ALERTS = re.findall(r"^### (\w+)$", TEXT, re.MULTILINE)
LABELS = {
    "pool": "chat-70b",
    "model": "meta-llama/Llama-3.3-70B-Instruct",
    "owner": "chat-team",
    "replica": "10.0.0.5:8000",
    "instance": "gpu-7:9800",
    "uuid": "GPU-5b2e6f1c",
    "objective": "chat-ttft",
}


@pytest.fixture
def client(database: str, open_ledger: Callable[[str], Ledger]) -> Iterator[TestClient]:
    service = Service(spec(), world(), open_ledger(database), clock=lambda: NOW)
    access = Access(tokens=(token("reader", "read", "s" * 32),))
    yield TestClient(create_app(service, access, TEXT, grafana="https://grafana.example"))


def explored(page: str) -> list[str]:
    """Queries of the page's links to Explore."""
    links = re.findall(r'href="(https://grafana\.example/explore\?[^"]+)"', page)
    panes = [json.loads(parse_qs(urlsplit(unescape(link)).query)["panes"][0]) for link in links]
    return [pane["a"]["queries"][0]["expr"] for pane in panes]


def test_every_alerts_runbook_has_its_sections_and_no_label_left_to_type(client: TestClient) -> None:
    assert len(ALERTS) > 50
    for alert in ALERTS:
        page = client.get(f"/runbooks/{alert}", params=LABELS)
        assert page.status_code == 200, alert
        for section in ("Impact", "Diagnosis", "Mitigation", "Escalation"):
            assert f"<strong>{section}.</strong>" in page.text, alert
        assert re.findall(r"\$(?:pool|model|replica|instance|uuid|objective|node|service)\b", page.text) == [], alert
        assert page.text.count("<h3") == 1 + 3, "its own and the three commands"


def test_a_querys_link_opens_it_with_the_labels_and_a_command_has_none(client: TestClient) -> None:
    page = client.get("/runbooks/LLMReplicaDown", params=LABELS).text
    assert 'llm_replica_up{replica="10.0.0.5:8000"}' in explored(page)
    assert not any(query.startswith(("curl", "kubectl")) for query in explored(page))
    assert "kubectl drain gpu-7 " in page
    assert "curl -s -X POST http://10.0.0.5:8000/wake_up" in page


def test_what_is_no_plain_label_is_not_filled_in(client: TestClient) -> None:
    """The address comes from outside: nothing of it becomes markup, PromQL, or a shell command."""
    for value in ('"} or vector(1)', "<script>x</script>", "a; rm -rf /", "$(id)", "x" * 201, "a\nb"):
        page = client.get("/runbooks/LLMReplicaDown", params={"replica": value}).text
        assert "$replica" in page
        assert "<script>x" not in page
        assert "rm -rf" not in page


def test_an_unknown_alert_is_not_found_and_another_page_needs_a_token(client: TestClient) -> None:
    assert client.get("/runbooks/NoSuchAlert").status_code == 404
    assert client.get("/api/v1/slos").status_code == 401
