"""Every incident of tests/fixtures/theatre pages exactly once if it deserves it, and never if it does not (`theatre.py`)."""

from pathlib import Path

import pytest

import theatre
from incidents import incidents
from playbill import DOCUMENT
from plimsoll.slo import links

CAST = incidents()
WARNING = 2.5 * 60  # seconds of the play by which ours may page before theory (blunt windows) or after it

pytestmark = [pytest.mark.slow, pytest.mark.prometheus, pytest.mark.timeout(800)]


@pytest.fixture(scope="module")
def acts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, theatre.Act]:
    """What was played, by incident. A machine that was busy with something else gets a second try."""
    try:
        played = theatre.perform(CAST, tmp_path_factory.mktemp("first"))
    except theatre.TooSlowError:
        played = theatre.perform(CAST, tmp_path_factory.mktemp("second"))
    print("\n".join(map(theatre.show, played)))
    return {act.incident.name: act for act in played}


@pytest.mark.parametrize("name", [one.name for one in CAST])
def test_an_incident_pages_once_if_it_deserves_it_and_else_never(name: str, acts: dict[str, theatre.Act]) -> None:
    act = acts[name]
    assert len(act.pages) == (act.incident.deserves == "page"), theatre.show(act)
    assert act.tickets or act.incident.deserves != "ticket", "a ticket is due"


@pytest.mark.parametrize("name", [one.name for one in CAST if one.deserves == "page"])
def test_the_page_comes_when_theory_says_and_ends_with_the_incident(name: str, acts: dict[str, theatre.Act]) -> None:
    act = acts[name]
    [page] = act.pages
    assert act.theory is not None
    assert page.opened - act.incident.begins == pytest.approx(act.theory, abs=WARNING), theatre.show(act)
    ends = max(one["minutes"][1] for one in act.incident.stretches) * 60
    assert page.resolved is not None
    # the last rule to let go looks back ten minutes, page-slow's short window half an hour
    assert ends - 12 * 60 < page.resolved < ends + 35 * 60, theatre.show(act)


@pytest.mark.parametrize("name", [one.name for one in CAST if one.deserves == "page"])
def test_a_page_says_which_pool_and_leads_to_runbook_panel_and_numbers(name: str, acts: dict[str, theatre.Act]) -> None:
    [page] = acts[name].pages
    assert page.summary.startswith(f"{name}: ")
    assert len(page.summary) < 110, "a phone shows three lines"
    assert page.links[0].endswith(f"/runbooks#{page.alert.lower()}")
    assert "viewPanel=" in page.links[1]
    assert page.links[2].startswith((links.objective_page(f"{name}-"), links.pool_page(name)))


def test_maintenance_is_muted_by_its_exclusion_and_not_for_want_of_alerts(acts: dict[str, theatre.Act]) -> None:
    assert {"LLMReplicaDown", "PlimsollExporterDown", "LLMReplicasBelowMinimum", "LLMQueueDepthHigh"} <= acts[
        "maintenance"
    ].raised


def test_rules_of_the_other_shapes_wake_someone_for_one_bad_request_and_come_late_to_an_outage(
    acts: dict[str, theatre.Act],
) -> None:
    assert all(acts["night-error"].rivals.values())
    outage = acts["outage-90"]
    ours = outage.pages[0].opened
    assert all(not fired or fired[0] > ours + 2 * 3600 for fired in outage.rivals.values())


def test_the_document_tells_of_every_incident() -> None:
    text = Path(DOCUMENT).read_text()
    assert [one.title for one in CAST if f"### {one.title}\n" not in text or f"| {one.title} |" not in text] == []
