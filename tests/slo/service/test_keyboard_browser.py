"""Pages used by keyboard alone: no click, and no script that sets the focus."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from browser import Watched, reach, served
from pages_world import two_days
from plimsoll.slo.calendar import SLOT, slot_of
from plimsoll.slo.service.access import Access
from plimsoll.slo.service.state import Service
from plimsoll.slo.service.tokens import new_token
from service_world import NOW, three_slos

pytestmark = pytest.mark.browser


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    found = three_slos(tmp_path)
    yield found
    found.ledger.engine.dispose()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(timezone_id="UTC", viewport={"width": 1280, "height": 800})
    yield context.new_page()
    context.close()


def type_time(page: Page, seconds: float) -> None:
    """Type a time into the input that has the focus, part by part as Chromium shows it: month first."""
    at = datetime.fromtimestamp(seconds, UTC)
    page.keyboard.type(f"{at:%m%d%Y}")
    page.keyboard.press("ArrowRight")
    page.keyboard.type(f"{at:%I%M%p}")


def test_slos_are_searched_filtered_sorted_downloaded_and_opened(page: Page, service: Service) -> None:
    with served(service) as url:
        Watched(page, url).open("/")
        names = page.locator("#overview tbody tr:visible th")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        page.keyboard.press("Enter")
        reach(page.get_by_label("Search"))
        page.keyboard.type("slo")
        expect(names).to_have_text(["slow"])
        page.keyboard.press("Escape")  # clears a search
        expect(names).to_have_count(3)
        reach(page.locator("select[name=pool]"))
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        expect(names).to_have_text(["elsewhere"])
        page.keyboard.press("Home")
        sort = page.get_by_role("button", name="SLO", exact=True)
        reach(sort)
        page.keyboard.press("Enter")
        expect(names).to_have_text(["elsewhere", "fast", "slow"])
        page.keyboard.press("Space")
        expect(names).to_have_text(["slow", "fast", "elsewhere"])
        expect(sort).to_be_focused()
        reach(page.locator("#download"))
        with page.expect_download() as started:
            page.keyboard.press("Enter")
        assert Path(started.value.path()).read_text().count("\n") == 4
        reach(page.locator("#overview").get_by_role("link", name="fast"), "Shift+Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("fast")


def test_a_chosen_range_leaves_the_focus_where_it_was_chosen(page: Page, service: Service) -> None:
    with served(service) as url:
        Watched(page, url).open("/slos/fast")
        reach(page.get_by_role("link", name="6 hours"))
        page.keyboard.press("Enter")
        expect(page.locator(".ranges [aria-current]")).to_have_text("6 hours")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="1 hour")).to_be_focused()
        form = page.get_by_role("form", name="Time range from and to")
        reach(form.get_by_label("From"))
        type_time(page, NOW - 1800)
        page.keyboard.press("Enter")
        page.wait_for_url("**/slos/fast?from=*")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="1 hour")).to_be_focused()


def test_a_time_is_excluded_after_an_error_and_counts_again(page: Page, service: Service) -> None:
    with served(service) as url:
        Watched(page, url).open("/slos/slow")
        section = page.get_by_role("region", name="Exclusions")
        reach(section.get_by_text("Exclude a time range"))
        page.keyboard.press("Enter")
        for label, back in (("From", 600), ("To", 1200)):
            reach(section.get_by_label(label, exact=True))
            type_time(page, NOW - back)
        for label, text in (("Reason", "load test"), ("Your name", "ann")):
            reach(section.get_by_label(label))
            page.keyboard.type(text)
        page.keyboard.press("Enter")
        expect(section.get_by_role("alert")).to_contain_text("`to` after `from`")
        expect(section.get_by_label("Your name")).to_be_focused()
        reach(section.locator("summary"), "Shift+Tab")
        reach(section.get_by_label("From"))
        type_time(page, NOW - 1800)
        reach(section.get_by_role("button", name="Exclude"))
        page.keyboard.press("Space")
        expect(section.get_by_role("status")).to_have_text("✓ Saved.")
        expect(section.get_by_role("heading", name="Exclusions")).to_be_focused()
        (stored,) = service.records.exclusions()
        assert (stored.start, stored.end) == (NOW // 60 * 60 - 1800, NOW // 60 * 60 - 1200)
        reach(section.get_by_text("Cancel exclusion").first)
        page.keyboard.press("Space")
        for label, text in (("Reason", "it was real"), ("Your name", "bob")):
            reach(section.get_by_label(label).first)
            page.keyboard.type(text)
        page.keyboard.press("Enter")
        expect(section.get_by_text("No exclusions in this window.")).to_be_visible()
        expect(section.get_by_role("heading", name="Exclusions")).to_be_focused()


def test_a_slot_is_corrected_and_shows_it(page: Page, service: Service) -> None:
    at = slot_of(NOW) - 2 * SLOT
    with served(service) as url:
        Watched(page, url).open("/slos/fast/counted?range=1h")
        section = page.get_by_role("region", name="Slots")
        reach(section.get_by_text("Correct a slot"))
        page.keyboard.press("Enter")
        reach(section.get_by_label("Start"))
        type_time(page, at)
        fields = {"Good requests": "70", "Total requests": "80", "Seconds with data": "240", "Reason": "double counted"}
        for label, text in (fields | {"Your name": "ann"}).items():
            reach(section.get_by_label(label))
            page.keyboard.press("Control+a")
            page.keyboard.type(text)
        page.keyboard.press("Enter")
        expect(section.get_by_role("heading", name="Slots")).to_be_focused()
        cells = section.locator("tbody tr", has_text="manual").locator("td")
        expect(cells).to_have_text(["70", "80", "10", "4.0 min", "1", "manual"])
    (slot,) = service.ledger.slots("fast", at, at + SLOT)
    assert (slot.good, slot.total, slot.covered_seconds, slot.source) == (70, 80, 240.0, "manual")


def test_a_login_after_a_wrong_token_and_a_what_if(page: Page, tmp_path: Path) -> None:
    text, reader = new_token("oncall", "read")
    with served(two_days(tmp_path), Access([reader])) as url:
        page.goto(f"{url}/pools/pool/whatif")
        for typed, then in (("wrong", page.get_by_role("alert")), (text, page.get_by_role("heading", name="Inputs"))):
            expect(page.get_by_label("Token")).to_be_focused()
            page.keyboard.type(typed)
            page.keyboard.press("Enter")
            expect(then).to_be_visible()
        reach(page.get_by_label("Workload mix"))
        page.keyboard.type("5")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_be_focused()
        reach(page.get_by_label("Workload mix"))
        page.keyboard.press("Control+a")
        page.keyboard.press("Delete")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Result")).to_be_focused()
        reach(page.get_by_role("button", name="Log out"), "Shift+Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_label("Token")).to_be_visible()
