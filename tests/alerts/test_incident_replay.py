"""Every incident of tests/fixtures/incidents pages exactly once if a page is expected, and otherwise never (`incident_replay.py`)."""

from pathlib import Path

import pytest

import incident_replay
from incident_replay import Outcome
from incident_report import DOCUMENT
from incidents import incidents
from plimsoll.slo import links

INCIDENTS = incidents()
TOLERANCE = 2.5 * 60  # simulated seconds by which a page may differ from theory

pytestmark = [pytest.mark.slow, pytest.mark.prometheus, pytest.mark.timeout(800)]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Return the outcomes by incident. A busy machine gets a second try."""
    try:
        found = incident_replay.replay(INCIDENTS, tmp_path_factory.mktemp("first"))
    except incident_replay.TooSlowError:
        found = incident_replay.replay(INCIDENTS, tmp_path_factory.mktemp("second"))
    print("\n".join(map(incident_replay.show, found)))
    return {one.incident.name: one for one in found}


@pytest.mark.parametrize("name", [one.name for one in INCIDENTS])
def test_an_incident_pages_once_if_expected_and_otherwise_never(name: str, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[name]
    expected = {"page": 1, "two pages": 2}.get(outcome.incident.expected, 0)
    assert len(outcome.pages) == expected, incident_replay.show(outcome)
    assert outcome.tickets or outcome.incident.expected != "ticket", "no ticket"


@pytest.mark.parametrize("name", [one.name for one in INCIDENTS if one.expected == "page"])
def test_the_page_opens_when_due_in_theory_and_resolves_with_the_incident(
    name: str, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[name]
    [page] = outcome.pages
    assert outcome.theory is not None
    assert page.opened - outcome.incident.begins == pytest.approx(outcome.theory, abs=TOLERANCE), incident_replay.show(
        outcome
    )
    ends = max(one["minutes"][1] for one in outcome.incident.stretches) * 60
    assert page.resolved is not None
    # the last rule to let go looks back ten minutes, page-slow's short window half an hour
    assert ends - 12 * 60 < page.resolved < ends + 35 * 60, incident_replay.show(outcome)


@pytest.mark.parametrize("name", [one.name for one in INCIDENTS if one.expected == "page"])
def test_a_page_names_the_pool_and_links_to_runbook_panel_and_service(name: str, outcomes: dict[str, Outcome]) -> None:
    [page] = outcomes[name].pages
    assert page.summary.startswith(f"{name}: ")
    assert len(page.summary) < 110, "a phone shows three lines"
    assert page.links[0].startswith(links.runbook_url(page.alert, pool=name, model=name))
    assert "viewPanel=" in page.links[1]
    assert page.links[2].startswith((links.slo_page(f"{name}-"), links.pool_page(name)))


def test_maintenance_raises_alerts_that_its_exclusion_mutes(outcomes: dict[str, Outcome]) -> None:
    raised = outcomes["maintenance"].raised
    assert {"LLMQueueDepthHigh", "LLMKVCacheUsageHigh"} <= raised


def test_a_problem_that_becomes_an_outage_pages_again_under_a_key_of_its_own(outcomes: dict[str, Outcome]) -> None:
    smaller, greater = outcomes["escalation"].pages
    assert (smaller.alert, greater.alert) == ("SLOErrorBudgetBurn", "SLOOutage")
    assert greater.opened - 50 * 60 == pytest.approx(2.1 * 60, abs=TOLERANCE)
    assert smaller.resolved is not None
    assert greater.resolved is not None


def test_rules_of_other_generators_page_for_one_bad_request_and_late_for_an_outage(
    outcomes: dict[str, Outcome],
) -> None:
    assert all(outcomes["night-error"].others.values())
    outage = outcomes["outage-90"]
    ours = outage.pages[0].opened
    assert all(not fired or fired[0] > ours + 2 * 3600 for fired in outage.others.values())


def test_the_document_has_every_incident() -> None:
    text = Path(DOCUMENT).read_text()
    assert [one.title for one in INCIDENTS if f"### {one.title}\n" not in text or f"| {one.title} |" not in text] == []
