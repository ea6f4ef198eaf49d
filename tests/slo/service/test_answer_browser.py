"""A recommendation is answered from its pool's page, on a phone and by keyboard alone, and the review shows it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from browser import Watched, reach, served
from pages_world import two_days
from plimsoll.slo.ledger.manual_changes import acknowledgements
from plimsoll.slo.service.state import Service

pytestmark = pytest.mark.browser


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    found = two_days(tmp_path)
    yield found
    found.ledger.engine.dispose()


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    with served(service) as found:
        yield found


@pytest.mark.parametrize("width", [1280, 375])
def test_a_recommendation_is_answered_by_keyboard_and_the_review_shows_it(
    browser: Browser, url: str, service: Service, width: int
) -> None:
    watched = Watched(browser.new_page(viewport={"width": width, "height": 800}), url)
    page = watched.open("/pools/pool")
    reach(page.locator("td summary"))
    page.keyboard.press("Enter")
    reach(page.get_by_label("Answer"))
    page.keyboard.type("Later")
    reach(page.get_by_label("Reason"))
    page.keyboard.type("after the release")
    reach(page.get_by_label("Your name"))
    page.keyboard.type("ann")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("✓ Saved.")
    expect(page.get_by_role("heading", name="Recent recommendations")).to_be_focused()
    expect(page.get_by_text("Change answer")).to_be_visible()
    expect(page.get_by_role("cell", name="Later: after the release (ann)")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    (given,) = acknowledgements(service.ledger.engine, "pool").values()
    assert (given.answer, given.actor, given.reason) == ("later", "ann", "after the release")
    watched.open("/reviews/2023-W46")
    expect(page.get_by_text("1 made, 1 followed, 1 answered")).to_be_visible()
    row = page.locator("tr", has_text="84 requests are waiting")
    expect(row.locator("td").last).to_contain_text("Later: after the release (ann)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert watched.wrong == []
    page.close()
