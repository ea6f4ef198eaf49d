"""The table of SLOs and the forms of an SLO's page in Chromium: search, filter, sort, exclude and cancel; by keyboard, and kept in the URL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from browser import Watched, served
from plimsoll.slo.service.state import Service
from service_world import NOW, three_slos

pytestmark = pytest.mark.browser


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return three_slos(tmp_path)


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    with served(service) as found:
        yield found


def test_the_table_is_searched_filtered_and_sorted_and_the_url_keeps_it(browser: Browser, url: str) -> None:
    watched = Watched(browser.new_page(), url)
    page = watched.open("/")
    rows, names = page.locator("#overview tbody tr:visible"), page.locator("#overview tbody tr:visible th")
    expect(rows).to_have_count(3)
    page.get_by_label("Search").press_sequentially("slo")
    expect(names).to_have_text(["slow"])
    expect(page.locator("#fast")).to_be_hidden()
    assert "q=slo" in page.url
    page.reload()
    expect(names).to_have_text(["slow"])
    expect(page.locator("#matches")).to_have_text("1 of 3")
    page.get_by_label("Search").fill("")
    page.locator("select[name=pool]").select_option("other")
    expect(names).to_have_text(["elsewhere"])
    page.locator("select[name=pool]").select_option("")
    page.get_by_role("button", name="SLO", exact=True).click()
    assert names.all_inner_texts() == ["elsewhere", "fast", "slow"]
    page.get_by_role("button", name="SLO", exact=True).click()
    assert names.all_inner_texts() == ["slow", "fast", "elsewhere"]
    # Rows without a number stay last, in either direction.
    page.get_by_role("button", name="Budget remaining").focus()
    for _ in ("up", "down"):
        page.keyboard.press("Enter")
        assert names.all_inner_texts()[0] == "fast"
    assert watched.wrong == []


def test_a_time_is_excluded_and_counts_again_from_the_page(browser: Browser, url: str, service: Service) -> None:
    context = browser.new_context(timezone_id="UTC")
    watched = Watched(context.new_page(), url)
    page = watched.open("/slos/slow")
    page.get_by_text("Exclude a time range").click()
    form = page.get_by_role("region", name="Exclusions")
    form.get_by_label("From").fill("2023-11-14T22:55")
    form.get_by_label("To", exact=True).fill("2023-11-14T23:00")
    page.get_by_label("Reason").fill("load test")
    page.get_by_label("Your name").fill("ann")
    page.get_by_role("button", name="Exclude").click()
    expect(page.get_by_role("cell", name="load test")).to_be_visible()
    (stored,) = service.records.exclusions()
    assert (stored.objective, stored.created_by, stored.canceled_at) == ("slow", "ann", None)
    assert (stored.start, stored.end) == (1_700_002_500.0, 1_700_002_800.0)
    page.get_by_text("Cancel exclusion").first.click()
    page.get_by_label("Reason").first.fill("it was real")
    page.get_by_label("Your name").first.fill("bob")
    page.get_by_role("button", name="Cancel exclusion").click()
    expect(page.get_by_text("No exclusions in this window.")).to_be_visible()
    assert service.records.exclusions()[0].canceled_at == NOW
    assert watched.wrong == []
    context.close()


def test_why_a_form_is_rejected_is_beside_it(browser: Browser, url: str, service: Service) -> None:
    page = Watched(browser.new_page(), url).open("/slos/slow")
    page.get_by_text("Exclude a time range").click()
    form = page.get_by_role("region", name="Exclusions")
    form.get_by_label("From").fill("2023-11-14T23:00")
    form.get_by_label("To", exact=True).fill("2023-11-14T22:00")
    page.get_by_label("Reason").fill("load test")
    page.get_by_label("Your name").fill("ann")
    page.get_by_role("button", name="Exclude").click()
    expect(page.locator("form [role=alert]").last).to_contain_text("`to` after `from`")
    assert service.records.exclusions() == []
