"""The reference page of the dashboards: generated, and complete."""

from boards import BOARDS, SPEC
from paths import ROOT
from plimsoll.dashboards.reference import reference
from promql import panels

PAGE = ROOT / "docs" / "reference" / "dashboards.md"


def test_the_committed_page_is_what_the_code_gives() -> None:
    assert PAGE.read_text() == reference(SPEC), "write plimsoll.dashboards.reference.reference(spec) to the page"


def test_the_page_has_every_dashboard_row_panel_query_and_description() -> None:
    text = reference(SPEC)
    for board in BOARDS.values():
        assert all(f"\n### {one['title']}\n" in text for one in board["panels"] if one["type"] == "row")
        for panel in panels(board):
            assert f"\n#### {panel['title']}\n" in text
            assert panel["description"] in text
            assert all(target["expr"] in text for target in panel["targets"])
