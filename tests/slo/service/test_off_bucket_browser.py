"""An objective that is known as an interval, as people meet it in a real browser: two ends, drawn and told apart."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from bounds_world import spec
from browser import Watched, served
from plimsoll.slo.calendar import SLOT
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount
from recorded import Recorded

pytestmark = pytest.mark.browser
NOW = 1_700_000_400.0


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A day of 200 requests a slot: 190 surely good and 6 indeterminate, but for an hour, 8 hours ago, of 100 and 80."""
    ledger = Ledger(open_database(f"sqlite:///{tmp_path}/ledger.db"))
    counts = []
    for back in range(1, 289):
        good, indeterminate = (100, 80) if 96 <= back < 108 else (190, 6)
        counts.append(SlotCount(int(NOW) - SLOT * back, good, 200, 300.0, "bounds", indeterminate))
    ledger.record({("fast", "hash"): counts}, int(NOW))
    with served(Service(spec("bounds"), Recorded([]), ledger, clock=lambda: NOW)) as url:
        yield url
    ledger.engine.dispose()


@pytest.mark.parametrize("width", [1280, 390])
def test_both_ends_are_drawn_told_apart_in_the_legend_and_explained(browser: Browser, url: str, width: int) -> None:
    watched = Watched(browser.new_page(viewport={"width": width, "height": 900}), url)
    for path in ("/", "/slos/fast", "/pools/pool", "/reviews/2023-W46"):
        page = watched.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page = watched.open("/slos/fast")
    expect(page.locator(".number")).to_contain_text("–")
    expect(page.get_by_text("Range, not a single value.")).to_be_visible()
    legends = page.locator(".u-legend").all_inner_texts()
    assert "lower bound" in legends[0] and "upper bound" in legends[0]
    assert "Bad (incl. indeterminate)" in legends[1] and "Bad (confirmed)" in legends[1]
    expect(page.locator(".causes tr", has_text="Indeterminate")).to_contain_text("? Unknown")
    assert watched.wrong == []
    page.close()
